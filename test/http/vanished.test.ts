import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { portOf } from '../support/ports.js';
import { closed, waitUntil } from '../support/wait.js';
import { raw, startGateway, type TestGateway } from './gateway.js';
import { opened } from './open-websocket.js';
import { anyPair, overTls, resetConnection } from './over-tls.js';
import { bareService } from './raw-service.js';
import { closing, masked, unmasked } from './ws-frames.js';

/* Clients that are gone, where nothing that they sent is read: nobody takes it. */

const NEVER = 600_000;

/** Sends more than there is room for on its way. Sooner, a reset would be noticed all the more. */
async function fill(socket: Socket, piece: Buffer): Promise<void> {
  for (let bytes = 0; bytes < 32_000_000; bytes += piece.length) socket.write(piece);
  await pause(2_000);
}

const resultOf = async (gateway: TestGateway) => (await gateway.events()).find(({ kind }) => kind === 'result')?.facts;

for (const isSecured of [false, true]) {
  const over = isSecured ? ' over TLS' : '';

  t.test(`a reset${over} is noticed though the service takes nothing of the body`, async (t) => {
    t.teardown(() => Object.assign(overTls, { clients: false }));
    Object.assign(overTls, { clients: isSecured });
    const { url, sockets } = await bareService(t, (_, socket) => socket.pause());
    const upstreamLimits = { connect: 5_000, response: NEVER };
    const gateway = await startGateway(t, { web: { url, roles: { viewer: ['POST /in'] } } }, { upstreamLimits });
    const { handle } = gateway.issue('web');
    const head = `POST /in HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nContent-Length: 1000000000\r\n\r\n`;
    const { socket } = raw(t, gateway.port, head);
    await waitUntil('it is asked', () => sockets.length === 1);
    await fill(socket, Buffer.alloc(1_000_000));
    resetConnection(socket);
    await waitUntil('it is known', async () => (await resultOf(gateway)) !== undefined);
    t.match(await resultOf(gateway), { reason: 'client_left' });
  });

  t.test(`a reset${over} is noticed though the service takes no more messages`, async (t) => {
    t.teardown(() => Object.assign(overTls, { clients: false }));
    Object.assign(overTls, { clients: isSecured });
    const { gateway, client, service } = await opened(t, 'buffered');
    service.pause();
    await fill(client, masked(0x82, Buffer.alloc(50_000)));
    resetConnection(client);
    await waitUntil('it is known', async () => (await resultOf(gateway)) !== undefined);
    t.match(await resultOf(gateway), { status: '1006', reason: 'client_left' });
  });
}

/** What a client begins a TLS handshake with. */
async function helloOf(t: Test): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const client = connectTls({ port: portOf(server.address()), host: '127.0.0.1', servername: 'web.localhost' });
  client.on('error', () => {});
  const [socket]: Socket[] = await once(server, 'connection');
  const [hello]: Buffer[] = await once(socket!, 'data');
  socket?.destroy();
  return hello!;
}

t.test('whoever ends its side amid a TLS handshake is let go of, and is no fault', async (t) => {
  const pair = await anyPair();
  const { url } = await bareService(t, () => {});
  const gateway = await startGateway(
    t,
    { web: { url, roles: { viewer: ['GET /x'] } } },
    { tls: pair, headTimeout: NEVER },
  );
  const hello = await helloOf(t);
  for (const said of ['', '\x16\x03\x01', hello.subarray(0, 100), hello]) {
    const leaving = connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true }).resume();
    leaving.on('error', () => {});
    await once(leaving, 'connect');
    leaving.end(said);
    await closed(leaving);
  }
  t.same(
    gateway.lines.filter((line) => JSON.parse(line).level >= 40),
    [],
  );
});

t.test('whoever ends its side behind a TLS handshake is still answered', async (t) => {
  t.teardown(() => Object.assign(overTls, { clients: false }));
  Object.assign(overTls, { clients: true });
  const { client, service, received, seen } = await opened(t);
  client.end(masked(0x88, closing(1000, 'enough')));
  await waitUntil('the service is told', () => received().length > 0);
  await pause(100); // until the end has come
  service.end(unmasked(0x88, closing(1000, 'and goodbye')));
  await once(client, 'end');
  t.same(seen(), ['88 1000 and goodbye']);
});

const TABLE = '/proc/net/tcp';
t.test(
  'the system asks whether a client is still there of which nothing is heard',
  { skip: existsSync(TABLE) ? false : 'no such table here' },
  async (t) => {
    const { gateway, client } = await opened(t);
    const port = (one: number | undefined) => `:${Number(one).toString(16).toUpperCase().padStart(4, '0')}`;
    const [ours, theirs] = [port(gateway.port), port(client.localPort)];
    const line = readFileSync(TABLE, 'latin1')
      .split('\n')
      .map((one) => one.trim().split(/\s+/))
      .find(([, local = '', remote = '']) => local.endsWith(ours) && remote.endsWith(theirs));
    // The timer that runs, proc(5): 2 is that of keepalive where nothing waits to be acknowledged.
    t.match(line?.[5], /^02:/);
  },
);
