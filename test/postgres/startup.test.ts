import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { StartupRefused } from '../../src/postgres/input.js';
import { openConnection } from '../../src/postgres/startup.js';
import { selfSigned } from '../support/certificate.js';
import { psql } from '../support/commands.js';
import { throughGateway } from '../support/gateway.js';
import { portOf } from '../support/ports.js';
import { waitUntil } from '../support/wait.js';
import {
  bind,
  cstring,
  execute,
  fields,
  front,
  GSSENC_REQUEST,
  int32,
  loggedIn,
  packet,
  query,
  SSL_REQUEST,
  shapes,
  start,
  sync,
  WireClient,
  wire,
} from '../support/wire.js';
import { gatewayToOrders } from './fixture.js';

const ALICE = { user: 'alice', database: 'orders-db' };

async function plainGateway(t: Test) {
  const gateway = await gatewayToOrders(t);
  return { ...gateway, port: gateway.ports.postgres };
}

/** A gateway with a certificate, on loopback. */
async function tlsGateway(t: Test) {
  const { cert, key } = await selfSigned();
  const folder = await mkdtemp('/tmp/dp-tls-');
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'cert.pem'), cert);
  await writeFile(join(folder, 'key.pem'), key, { mode: 0o600 });
  const settings = `drain: 0s\ntls: { cert: { file: ${join(folder, 'cert.pem')} }, key: { file: ${join(folder, 'key.pem')} } }`;
  const gateway = await gatewayToOrders(t, { settings });
  return { ...gateway, port: gateway.ports.postgres, ca: cert, folder };
}

/** Upgrades a raw connection after the gateway's `S`, or at once. */
async function upgrade(t: Test, socket: Socket, ca: string, alpn?: string[]): Promise<TLSSocket> {
  socket.removeAllListeners('data');
  const secured = connectTls({
    socket,
    ca,
    servername: 'localhost',
    ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
  });
  secured.on('error', () => {});
  t.teardown(() => secured.destroy());
  await once(secured, 'secureConnect');
  return secured;
}

t.test('without a certificate both kinds of encryption are declined once, and the connection goes on', async (t) => {
  const { port, issue } = await plainGateway(t);
  const { handle } = await issue({ service: 'orders-db' });
  const client = await wire(t, port);
  client.send(SSL_REQUEST);
  t.equal(String(await client.bytes(1)), 'N');
  client.send(GSSENC_REQUEST);
  t.equal(String(await client.bytes(1)), 'N');
  client.send(start(ALICE));
  t.match(await client.message(), { type: 'R', body: int32(3) });
  client.send(front('p', cstring(handle)));
  t.match(shapes(await client.until()), /^R K Z:I$/);
});

t.test('asking for encryption again and again is refused', async (t) => {
  const { port } = await plainGateway(t);
  for (const request of [SSL_REQUEST, GSSENC_REQUEST]) {
    const client = await wire(t, port);
    client.send(request);
    t.equal(String(await client.bytes(1)), 'N');
    client.send(request);
    t.equal(shapes(await client.rest()), 'E:08P01');
  }
});

t.test('what arrives behind an SSLRequest is never read as if it had come through TLS (C17)', async (t) => {
  for (const gateway of [await plainGateway(t), await tlsGateway(t)]) {
    for (const behind of [start(ALICE), Buffer.of(0x16), Buffer.of(0)]) {
      const client = await wire(t, gateway.port);
      client.send(SSL_REQUEST, behind);
      t.equal(shapes(await client.rest()), 'E:08P01');
    }
    t.equal(gateway.lines.filter(({ msg }) => msg === 'not admitted').length, 0);
  }
});

t.test('a message before authentication is refused', async (t) => {
  const { port } = await plainGateway(t);
  for (const message of [query('select 1'), front('S'), front('X'), front('d', Buffer.alloc(10))]) {
    const first = await wire(t, port);
    first.send(message);
    t.equal(shapes(await first.rest()), 'E:08P01', 'instead of the start-up packet');
    const second = await wire(t, port);
    second.send(start(ALICE));
    await second.message();
    second.send(message);
    t.equal(shapes(await second.rest()), 'E:08P01', 'instead of the password');
  }
});

t.test('what is sent ahead of the answer to the password is refused', async (t) => {
  const { port, issue } = await plainGateway(t);
  const { handle } = await issue({ service: 'orders-db' });
  const client = await wire(t, port);
  client.send(start(ALICE));
  await client.message();
  client.send(front('p', cstring(handle)), query('select 1'));
  t.equal(shapes(await client.rest()), 'E:08P01');
});

