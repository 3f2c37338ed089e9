import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { WebSocketServer } from 'ws';

/** A web service, and what it was sent: paths and WebSocket messages. */
export interface WebService {
  readonly port: number;
  readonly saw: readonly string[];
}

const CHUNK = Buffer.alloc(64 * 1024, 'x');

/**
 * Pages under `/n/`, an event stream of a line each 20 ms, a body of 64 KiB chunks without an end, an answer that never
 * comes, uploads that are read and not answered, a WebSocket that echoes, one that ticks, one that floods, and one that is never opened.
 */
export async function webService(t: Test): Promise<WebService> {
  const saw: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    saw.push(path);
    response.on('error', () => {});
    if (path.startsWith('/stream')) return every(20, response, () => response.write('data: tick\n\n'));
    if (path.startsWith('/flood')) return pour(response);
    if (path.startsWith('/silent')) return undefined;
    if (path.startsWith('/upload')) return void request.resume();
    return response.end('hello\n');
  });
  const sockets = new WebSocketServer({
    server,
    perMessageDeflate: false,
    verifyClient: ({ req }, answer) => {
      if (req.url !== '/mute') answer(true);
    },
  });
  sockets.on('connection', (socket, request) => {
    socket.on('error', () => {});
    if (request.url === '/ticks') every(20, socket, () => socket.send('tick'));
    if (request.url === '/pour') every(1, socket, () => socket.bufferedAmount < 1e6 && socket.send(CHUNK));
    socket.on('message', (data, isBinary) => {
      saw.push(String(data));
      socket.send(data, { binary: isBinary });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const timer of ticking) clearInterval(timer);
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, saw };
}

const ticking = new Set<NodeJS.Timeout>();

function every(ms: number, whom: NodeJS.EventEmitter, act: () => void): void {
  const timer = setInterval(act, ms);
  ticking.add(timer);
  whom.once('close', () => {
    clearInterval(timer);
    ticking.delete(timer);
  });
  act();
}

/** As fast as it is read. */
function pour(response: NodeJS.WritableStream): void {
  const more = () => {
    while (response.writable && response.write(CHUNK));
  };
  response.on('drain', more);
  more();
}

/** The policy of a web service under this name. */
export function webPolicy(name: string, port: number): string {
  return `
service: ${name}
protocol: http
lane: production
owner: group:payments-leads
upstream: { url: "http://127.0.0.1:${port}" }
roles:
  viewer: { allow: [GET /n/:number, GET /stream, GET /flood, GET /silent, PUT /upload, WS /live, WS /ticks, WS /pour, WS /mute] }
grants: { max_duration: 8h, max_renewals: 2 }
recording: { mode: strict }
`;
}
