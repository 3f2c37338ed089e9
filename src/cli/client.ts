import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { DaypassError, messageOf } from '../errors.js';
import { socketOf } from './place.js';

/** An answer of the gateway. */
export interface Answered<Body> {
  readonly status: number;
  readonly body: Body;
}

/** Asks the gateway that runs with a data directory. */
export class GatewayClient {
  readonly #dataDirectory: string;

  constructor(dataDirectory: string) {
    this.#dataDirectory = dataDirectory;
  }

  /**
   * One question, one JSON answer. The gateway is of this very version, so its answer has the form it says.
   * @throws DaypassError `no_gateway`, `socket_denied`, or the error the gateway answered
   */
  async ask<Body>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answered<Body>> {
    const response = await this.#send(method, path, body);
    const text = await textOf(response);
    const answer: Body = parse(text);
    throwFault(answer);
    return { status: response.statusCode ?? 0, body: answer };
  }

  /**
   * A streamed answer, piece by piece.
   * @throws DaypassError as `ask`; `cut_off` when the answer ends before it is whole
   */
  async *stream(path: string): AsyncGenerator<string> {
    const response = await this.#send('GET', path);
    if (response.statusCode !== 200) {
      throwFault(parse(await textOf(response)));
      throw new DaypassError('failed', `The gateway answered ${response.statusCode}.`);
    }
    yield* piecesOf(response);
  }

  async #send(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    const payload = method === 'GET' ? undefined : JSON.stringify(body ?? {});
    const headers =
      payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
    const asked = request({ socketPath: socketOf(this.#dataDirectory), method, path, headers, agent: false });
    asked.end(payload);
    try {
      const [response]: IncomingMessage[] = await once(asked, 'response');
      if (response === undefined) throw new Error('no answer');
      return response;
    } catch (cause) {
      throw this.#unreachable(cause);
    }
  }

  #unreachable(cause: unknown): DaypassError {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') {
      return new DaypassError('no_gateway', `No gateway runs with the data directory ${this.#dataDirectory}.`, {
        cause,
        hint: 'Start one (`npm start`, or `daypass serve --config …`), or say where it is with --data or DAYPASS_DATA.',
      });
    }
    if (code === 'EACCES') {
      return new DaypassError('socket_denied', `Only its owner may use the gateway in ${this.#dataDirectory}.`, {
        cause,
        hint: 'Run this as the user the gateway runs as.',
      });
    }
    return new DaypassError('failed', `The gateway did not answer: ${messageOf(cause)}`, { cause });
  }
}

/** An answer, piece by piece. @throws DaypassError `cut_off` when it ends before it is whole */
export async function* piecesOf(response: IncomingMessage): AsyncGenerator<string> {
  response.setEncoding('utf8');
  try {
    for await (const piece of response) yield String(piece);
  } catch (cause) {
    throw new DaypassError('cut_off', 'The gateway broke off before the end: what was shown is not everything.', {
      cause,
      hint: "`daypass verify` and the gateway's log say more.",
    });
  }
}

/** An answer as a whole. @throws DaypassError `cut_off` */
export async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of piecesOf(response)) text += piece;
  return text;
}

function parse<Body>(text: string): Body {
  try {
    const body: Body = JSON.parse(text);
    return body;
  } catch (cause) {
    throw new DaypassError('failed', 'What answered on the socket is not a gateway of this version.', { cause });
  }
}

interface MaybeFault {
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

function throwFault(answer: MaybeFault | unknown): void {
  if (!isFault(answer)) return;
  const { code, message, hint } = answer.error;
  throw new DaypassError(code, message, hint === undefined ? {} : { hint });
}

function isFault(answer: unknown): answer is Required<MaybeFault> {
  return typeof answer === 'object' && answer !== null && 'error' in answer && typeof answer.error === 'object';
}
