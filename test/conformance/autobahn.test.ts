import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import * as ws from 'ws';
import { startGateway } from '../http/gateway.js';
import { portOf } from '../support/ports.js';
import { CASES, type Case, frame, said } from './autobahn-cases.js';

/** The reader of the package: exported by it, and missing from its types. */
const { Receiver } = ws as unknown as {
  Receiver: new (options: object) => NodeJS.EventEmitter & { write(chunk: Buffer): void; end(): void };
};

/** A service that sends back what it is sent, and what it was sent, by connection. */
async function echoService(t: Test) {
  const heard: string[][] = [];
  const server = new ws.WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  server.on('connection', (socket) => {
    const own: string[] = [];
    heard.push(own);
    socket.on('error', () => {});
    socket.on('message', (data: Buffer, isBinary) => {
      own.push(said(isBinary ? 'binary' : 'text', data));
      socket.send(data, { binary: isBinary });
    });
  });
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const port = portOf(server.address());
  return { url: `http://127.0.0.1:${port}`, heard };
}

function piecesOf({ sent, cut }: Case): readonly Buffer[] {
  if (cut === 'frames') return sent;
  const bytes = Buffer.concat(sent);
  if (cut === 'whole') return [bytes];
  return Array.from({ length: Math.ceil(bytes.length / cut) }, (_, n) => bytes.subarray(n * cut, (n + 1) * cut));
}

const CLOSE = frame(8, Buffer.from([0x03, 0xe8]));

/** Sends a case's bytes over a connection of its own, and answers what came back and the code it was closed with. */
async function run(port: number, handle: string, one: Case): Promise<{ echoed: string[]; closed: number | null }> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  const lines = ['GET /live HTTP/1.1', 'Host: web.localhost', `Daypass-Handle: ${handle}`, 'Connection: Upgrade'];
  lines.push('Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '', '');
  socket.write(lines.join('\r\n'));
  const opened = await headOf(socket);
  const echoed: string[] = [];
  let closed: number | null = null;
  const receiver = new Receiver({ isServer: false, skipUTF8Validation: true });
  const goOn = () => {
    // A case that ends well is closed once everything it asks for has come back.
    if (one.closed === null && echoed.length >= one.echoed.length) socket.write(CLOSE);
  };
  receiver.on('message', (data: Buffer, isBinary: boolean) => {
    echoed.push(said(isBinary ? 'binary' : 'text', data));
    goOn();
  });
  receiver.on('pong', (data: Buffer) => {
    echoed.push(said('pong', data));
    goOn();
  });
  receiver.on('conclude', (code: number) => {
    closed = code;
  });
  if (opened.length > 0) receiver.write(opened);
  socket.on('data', (bytes: Buffer) => receiver.write(bytes));
  const ended = once(socket, 'close');
  for (const piece of piecesOf(one)) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (one.echoed.length === 0) goOn();
  await ended;
  receiver.end();
  return { echoed, closed };
}

/** Reads the answer to the opening. @returns what came behind it */
async function headOf(socket: ReturnType<typeof connect>): Promise<Buffer> {
  let seen = Buffer.alloc(0);
  while (!seen.includes('\r\n\r\n')) {
    const [chunk]: Buffer[] = await once(socket, 'data');
    seen = Buffer.concat([seen, chunk ?? Buffer.alloc(0)]);
  }
  if (!seen.toString('latin1').startsWith('HTTP/1.1 101 ')) throw new Error(seen.toString('latin1'));
  return seen.subarray(seen.indexOf('\r\n\r\n') + 4);
}

t.test('the cases of Autobahn’s suite about frames, pings, fragments, UTF-8 and closing', async (t) => {
  const service = await echoService(t);
  const gateway = await startGateway(t, { web: { url: service.url, roles: { viewer: ['WS /live'] } } });
  const { handle } = gateway.issue('web', { forMs: 600_000 });
  t.equal(new Set(CASES.map(({ number }) => number)).size, CASES.length, 'each number stands once');
  for (const one of CASES) {
    const name = `${one.number}: ${one.what}`;
    const { echoed, closed } = await run(gateway.port, handle, one);
    t.equal(closed, one.closed ?? 1000, name);
    const isFault = closed === 1002 || closed === 1007;
    // What was sent before a fault may come back or not ("non-strict"); nothing else does.
    t.ok(isFault ? echoed.every((it, at) => it === one.echoed[at]) : echoed.join('\0') === one.echoed.join('\0'), name);
    const messages = one.echoed.filter((it) => !it.startsWith('pong'));
    t.ok(
      service.heard.at(-1)?.every((it, at) => it === messages[at]),
      `${name}: nothing else reached the service`,
    );
  }
  t.equal(service.heard.length, CASES.length, 'a connection for each case');
});
