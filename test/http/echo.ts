import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Test } from 'tap';
import { portOf } from '../support/ports.js';
import { serviceServer } from './over-tls.js';

/** A request as the service understood it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  body: string;
}

/** A real HTTP service that keeps every byte it receives, by connection, and every request it reads from them. */
export interface Echo {
  readonly port: number;
  readonly url: string;
  readonly connections: readonly { readonly socket: Socket; bytes: string }[];
  readonly requests: readonly Seen[];
  /** Resolves at the next request that `matches`, also at one that has been seen already. */
  request(matches?: (seen: Seen) => boolean): Promise<Seen>;
}

export type Answer = (req: IncomingMessage, res: ServerResponse) => void;

const DEFAULT: Answer = (req, res) => {
  req.resume();
  req.once('end', () => res.end(`you asked for ${req.url}`));
};

/** Starts the service; it answers with `answer`, by default once the request is whole. */
export async function startEcho(t: Test, answer: Answer = DEFAULT): Promise<Echo> {
  const connections: { socket: Socket; bytes: string }[] = [];
  const requests: Seen[] = [];
  const waiting = new Set<() => void>();
  const http = createServer((req, res) => {
    const seen: Seen = { method: req.method ?? '', url: req.url ?? '', headers: pairsOf(req.rawHeaders), body: '' };
    requests.push(seen);
    req.on('data', (chunk: Buffer) => (seen.body += chunk.toString('latin1')));
    req.on('error', () => {});
    for (const look of waiting) look();
    answer(req, res);
  });
  const { server, scheme } = await serviceServer((socket) => {
    const connection = { socket, bytes: '' };
    connections.push(connection);
    socket.on('error', () => {});
    http.emit('connection', socket);
    // After the server's own listener: the socket is set flowing for both.
    socket.on('data', (chunk: Buffer) => (connection.bytes += chunk.toString('latin1')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const { socket } of connections) socket.destroy();
    server.close();
    http.close();
  });
  const port = portOf(server.address());
  const request = (matches: (seen: Seen) => boolean = () => true) =>
    new Promise<Seen>((resolve) => {
      const look = () => {
        const found = requests.find(matches);
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
    });
  return { port, url: `${scheme}://127.0.0.1:${port}`, connections, requests, request };
}

function pairsOf(flat: readonly string[]): (readonly [string, string])[] {
  return flat.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), flat[at + 1] ?? ''] as const] : []));
}
