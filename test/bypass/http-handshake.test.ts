import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { rawOver, startGateway, type TestGateway } from '../http/gateway.js';
import { anyPair } from '../http/over-tls.js';
import { portOf } from '../support/ports.js';
import { closed, waitUntil } from '../support/wait.js';

const ROLES = { viewer: ['GET /**', 'POST /**'] };
const pair = await anyPair();

async function started(t: Test, headTimeout = 10_000) {
  const { url } = await startEcho(t);
  const gateway = await startGateway(t, { web: { url, roles: ROLES } }, { tls: pair, headTimeout });
  return { gateway, ...gateway.issue('web') };
}

const ask = (handle: string) =>
  `GET /x HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`;

function plain(t: Test, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1' }).resume();
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  return socket;
}

function dialled(t: Test, port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connectTls({ port, host: '127.0.0.1', ca: pair.cert, servername: 'web.localhost', ...options });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  return socket;
}

async function secured(t: Test, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = dialled(t, port, options);
  await once(socket, 'secureConnect');
  return socket;
}

const told = ({ lines }: TestGateway) => lines.map((line) => JSON.parse(line)).filter(({ level }) => level >= 40);

async function counted({ metrics }: TestGateway): Promise<number> {
  const lines = (await metrics.registry.metrics()).matchAll(/^daypass_http_refusals_total\{.*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** What no TLS comes of, each with what is told of it. */
const FAILING: Readonly<Record<string, readonly [(t: Test, port: number, handle: string) => Socket, RegExp]>> = {
  'plain HTTP': [(t, port, handle) => rawOver(t, plain(t, port), ask(handle)).socket, /ERR_SSL_HTTP_REQUEST/],
  garbage: [(t, port) => rawOver(t, plain(t, port), 'x'.repeat(5_000)).socket, /ERR_SSL_/],
  'a message of PostgreSQL': [(t, port) => rawOver(t, plain(t, port), '\0\0\0\x08\x04\xd2\x16\x2f').socket, /ERR_SSL_/],
  'TLS 1.1': [
    (t, port) => dialled(t, port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    /ERR_SSL_UNSUPPORTED_PROTOCOL/,
  ],
  'HTTP/2 alone': [(t, port) => dialled(t, port, { ALPNProtocols: ['h2'] }), /ERR_SSL_/],
  'another protocol': [(t, port) => dialled(t, port, { ALPNProtocols: ['postgresql', 'HTTP/1.1'] }), /ERR_SSL_/],
  'weak ciphers alone': [
    (t, port) => dialled(t, port, { maxVersion: 'TLSv1.2', ciphers: 'AES256-SHA:@SECLEVEL=0' }),
    /ERR_SSL_NO_SHARED_CIPHER/,
  ],
};

for (const hasReloaded of [false, true]) {
  t.test(
    `what speaks no TLS that is spoken here is refused, ${hasReloaded ? 'after a reload too, ' : ''}told and counted once`,
    async (t) => {
      const { gateway, handle } = await started(t);
      if (hasReloaded) gateway.http.replaceCertificate(pair);
      let count = 0;
      for (const [name, [begin, why]] of Object.entries(FAILING)) {
        const socket = begin(t, gateway.port, handle);
        let seen = '';
        socket.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
        await closed(socket);
        count += 1;
        await waitUntil(`${name} is told`, () => told(gateway).length >= count);
        t.notMatch(seen, /HTTP\/|Daypass/i, name);
        t.match(told(gateway).at(-1), {
          client: '127.0.0.1',
          status: 400,
          reason: 'bad_request',
          rule: 'a TLS handshake',
        });
        t.match(told(gateway).at(-1)?.why, why, name);
      }
      t.equal(told(gateway).length, count);
      t.equal(await counted(gateway), count);
    },
  );
}

/** A relay in front of a port that lets bytes through one at a time. @returns its port */
async function dripping(t: Test, port: number, every: number): Promise<number> {
  const server = createServer((near) => {
    const far = plain(t, port).setNoDelay(true);
    near.on('error', () => {});
    far.pipe(near);
    far.once('close', () => near.destroy());
    const waiting: number[] = [];
    near.on('data', (chunk: Buffer) => void waiting.push(...chunk));
    const timer = setInterval(() => {
      const byte = waiting.shift();
      if (byte !== undefined && far.writable) far.write(Buffer.from([byte]));
    }, every);
    near.once('close', () => clearInterval(timer));
    t.teardown(() => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return portOf(server.address());
}

t.test(
  'a handshake has its time as a whole, however it is spent, and who leaves within it is not told of',
  async (t) => {
    const { gateway, handle } = await started(t, 1_000);
    const slow = [
      plain(t, gateway.port),
      rawOver(t, plain(t, gateway.port), '\x16').socket,
      rawOver(t, plain(t, gateway.port), Buffer.from('16030102000100', 'hex')).socket,
      dialled(t, await dripping(t, gateway.port, 20)),
      dialled(t, await dripping(t, gateway.port, 20), { maxVersion: 'TLSv1.2' }),
    ];
    await Promise.all(slow.map(closed));
    await waitUntil('all are told', () => told(gateway).length >= slow.length);
    for (const line of told(gateway)) t.match(line, { status: 408, rule: 'a TLS handshake', why: /TIMEOUT/ });
    for (const leave of [(one: Socket) => one.destroy(), (one: Socket) => one.resetAndDestroy()]) {
      const leaving = plain(t, gateway.port);
      leaving.write(Buffer.from('16030102000100', 'hex'));
      await once(leaving, 'connect');
      leave(leaving);
    }
    const good = await secured(t, gateway.port);
    t.match(await rawOver(t, good, ask(handle)).ended, /200 OK/);
    t.equal(told(gateway).length, slow.length);
    t.equal(await counted(gateway), slow.length);
  },
);

t.test('a thousand handshakes that never finish keep nobody else from theirs, and are let go of', async (t) => {
  const { gateway, handle } = await started(t, 2_000);
  const many = Array.from({ length: 1_000 }, () => {
    const socket = plain(t, gateway.port);
    socket.write(Buffer.from('16030102000100', 'hex'));
    return closed(socket);
  });
  t.match(await rawOver(t, await secured(t, gateway.port), ask(handle)).ended, /200 OK/);
  await Promise.all(many);
  await waitUntil('each is told', () => told(gateway).length >= many.length);
  t.equal(told(gateway).length, many.length);
});

t.test('requests in records of one byte each are requests', async (t) => {
  const { gateway, handle } = await started(t);
  const chunked = `POST /x HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`;
  for (const request of [ask(handle), chunked]) {
    const client = rawOver(t, await secured(t, gateway.port), '');
    client.socket.setNoDelay(true);
    for (const byte of request) client.socket.write(byte);
    t.match(await client.ended, /^HTTP\/1\.1 200 OK[\s\S]*you asked for \/x/);
  }
});

t.test('nothing is agreed on anew within a connection', async (t) => {
  for (const hasReloaded of [false, true]) {
    const { gateway, handle } = await started(t, 1_000);
    if (hasReloaded) gateway.http.replaceCertificate(pair);
    const socket = (await secured(t, gateway.port, { maxVersion: 'TLSv1.2' })).resume();
    const over = closed(socket);
    let isRenewed = false;
    socket.renegotiate({}, (error) => {
      isRenewed = error === null;
    });
    await over;
    t.notOk(isRenewed);
    t.match(await rawOver(t, await secured(t, gateway.port), ask(handle)).ended, /200 OK/);
  }
});

t.test('whatever name a client asks TLS for, its Host alone selects a service', async (t) => {
  const { gateway, handle } = await started(t);
  for (const servername of ['other.localhost', 'evil.test', 'WEB.localhost', 'localhost', '']) {
    const socket = await secured(t, gateway.port, { servername, checkServerIdentity: () => undefined });
    t.match(await rawOver(t, socket, ask(handle)).ended, /200 OK/, servername);
    const named = await secured(t, gateway.port, { servername: 'web.localhost' });
    const elsewhere = ask(handle).replace('web.localhost', servername || 'nowhere.localhost');
    if (servername !== 'WEB.localhost' && servername !== 'localhost')
      t.match(await rawOver(t, named, elsewhere).ended, /^HTTP\/1\.1 421 /, servername);
  }
});

t.test('a session of before is resumed, and not beyond a change of the certificate', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { gateway, handle } = await started(t);
    const first = dialled(t, gateway.port, { maxVersion });
    let session: Buffer | undefined;
    first.on('session', (given: Buffer) => (session = given));
    await once(first, 'secureConnect');
    await rawOver(t, first, ask(handle)).ended;
    const resumed = async () => {
      const socket = await secured(t, gateway.port, { maxVersion, session });
      const isReused = socket.isSessionReused();
      t.match(await rawOver(t, socket, ask('dp_nobody')).ended, /^HTTP\/1\.1 401 /, 'which says nothing of who asks');
      return isReused;
    };
    t.ok(await resumed(), maxVersion);
    gateway.http.replaceCertificate(pair);
    t.notOk(await resumed(), maxVersion);
  }
});

t.test('a certificate that is changed under load, and cannot be changed in between, fails no client', async (t) => {
  const { gateway, handle } = await started(t);
  const half = { ...pair, cert: pair.cert.slice(0, 300) };
  let isOver = false;
  const changing = async () => {
    while (!isOver) {
      t.throws(() => gateway.http.replaceCertificate(half));
      t.throws(() => gateway.http.replaceCertificate({ ...pair, key: pair.key.slice(0, 100) }));
      await new Promise((resolve) => setTimeout(resolve, 2));
      gateway.http.replaceCertificate(pair);
    }
  };
  const asking = Array.from({ length: 8 }, async () => {
    for (let count = 0; count < 25; count += 1)
      t.match(await rawOver(t, await secured(t, gateway.port), ask(handle)).ended, /200 OK/);
  });
  const changed = changing();
  await Promise.all(asking);
  isOver = true;
  await changed;
  t.same(told(gateway), []);
});
