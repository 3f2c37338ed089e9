import { IncomingMessage, ServerResponse } from 'node:http';
import type { Header } from '../action.js';
import type { Kept } from '../memory/reading.js';
import type { ClientRequest } from './request.js';
import type { ClientResponse } from './response.js';

/** A request as a handler of Node's takes it. */
export interface NodeView {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/**
 * Shows a request to a handler that was written for Node's own server, whose answer is given with Node's own writer.
 * @param target - what the handler is told was asked for
 */
export function nodeViewOf(request: ClientRequest, response: ClientResponse, target: string): NodeView {
  const req = messageOf(request, target);
  const { socket } = request;
  function end(): void {
    req.complete = true;
    req.push(null);
  }
  function fail(error: Error): void {
    if (!res.writableFinished) req.destroy(error); // it takes the connection along
  }
  req._read = () => request.resume();
  req.on('error', () => {}); // who broke off is told of elsewhere
  const res = new ServerResponse(req);
  res.shouldKeepAlive = response.keepsAlive;
  res.assignSocket(socket);
  response.givenBy(res);
  function data({ bytes, page, release }: Kept): void {
    const isFlowing = req.push(page === null ? bytes : Buffer.from(bytes));
    release();
    if (!isFlowing) request.pause();
  }
  request.receive({ data, end, fail });
  const drained = () => void (res.writableEnded || res.emit('drain'));
  socket.on('drain', drained);
  res.once('finish', () => {
    socket.off('drain', drained);
    res.detachSocket(socket);
    res.emit('close');
    response.given(res.shouldKeepAlive && !isLast(res));
  });
  return { req, res };
}

/** Whether the client was told that nothing follows. Node keeps that to itself; its own server asks the same. */
function isLast(res: ServerResponse): boolean {
  return Reflect.get(res, '_last') === true;
}

/** A request as Node would have read it, for a handler that knows no other. It has no body as long as nobody pushes one. */
export function messageOf(request: ClientRequest, target: string): IncomingMessage {
  const req = new IncomingMessage(request.socket);
  const { version, headers, method } = request;
  req.method = method;
  req.url = target;
  req.httpVersion = version;
  req.httpVersionMajor = 1;
  req.httpVersionMinor = version === '1.1' ? 1 : 0;
  req.rawHeaders = headers.flat();
  req.headers = recordOf(headers);
  return req;
}

/** Headers that may stand once: of more the first counts, as Node has it. */
const SINGLE = new Set([
  'age',
  'authorization',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
]);

function recordOf(headers: readonly Header[]): IncomingMessage['headers'] {
  const record: NodeJS.Dict<string> = Object.create(null);
  for (const [spelled, value] of headers) {
    const name = spelled.toLowerCase();
    const before = record[name];
    if (before === undefined) record[name] = value;
    else if (!SINGLE.has(name)) record[name] = `${before}${name === 'cookie' ? '; ' : ', '}${value}`;
  }
  return record;
}
