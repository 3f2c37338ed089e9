import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';

/** A worker's answer to one question. */
export interface Answer<Body> {
  readonly status: number;
  readonly body: Body;
}

export interface Question {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string | undefined;
  /** Milliseconds. */
  readonly within: number;
}

/** Asks a worker over its socket. Its answer has the form it says: it is of this very version. Throws when there is none. */
export async function askWorker<Body>(socketPath: string, question: Question): Promise<Answer<Body>> {
  const { method, path, body, within } = question;
  const headers =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const signal = AbortSignal.timeout(within);
  const asked = request({ socketPath, method, path, headers, agent: false, signal });
  asked.on('error', () => {}); // also one that comes after the answer began: reading it fails then
  asked.end(body);
  const [response]: IncomingMessage[] = await once(asked, 'response');
  if (response === undefined) throw new Error('no answer');
  const answered: Body = JSON.parse(await textOf(response));
  return { status: response.statusCode ?? 0, body: answered };
}

/** The whole body, as text. */
export async function textOf(message: IncomingMessage, limit = Number.POSITIVE_INFINITY): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of message) {
    pieces.push(piece);
    length += piece.length;
    if (length > limit) throw new RangeError('too long');
  }
  return Buffer.concat(pieces).toString();
}