t.test('every refusal before the gate is one log line with reason and rule', async (t) => {
  const { port, lines } = await plainGateway(t);
  for (const bytes of [int32(3), query('select 1'), packet(2 << 16)]) {
    const client = await wire(t, port);
    client.send(bytes);
    await client.closed;
  }
  const line = {
    client: /^127\.0\.0\.1:\d+$/,
    reason: 'malformed',
    rule: 'well-formed start of a connection',
    err: /./,
  };
  const refused = lines.filter(({ msg }) => msg === 'a connection was refused');
  t.equal(refused.length, 3);
  t.match(refused, [line, line, line]);
});

t.test(
  'every refusal of a message is one log line with reason and rule, and every refusal of a name is recorded',
  async (t) => {
    const gateway = await plainGateway(t);
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const { client } = await loggedIn(t, gateway.port, handle);
    for (const unknown of [bind('', 'nobody'), execute('nobody')]) {
      client.send(unknown, sync());
      t.match(shapes(await client.until()), /^E:(26000|34000) Z:I$/);
    }
    client.send(front('p', cstring('again')));
    t.equal(shapes(await client.rest()), 'E:08P01');
    t.match(
      gateway.lines.filter(({ msg }) => msg === 'refused'),
      [
        { reason: 'unknown_effect', rule: 'names of this session' },
        { reason: 'unknown_effect', rule: 'names of this session' },
        { reason: 'malformed', rule: 'well-formed messages' },
      ],
    );
    await gateway.stop();
    const refused = (await gateway.events()).filter(({ facts }) => facts.outcome === 'deny');
    t.match(refused, [
      { payload: { text: '(statement "nobody" of the server\'s own)' } },
      { payload: { text: '(cursor "nobody" of the server\'s own)' } },
    ]);
  },
);

t.test('a start-up packet of an impossible length, or with a broken body, is refused', async (t) => {
  const { port } = await plainGateway(t);
  const broken = [
    ...[0, 3, 4, 7, -1, 2 ** 31 - 1, 10_001].map(int32),
    packet(196608, cstring('user')),
    packet(196608, cstring('user'), cstring('alice')),
    packet(196608, cstring('user'), cstring('alice'), cstring('user'), cstring('bob'), Buffer.of(0)),
    packet(196608, cstring('user'), cstring('alice'), Buffer.of(0), Buffer.of(1)),
    packet(196608, Buffer.from([0x75, 0, 0xff, 0xfe, 0, 0])),
  ];
  for (const bytes of broken) {
    const client = await wire(t, port);
    client.send(bytes);
    const [error] = await client.rest();
    t.match(error && fields(error), { S: 'FATAL', C: '08P01' }, bytes.subarray(0, 8).toString('hex'));
  }
});

t.test('a password of an impossible length is refused', async (t) => {
  const { port } = await plainGateway(t);
  for (const length of [0, 3, -1, 4_097, 2 ** 31 - 1]) {
    const client = await wire(t, port);
    client.send(start(ALICE));
    await client.message();
    client.send(Buffer.from('p'), int32(length));
    t.equal(shapes(await client.rest()), 'E:08P01');
  }
});

t.test(
  'another major version is refused; a newer minor one and unknown options are answered with what is spoken',
  async (t) => {
    const { port, issue } = await plainGateway(t);
    const { handle } = await issue({ service: 'orders-db' });
    for (const [asked, spoken] of [
      [0x30002, 32],
      [0x30000, 4],
    ] as const) {
      const client = await wire(t, port);
      client.send(start(ALICE, asked));
      t.equal((await client.message()).type, 'R', 'spoken as asked for: nothing to negotiate');
      client.send(front('p', cstring(handle)));
      const key = (await client.until('Z')).find(({ type }) => type === 'K');
      t.equal(key?.body.length, 4 + spoken, 'secret bytes of the cancel key');
    }
    for (const version of [2 << 16, 4 << 16, 0, 1234 << 16]) {
      const client = await wire(t, port);
      client.send(start(ALICE, version));
      t.equal(shapes(await client.rest()), 'E:0A000', String(version));
    }
    for (const version of [0x30002, 0x30000 + 9999]) {
      const client = await wire(t, port);
      client.send(start({ ...ALICE, '_pq_.some_option': 'on' }, version));
      const answer = await client.message();
      t.equal(answer.type, 'v');
      t.equal(answer.body.readInt32BE(0), 0x30002, 'the whole version, as libpq 18 reads it');
      t.equal(answer.body.readInt32BE(4), 1);
      t.equal(answer.body.toString('latin1', 8), '_pq_.some_option\0');
      t.equal((await client.message()).type, 'R');
      client.send(front('p', cstring(handle)));
      t.match(shapes(await client.until()), /^R K Z:I$/);
    }
  },
);

