import { createServer, type IncomingMessage, type Server } from 'node:http';
import { Duplex } from 'node:stream';
import type { Test } from 'tap';
import { HEAD_BYTES } from '../../src/http/request.js';
import type { Whole } from './request-reading.js';

/** What Node's own parser makes of what comes on one connection. One at a time: Node uses parsers again. */
export function nodeParser(t: Test): (bytes: Buffer) => Promise<Whole[]> {
  const server: Server = createServer({
    insecureHTTPParser: false,
    requireHostHeader: false,
    maxHeaderSize: HEAD_BYTES,
  });
  let heard: { req: IncomingMessage; takesOver: boolean }[] = [];
  const hear = (req: IncomingMessage, takesOver: boolean) => {
    heard.push({ req, takesOver });
    req.on('error', () => {}); // it was not whole
  };
  for (const event of ['request', 'checkContinue', 'checkExpectation'])
    server.on(event, (req: IncomingMessage) => hear(req, false));
  for (const event of ['upgrade', 'connect']) server.on(event, (req: IncomingMessage) => hear(req, true));
  server.on('clientError', () => {});
  t.teardown(() => server.close());
  return async (bytes) => {
    heard = [];
    const socket = new Duplex({ read() {}, write: (_bytes, _encoding, done) => done() });
    server.emit('connection', socket);
    socket.push(bytes);
    await new Promise((resolve) => setImmediate(resolve));
    const whole = heard.flatMap(wholeOf);
    socket.destroy();
    return whole;
  };
}

/** Node keeps a body until somebody takes it: all at once, or (since Node 26) piece by piece. */
function wholeOf({ req, takesOver }: { readonly req: IncomingMessage; readonly takesOver: boolean }): Whole[] {
  const { method = '', url: target = '', httpVersion: version, rawHeaders: headers } = req;
  const pieces: Buffer[] = [];
  for (let piece: Buffer | null = req.read(); piece !== null; piece = req.read()) pieces.push(piece);
  if (!req.complete && !takesOver) return [];
  return [{ method, target, version, headers, body: Buffer.concat(pieces).toString('latin1'), takesOver }];
}
