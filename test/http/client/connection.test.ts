import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { systemClock } from '../../../src/clock.js';
import { ClientConnection } from '../../../src/http/client/connection.js';
import type { ClientRequest } from '../../../src/http/client/request.js';
import type { ClientResponse } from '../../../src/http/client/response.js';
import { portOf } from '../../support/ports.js';
import { closed, waitUntil } from '../../support/wait.js';

const LARGE = 'x'.repeat(16_000_000);
const MINUTE = 60_000;

/** A connection on which one request was made by a client that reads nothing, and was answered so. */
async function answered(t: Test, answer: (res: ClientResponse, req: ClientRequest) => void, body = '') {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server.address());
  const client = connect(port, '127.0.0.1').pause();
  client.on('error', () => {});
  const [socket]: Socket[] = await once(server, 'connection');
  if (socket === undefined) throw new Error('no connection');
  t.teardown(() => {
    for (const one of [client, socket, server]) 'destroy' in one ? one.destroy() : one.close();
  });
  const asked = new Promise<ClientConnection>((resolve) => {
    const handler = {
      request(req: ClientRequest, res: ClientResponse) {
        answer(res, req);
        resolve(connection);
      },
      unreadable: ({ socket }: ClientConnection) => void socket.end(LARGE),
      upgrade() {},
      connect() {},
      failed() {},
    };
    const parts = { handler, domain: 'localhost', headTimeout: 10_000, connections: new Set<ClientConnection>() };
    const connection = new ClientConnection(socket, parts);
  });
  client.write(`POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
  return { connection: await asked, socket, client };
}

/** Looks at a connection now, and once more when so much has passed. */
function lookTwice(connection: ClientConnection, after: number): void {
  const now = systemClock.monotonic();
  connection.look(now);
  connection.look(now + after);
}

t.test('an answer of our own that its client does not take is not waited for without limit', async (t) => {
  const { connection, socket } = await answered(t, (res) => res.send(200, {}, LARGE), '0\r\n\r\n');
  lookTwice(connection, MINUTE);
  t.notOk(socket.destroyed);
  lookTwice(connection, 2 * MINUTE);
  t.ok(socket.destroyed);
});

t.test('a client that takes of its answer is waited for', async (t) => {
  const { connection, socket, client } = await answered(
    t,
    (res, req) => {
      res.send(200, {}, LARGE);
      req.socket.write(LARGE);
    },
    '0\r\n\r\n',
  );
  const now = systemClock.monotonic();
  connection.look(now);
  client.resume();
  await once(client, 'data');
  while (socket.writableLength >= 2 * LARGE.length) await once(client, 'data');
  connection.look(now + 2 * MINUTE);
  t.notOk(socket.destroyed);
});

t.test('an answer that ends with its session is waited for as long as that lives', async (t) => {
  const { connection, socket } = await answered(t, (res) => {
    res.owner = { isBounded: true, drained() {}, closed() {} };
    res.send(200, {}, LARGE);
  });
  lookTwice(connection, 60 * MINUTE);
  t.notOk(socket.destroyed);
});

t.test('an answer that is still made is waited for', async (t) => {
  const { connection, socket } = await answered(t, () => {});
  lookTwice(connection, 60 * MINUTE);
  t.notOk(socket.destroyed);
});

t.test('who sends what is no request, and does not take what it is told, waits, and is let go of', async (t) => {
  const { connection, socket, client } = await answered(t, () => {}, 'no chunk\r\n');
  for (let times = 0; times < 4; times += 1) client.write(LARGE);
  await waitUntil('it waits', () => socket.isPaused());
  t.ok(socket.bytesRead < 3 * LARGE.length, `${socket.bytesRead} bytes were read`);
  lookTwice(connection, MINUTE);
  t.ok(socket.destroyed);
});

t.test(
  'who sends on and on what nobody wants, and does not take its answer, does not get a part of it that looks whole',
  async (t) => {
    const { connection, socket, client } = await answered(t, (res, req) => {
      res.send(200, {}, LARGE);
      req.drop();
    });
    client.write(`${LARGE.length.toString(16)}\r\n${LARGE}`);
    await waitUntil('it was read', () => socket.bytesRead > LARGE.length);
    t.notOk(socket.destroyed, 'it has time to take the answer');
    lookTwice(connection, 2 * MINUTE);
    // A reset takes back what the system was given; behind a close megabytes would still be read, and an end.
    let bytes = 0;
    client.on('data', (chunk: Buffer) => (bytes += chunk.byteLength)).resume();
    await closed(client);
    t.ok(bytes < 1_000_000, `${bytes} bytes`);
  },
);

t.test('who sends on and on waits, and reads its answer to the end meanwhile', async (t) => {
  for (const keepsAlive of [true, false]) {
    const { connection, socket, client } = await answered(t, (res, req) => {
      res.keepsAlive = keepsAlive;
      res.send(413, {}, LARGE);
      req.drop();
    });
    for (let chunks = 0; chunks < 4; chunks += 1) client.write(`${LARGE.length.toString(16)}\r\n${LARGE}\r\n`);
    await waitUntil('it waits', () => socket.isPaused());
    t.ok(socket.bytesRead < 3 * LARGE.length, `${socket.bytesRead} bytes were read`);
    let bytes = 0;
    client.on('data', (chunk: Buffer) => (bytes += chunk.byteLength)).resume();
    await waitUntil('the answer came', () => bytes > LARGE.length);
    lookTwice(connection, 6_000);
    t.ok(socket.destroyed, 'and is let go of then');
  }
});

t.test('a connection that rests has no page to itself', async (t) => {
  const body = `${(20_000).toString(16)}\r\n${'x'.repeat(20_000)}\r\n0\r\n\r\n`;
  const { connection, socket } = await answered(t, (res, req) => res.send(200, {}, req.method), body);
  await waitUntil('it rests', () => connection.isIdle);
  const field = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'kBuffer');
  const { length }: Buffer = Reflect.get(socket, field ?? '');
  t.equal(length, 64 * 1024, 'it reads into what everybody does');
});

t.test('what waits behind the last answer is read on, so that no reset takes the answer back', async (t) => {
  const given: ClientResponse[] = [];
  const { socket, client } = await answered(t, (res) => given.push(res), '0\r\n\r\n');
  const behind = 'x'.repeat(900_000);
  client.write(behind);
  await waitUntil('the client waits', () => socket.isPaused());
  for (const res of given) {
    res.keepsAlive = false;
    res.send(200, {}, 'the last');
  }
  await waitUntil('all was read', () => socket.bytesRead > behind.length, { seconds: 10 });
  t.notOk(socket.destroyed);
});

t.test(
  'requests that are answered at once have a turn each, so that others are not kept waiting by a pipeline',
  async (t) => {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = portOf(server.address());
    let turn = 0;
    let isOver = false;
    const count = () => {
      turn += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const turns: number[] = [];
    const handler = {
      request(_req: ClientRequest, res: ClientResponse) {
        turns.push(turn);
        res.send(200, {}, 'at once');
      },
      unreadable() {},
      upgrade() {},
      connect() {},
      failed() {},
    };
    const parts = { handler, domain: 'localhost', headTimeout: 10_000, connections: new Set<ClientConnection>() };
    server.once('connection', (socket) => void new ClientConnection(socket, parts));
    const client = connect(port, '127.0.0.1').resume();
    t.teardown(() => {
      isOver = true;
      client.destroy();
      server.close();
    });
    const many = 500;
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(many));
    while (turns.length < many) await once(client, 'data');
    t.equal(new Set(turns).size, many);
  },
);

t.test('A5: what stands behind an upgrade stays what its own client sent', async (t) => {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server.address());
  const rests: Buffer[] = [];
  let refused = 0;
  const handler = {
    request() {},
    unreadable() {
      refused += 1;
    },
    upgrade: (_req: ClientRequest, _socket: unknown, rest: Buffer) => void rests.push(rest),
    connect() {},
    failed() {},
  };
  const parts = { handler, domain: 'localhost', headTimeout: 10_000, connections: new Set<ClientConnection>() };
  const sockets: Socket[] = [];
  server.on('connection', (socket) => {
    sockets.push(socket);
    new ClientConnection(socket, parts);
  });
  const clients = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')] as const;
  t.teardown(() => {
    for (const one of [...clients, ...sockets]) one.destroy();
    server.close();
  });
  const own = 'o'.repeat(5_000);
  clients[0].write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${own}`);
  await waitUntil('it is handed over', () => rests.length === 1);
  clients[1].write('!'.repeat(8_000));
  await waitUntil('others sent something', () => refused === 1);
  t.equal(String(rests[0]), own);
});
