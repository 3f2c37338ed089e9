import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';
import { type Fault, faultOf } from '../api/faults.js';
import type { GatewayStatus, Reloaded } from '../api/parts.js';
import { listenOnSocket } from '../api/socket.js';
import { DaypassError } from '../errors.js';
import { askWorker, type Question, textOf } from './ask.js';
import { unitedReload, unitedStatus } from './unite.js';

/** What the primary knows and no worker does. */
export interface OperatorParts {
  /** `<data>/daypass.sock`. */
  readonly socketPath: string;
  /** The workers' own, in their order. */
  readonly sockets: readonly string[];
  /** What is missing for work, over all workers. */
  readonly missing: () => Promise<Readonly<Record<string, string>>>;
  /** Where /livez is served, `host:port`. */
  readonly health: () => string;
}

/** The operator's API of a gateway with several workers. */
export interface Operator {
  close(): Promise<void>;
}

/** Bytes of a body that is read here; the workers' own limit (api/server.ts). */
const LARGEST_BODY = 64 * 1024;
/** What writes or reads the ledger is done in less, and what a worker knows by itself, milliseconds. */
const WITHIN = 30_000;
const AT_ONCE = 2_000;

/**
 * Listens for operators. The first worker answers whatever is the same for all of them, which includes every revocation: one
 * that waits for the ledger is then kept in one known place. What differs by worker is asked of each.
 * @throws DaypassError `already_running`, `data_directory_unsafe`, `socket_path_too_long`
 */
export async function startOperator(parts: OperatorParts): Promise<Operator> {
  const server = createServer((request, response) => {
    answerRequest(parts, request, response).catch((thrown: unknown) => {
      const { status, body } = faultOf(thrown);
      if (response.headersSent) response.destroy();
      else answer(response, status, body);
    });
  });
  await listenOnSocket(server, parts.socketPath);
  return {
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answerRequest(parts: OperatorParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = ''] = (request.url ?? '').split('?');
  const what = `${request.method} ${path}`;
  if (what === 'GET /v1/status') return answer(response, 200, await status(parts));
  if (what === 'POST /v1/reload') return reload(parts, request, response);
  if (/^POST \/v1\/sessions\/[^/]+\/end$/.test(what)) return endSession(parts, request, response);
  await checkFirst(parts);
  if (/^GET \/v1\/sessions\/[^/]+$/.test(what)) return showSession(parts, request, response);
  return passOn(parts, request, response);
}

/** One that hangs would keep whoever revokes waiting without end. @throws DaypassError `worker_unavailable` */
async function checkFirst({ sockets }: OperatorParts): Promise<void> {
  const question = { method: 'GET', path: '/v1/health', within: AT_ONCE } as const;
  await askWorker(sockets[0] ?? '', question).catch(() => {
    throw unavailable();
  });
}

/** Each worker's answer, or null where there is none or it failed. */
function askAll<Body>(sockets: readonly string[], question: Question): Promise<(Body | null)[]> {
  const ask = async (socket: string) => {
    const { status, body } = await askWorker<Body>(socket, question);
    return status < 500 ? body : null;
  };
  return Promise.all(sockets.map((socket) => ask(socket).catch(() => null)));
}

/** By worker: whether a session is live there. */
async function whereLive(sockets: readonly string[], sessionPath: string): Promise<boolean[]> {
  const question = { method: 'GET', path: `${sessionPath}/here`, within: AT_ONCE } as const;
  const answers = await askAll<{ here?: boolean }>(sockets, question);
  return answers.map((answered) => answered?.here === true);
}

async function status({ sockets, missing, health }: OperatorParts): Promise<GatewayStatus> {
  const question = { method: 'GET', path: '/v1/status', within: AT_ONCE } as const;
  const united = unitedStatus(await askAll<GatewayStatus>(sockets, question));
  if (united === null) throw unavailable();
  const notReady = Object.keys(await missing());
  return { ...united, pid: process.pid, notReady, listen: { ...united.listen, health: health() } };
}

/** Each worker reads the configuration, and writes down that it did: the body says who asks. */
async function reload({ sockets }: OperatorParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = (await bodyOf(request)) || '{}';
  const question = { method: 'POST', path: '/v1/reload', body, within: WITHIN } as const;
  const answers = await askAll<Reloaded | Fault>(sockets, question);
  const refused = answers.find((one) => one !== null && 'error' in one);
  if (refused) return answer(response, 400, refused);
  const united = unitedReload(answers.map((one) => (one === null || 'error' in one ? null : one)));
  answer(response, united.ok ? 200 : 422, united);
}

/**
 * The worker that has a session ends it at once, so that one is asked first: another that hangs delays nothing. When none says
 * that it has it, the first that answers has it ended by the gateway that does.
 */
async function endSession({ sockets }: OperatorParts, request: IncomingMessage, response: ServerResponse) {
  const body = await bodyOf(request);
  const question = { method: 'POST', path: request.url ?? '', body, within: WITHIN } as const;
  const live = await whereLive(sockets, question.path.replace(/\/end(\?.*)?$/, ''));
  const order = [...sockets.filter((_, index) => live[index]), ...sockets.filter((_, index) => !live[index])];
  for (const socket of order) {
    const said = await askWorker<object>(socket, question).catch(() => null);
    if (said !== null) return answer(response, said.status, said.body);
  }
  throw unavailable();
}

function bodyOf(request: IncomingMessage): Promise<string> {
  return textOf(request, LARGEST_BODY).catch((cause: unknown) => {
    throw new DaypassError('invalid_request', 'The body cannot be read.', { cause });
  });
}

/** The first worker records the viewing, once; whether the session is live here is asked of all. */
async function showSession(
  { sockets }: OperatorParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const question = { method: 'GET', path: request.url ?? '', within: WITHIN } as const;
  const shown = await askWorker<object>(sockets[0] ?? '', question).catch(() => null);
  if (shown === null) throw unavailable();
  if (shown.status !== 200) return answer(response, shown.status, shown.body);
  const [path = ''] = question.path.split('?');
  const live = await whereLive(sockets, path);
  answer(response, 200, { ...shown.body, liveHere: live.includes(true) });
}

/** To the first worker and back, as it comes: a replay is as long as its session. */
function passOn({ sockets }: OperatorParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url: path, headers } = request;
  const asked = httpRequest({ socketPath: sockets[0], method, path, headers: endToEnd(headers), agent: false });
  response.once('close', () => asked.destroy());
  return new Promise((resolve, reject) => {
    asked.on('error', () => reject(unavailable()));
    asked.once('response', (answered) => {
      response.writeHead(answered.statusCode ?? 502, endToEnd(answered.headers));
      // An answer that breaks off breaks off here too: it must not look whole.
      pipeline(answered, response, () => resolve());
    });
    pipeline(request, asked, () => {});
  });
}

/** Without what belongs to one connection (RFC 9110, section 7.6.1). */
function endToEnd(headers: IncomingMessage['headers']): IncomingMessage['headers'] {
  const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...rest } = headers;
  return rest;
}

function unavailable(): DaypassError {
  return new DaypassError('worker_unavailable', 'The worker that answers this is not up, or does not answer.', {
    hint: 'It is started again: try it in a moment. One that hangs (`daypass status` names it) is to be killed for that.',
  });
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  const headers = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' };
  response.writeHead(status, headers).end(JSON.stringify(body));
}
