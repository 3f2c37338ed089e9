import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { dial, overTls } from '../http/over-tls.js';
import { waitUntil } from '../support/wait.js';

const ROLES = { viewer: ['GET /**', 'POST /**', 'WS /**'] };
const ask = (line: string, handle: string, extra = '') =>
  `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}\r\n`;
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

t.test('A7: nothing takes a connection over while an answer on it is pending', async (t) => {
  for (const [taking, status] of [
    [(handle: string) => ask('GET /live', handle, UPGRADE), 426],
    [() => 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', 405],
  ] as const) {
    let answer = () => {};
    const echo = await startEcho(t, (req, res) => {
      if (req.url === '/slow') answer = () => res.end('the answer');
      else res.writeHead(426).end(); // this service opens no WebSockets
    });
    const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
    const { handle } = gateway.issue('web');
    const client = raw(t, gateway.port, ask('GET /slow', handle));
    await echo.request();
    client.socket.write(taking(handle));
    // Another connection of the grant gets through meanwhile: what waits would have, too.
    t.match(await raw(t, gateway.port, ask('PUT /other', handle, 'Connection: close\r\n')).ended, /^HTTP\/1\.1 403/);
    t.equal(client.text(), '', 'not a byte before the answer');
    t.same(
      echo.requests.map(({ url }) => url),
      ['/slow'],
    );
    answer();
    await client.sees(new RegExp(`the answer[\\s\\S]*HTTP/1\\.1 ${status} `));
    await gateway.stop();
  }
});

t.test('a pipelined request is forwarded only when the one before it is answered', async (t) => {
  let answerFirst = () => {};
  const echo = await startEcho(t, (req, res) => {
    if (req.url === '/first') answerFirst = () => res.end('first');
    else res.end('second');
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const post = ask('POST /first', handle, 'Content-Length: 0\r\n');
  const client = raw(t, gateway.port, post + ask('GET /second', handle, 'Connection: close\r\n'));
  await echo.request();
  // Another connection of the grant gets through meanwhile: the second of the pipeline would have, too.
  await raw(t, gateway.port, ask('GET /other', handle, 'Connection: close\r\n')).ended;
  t.same(
    echo.requests.map(({ url }) => url),
    ['/first', '/other'],
  );
  answerFirst();
  t.match(await client.ended, /first[\s\S]*second/);
  t.same(
    echo.requests.map(({ url }) => url),
    ['/first', '/other', '/second'],
  );
});

t.test('an answer that closes its connection is the last: what was sent behind it is not forwarded', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const refused = `${ask('PUT /last', handle, 'Content-Length: 1\r\n')}x`;
  t.match(await raw(t, gateway.port, refused + ask('GET /behind', handle)).ended, /^HTTP\/1\.1 403 /);
  await raw(t, gateway.port, ask('GET /other', handle, 'Connection: close\r\n')).ended;
  t.same(
    echo.requests.map(({ url }) => url),
    ['/other'],
  );
});

t.test(
  'of a pipeline without end the most part waits at its client, not in memory, and all of it is answered',
  async (t) => {
    let answerFirst = () => {};
    let answered = 0;
    const echo = await startEcho(t, (req, res) => {
      if (req.url === '/slow') answerFirst = () => res.end('slow');
      else {
        answered += 1;
        res.end('more');
      }
    });
    const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
    const { handle } = gateway.issue('web');
    const client = raw(t, gateway.port, ask('GET /slow', handle));
    await echo.request();
    const padded = ask('GET /more', handle, `X-Pad: ${'x'.repeat(8_000)}\r\n`);
    const many = 2_000;
    client.socket.write(padded.repeat(many));
    // Another connection has been served from end to end by then, and the kernel's buffers hold some megabytes at most.
    await raw(t, gateway.port, ask('PUT /other', handle, 'Connection: close\r\n')).ended;
    t.ok(client.socket.writableLength > 0, `${client.socket.writableLength} bytes wait at the client`);
    t.equal(echo.requests.length, 1);
    answerFirst();
    await waitUntil('all are answered', () => answered === many);
    t.pass('each was answered in its turn');
  },
);

/** The gateway's ends of its clients' connections, as they come. */
function accepted(t: Test): Socket[] {
  const sockets: Socket[] = [];
  const note = (message: unknown) => void sockets.push((message as { readonly socket: Socket }).socket);
  subscribe('net.server.socket', note);
  t.teardown(() => unsubscribe('net.server.socket', note));
  return sockets;
}

t.test('A5: who ends its side while its answer waits for it gets no byte of what others are answered', async (t) => {
  const sockets = accepted(t);
  let answering: ServerResponse | undefined;
  const echo = await startEcho(t, (req, res) => {
    if (req.url === '/theirs') res.end(Buffer.alloc(8_000_000, 'B'));
    else answering = res;
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const one = dial(gateway.port, { allowHalfOpen: true });
  t.teardown(() => one.destroy());
  one.on('error', () => {});
  one.write(ask('GET /mine', gateway.issue('web').handle));
  await waitUntil('the service is asked', () => answering !== undefined);
  const atGateway = sockets.find(
    ({ localPort, remotePort }) => localPort === gateway.port && remotePort === one.localPort,
  );
  // It does not read: some of its answer waits in the gateway's memory.
  const piece = Buffer.alloc(100_000, 'A');
  // Of what TLS carries the service alone can say that it waits.
  const waiting = () => (overTls.clients ? answering?.writableLength : atGateway?.writableLength) ?? 0;
  while (waiting() < 150_000) {
    answering?.write(piece);
    await pause(2);
  }
  one.end();
  for (const more of [piece, 'A', 'A']) {
    await pause(20);
    answering?.write(more);
  }
  await pause(20);
  const other = gateway.issue('web', { principal: 'bob' });
  await raw(t, gateway.port, ask('GET /theirs', other.handle, 'Connection: close\r\n')).ended;
  let isForeign = false;
  one.on('data', (chunk: Buffer) => (isForeign ||= chunk.includes('B', 0)));
  await new Promise((resolve) => one.once('close', resolve));
  t.notOk(isForeign);
});

t.test('A6: an answer that a client leaves in its midst does not end as if it were whole', async (t) => {
  const echo = await startEcho(t, (_req, res) => void res.write('half of it'));
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const asked = ask('GET /', gateway.issue('web').handle).replace('HTTP/1.1', 'HTTP/1.0');
  const client = dial(gateway.port, { allowHalfOpen: true });
  t.teardown(() => client.destroy());
  client.write(asked);
  const ended = new Promise((resolve) => client.once('end', () => resolve('a clean end')).once('error', resolve));
  client.once('data', () => client.end());
  t.match(await ended, { code: 'ECONNRESET' });
});

t.test(
  'a few empty lines before a request are let pass; a stream of them is no request, however it comes',
  async (t) => {
    const echo = await startEcho(t);
    const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
    const last = ask('GET /', gateway.issue('web').handle, 'Connection: close\r\n');
    t.match(await raw(t, gateway.port, `\r\n\r\n${last}`).ended, /you asked for/);
    t.match(await raw(t, gateway.port, '\r\n'.repeat(1_000)).ended, /^HTTP\/1\.1 400 /);
    const slow = raw(t, gateway.port, '\r');
    slow.socket.setNoDelay(true);
    const dripping = setInterval(() => slow.socket.write('\n\r'), 2);
    t.teardown(() => clearInterval(dripping));
    t.match(await slow.ended, /^HTTP\/1\.1 400 /);
    clearInterval(dripping);
  },
);