t.test('the answer to a newer version is the one PostgreSQL itself gives', async (t) => {
  const gateway = await plainGateway(t);
  const direct = await wire(t, gateway.orders.database.config.port);
  direct.send(start({ user: 'nobody', '_pq_.some_option': 'on' }, 0x30000));
  const theirs = await direct.message();
  const ours = await wire(t, gateway.port);
  ours.send(start({ user: 'nobody', '_pq_.some_option': 'on' }, 0x30000));
  const answer = await ours.message();
  t.equal(answer.type, theirs.type);
  t.equal(answer.body.readInt32BE(0) >> 16, theirs.body.readInt32BE(0) >> 16);
  t.same(answer.body.subarray(4), theirs.body.subarray(4));
});

t.test('start-up parameters outside the allow-list are refused, however they are spelt (C20)', async (t) => {
  const gateway = await plainGateway(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const refused: Record<string, string>[] = [
    { replication: 'database' },
    { Replication: 'true' },
    { options: '-c role=postgres' },
    { options: '-crole=postgres' },
    { options: '--role=postgres' },
    { options: '-c session_authorization=postgres' },
    { options: '-c default_transaction_read_only=off' },
    { options: '-c default-transaction-read-only=off' },
    { options: '--Default_Transaction_Read_Only=off' },
    { options: '-c statement_timeout=0 -c role=postgres' },
    { options: '-c search_path=evil,public' },
    { options: '-c standard_conforming_strings=off' },
    { options: '-c' },
    { options: '-F' },
    { options: '-c options=-crole=postgres' },
    { role: 'postgres' },
    { session_authorization: 'postgres' },
    { default_transaction_read_only: 'off' },
    { search_path: 'pg_temp, public' },
    { client_encoding: 'SJIS' },
    { client_encoding: 'SQL_ASCII' },
    { standard_conforming_strings: 'off' },
    { USER: 'postgres' },
    { Database: 'postgres' },
    { 'pg_stat_statements.track': 'none' },
  ];
  for (const parameters of refused) {
    const client = await wire(t, gateway.port);
    client.send(start({ ...ALICE, ...parameters }));
    await client.message();
    client.send(front('p', cstring(handle)));
    const [error] = await client.rest();
    t.match(error && fields(error), { S: 'FATAL', C: '42501' }, JSON.stringify(parameters));
  }
  await gateway.stop();
  const denied = (await gateway.events()).filter(({ facts }) => facts.verb === 'connect' && facts.outcome === 'deny');
  t.equal(denied.length, refused.length, 'each is in the record');
});

t.test('what a client may choose reaches the database, beside what the role pins', async (t) => {
  const gateway = await plainGateway(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const options = '-c statement_timeout=12s --timezone=Asia/Tokyo -c application_name=a\\ b';
  const client = await throughGateway(t, gateway.port, handle, { options });
  const show = async (name: string) => Object.values((await client.query(`show ${name}`)).rows[0])[0];
  t.equal(await show('statement_timeout'), '12s');
  t.equal(await show('timezone'), 'Asia/Tokyo');
  t.equal(await show('application_name'), 'a b');
  t.equal(await show('search_path'), '"public"');
  t.equal(await show('default_transaction_read_only'), 'on');
  t.equal(await show('client_encoding'), 'UTF8');
});

t.test('a connection that is destroyed at any byte of its start is over, and nothing is told', async (t) => {
  const ends: Promise<unknown>[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    ends.push(openConnection(socket, null, true).catch((thrown: unknown) => thrown));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const port = portOf(server.address());
  const bytes = Buffer.concat([SSL_REQUEST, start({ user: 'a' }), front('p', cstring('x'))]).subarray(0, -1);
  const stalled = Array.from({ length: bytes.length }, async (_, end) => {
    const client = await wire(t, port);
    client.send(bytes.subarray(0, Math.min(end, 8)));
    if (end > 8) {
      await client.bytes(1);
      client.send(bytes.subarray(8, end));
    }
    return client;
  });
  const clients = await Promise.all(stalled);
  await waitUntil('all are accepted', () => sockets.length === clients.length);
  await pause(150); // what they sent has come
  for (const socket of sockets) socket.destroy();
  for (const client of clients) await client.closed;
  t.equal(ends.length, bytes.length);
  for (const end of await Promise.all(ends)) t.ok(end instanceof StartupRefused && end.report === null);
});

t.test('off loopback nothing but TLS is accepted, not even a cancel request', async (t) => {
  for (const bytes of [start({ user: 'a' }), packet(80877102, int32(1), int32(2))]) {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      openConnection(socket, null, false).then(
        () => t.fail('accepted'),
        (thrown) => {
          t.match(thrown, { report: { sqlstate: '28000', message: /requires TLS/ }, rule: 'TLS off loopback' });
          socket.destroy();
        },
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = await wire(t, portOf(server.address()));
    client.send(bytes);
    await client.closed;
    server.close();
  }
});

t.test('TLS: psql with sslmode=require and verify-full reads through it', async (t) => {
  const gateway = await tlsGateway(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  for (const mode of ['sslmode=require', `sslmode=verify-full sslrootcert=${gateway.folder}/cert.pem`]) {
    const target = `host=localhost hostaddr=127.0.0.1 port=${gateway.port} dbname=orders-db user=alice ${mode}`;
    const done = await psql(target, 'select count(*) from orders', { env: { PGPASSWORD: handle } });
    t.match(done, { code: 0, stdout: '1000\n', stderr: '' });
  }
});

t.test('TLS: a refusal is told through TLS, never in clear on the same connection', async (t) => {
  const gateway = await tlsGateway(t);
  const target = `host=localhost hostaddr=127.0.0.1 port=${gateway.port} dbname=orders-db user=alice sslmode=require`;
  t.match((await psql(target, 'select 1', { env: { PGPASSWORD: 'hunter2' } })).stderr, /not a handle/);
  const client = await wire(t, gateway.port);
  client.send(SSL_REQUEST);
  t.equal(String(await client.bytes(1)), 'S');
  const secured = new WireClient(await upgrade(t, client.socket, gateway.ca));
  secured.send(start({ database: 'orders-db' }));
  t.equal(shapes(await secured.rest()), 'E:28000', 'no user was named');
});

t.test('TLS: a second SSLRequest inside TLS is refused', async (t) => {
  const gateway = await tlsGateway(t);
  const client = await wire(t, gateway.port);
  client.send(SSL_REQUEST);
  await client.bytes(1);
  const secured = new WireClient(await upgrade(t, client.socket, gateway.ca));
  secured.send(SSL_REQUEST);
  t.equal(shapes(await secured.rest()), 'E:08P01');
});

t.test('TLS: nothing is agreed on anew within a connection', async (t) => {
  const gateway = await tlsGateway(t);
  const client = await wire(t, gateway.port);
  client.send(SSL_REQUEST);
  await client.bytes(1);
  const socket = connectTls({ socket: client.socket, ca: gateway.ca, servername: 'localhost', maxVersion: 'TLSv1.2' });
  socket.on('error', () => {}).resume();
  t.teardown(() => socket.destroy());
  await once(socket, 'secureConnect');
  const isRenewed = await new Promise((resolve) => {
    socket.renegotiate({}, (error) => resolve(error === null));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
  t.notOk(isRenewed);
});

t.test('direct TLS needs ALPN "postgresql"', async (t) => {
  const gateway = await tlsGateway(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const named = new WireClient(await upgrade(t, (await wire(t, gateway.port)).socket, gateway.ca, ['postgresql']));
  named.send(start(ALICE));
  await named.message();
  named.send(front('p', cstring(handle)));
  t.match(shapes(await named.until()), /^R K Z:I$/);
  const unnamed = new WireClient(await upgrade(t, (await wire(t, gateway.port)).socket, gateway.ca));
  t.equal(shapes(await unnamed.rest()), 'E:08P01');
  await t.rejects(
    (async () => upgrade(t, (await wire(t, gateway.port)).socket, gateway.ca, ['http/1.1']))().then(async (socket) => {
      await new WireClient(socket).message();
    }),
    'another protocol',
  );
});

t.test('a client that leaves while it is being admitted leaves no session behind', async (t) => {
  const gateway = await plainGateway(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  for (let i = 0; i < 5; i += 1) {
    const client = await wire(t, gateway.port);
    client.send(start(ALICE));
    await client.message();
    client.socket.end(front('p', cstring(handle)));
    await client.closed;
  }
  const { client } = await loggedIn(t, gateway.port, handle);
  client.socket.end();
  await client.closed;
  const live = async () => Number((await gateway.operator('GET', '/v1/status')).body.liveSessions);
  await waitUntil('no session is left', async () => (await live()) === 0);
  t.equal(await live(), 0);
});
