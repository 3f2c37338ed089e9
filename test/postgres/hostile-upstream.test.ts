import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { startPostgres } from '../../src/postgres/listener.js';
import { postgresConfig } from '../../src/postgres/policy.js';
import { policyOf, startGate } from '../gate/fixture.js';
import {
  cstring,
  fields,
  front,
  int16,
  int32,
  loggedIn,
  query,
  shapes,
  start,
  WireClient,
  wire,
} from '../support/wire.js';
import { UPSTREAM } from './role.js';

const LIMIT = 400;
const OK = front('R', int32(0));
const READY = front('Z', Buffer.from('I'));
const SASL = front('R', int32(10), cstring('SCRAM-SHA-256'), Buffer.of(0));
const challenge = (text: string) => front('R', int32(11), Buffer.from(text));

/** What a hostile server does with one connection, from its first byte on. */
type Script = (server: WireClient) => Promise<void> | void;

/** Reads a start-up packet. */
async function started(server: WireClient): Promise<void> {
  const length = (await server.bytes(4)).readInt32BE(0);
  await server.bytes(length - 4);
}

/** Reads one message of the gateway's. */
function heard(server: WireClient) {
  return server.message();
}

async function hostileServer(t: Test, script: Script): Promise<{ port: number; connections: Socket[] }> {
  const connections: Socket[] = [];
  const server = createServer(async (socket) => {
    connections.push(socket);
    const client = new WireClient(socket);
    await Promise.resolve(script(client)).catch(() => {}); // the gateway hangs up: that is the point
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of connections) socket.destroy();
    server.close();
  });
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, connections };
}

/** A gateway's Postgres port in front of a server that follows `script`. `master` may do anything, `reader` may read. */
async function facing(
  t: Test,
  script: Script,
  limit = LIMIT,
  role: 'master' | 'reader' = 'master',
  over: Partial<typeof UPSTREAM> = {},
) {
  const upstream = await hostileServer(t, script);
  const target = { ...UPSTREAM, ...over, port: upstream.port };
  const compile = (name: string, block: unknown) => {
    const compiled = postgresConfig.compileRole(name, [block], target);
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    return compiled.value;
  };
  const roles = {
    master: compile('master', { allow: [{ statements: ['any'] }] }),
    reader: compile('reader', {
      search_path: ['public'],
      allow: [{ statements: ['select'], relations: ['public.orders'] }],
    }),
  };
  const parts = await startGate(t, policyOf('postgres', roles, { name: 'orders-db' }));
  const listener = await startPostgres({ ...parts, host: '127.0.0.1', port: 0, handshakeLimit: limit });
  t.teardown(() => listener.stop());
  const { handle } = parts.grants.add({ service: 'orders-db', role });
  return { ...parts, ...upstream, gatewayPort: listener.port, handle };
}

/** Presents the handle and answers what the gateway says, up to the end or the first ReadyForQuery. */
async function knock(t: Test, port: number, handle: string) {
  const client = await wire(t, port);
  client.send(start({ user: 'alice', database: 'orders-db' }));
  await client.message();
  client.send(front('p', cstring(handle)));
  return client.until();
}

const attacks: [string, Script][] = [
  ['says nothing', () => {}],
  ['closes at once', (server) => void server.socket.destroy()],
  [
    'resets in the middle of authentication',
    async (server) => {
      await started(server);
      server.send(SASL);
      const first = (await heard(server)).body.toString('latin1');
      const nonce = /r=(.*)$/.exec(first)?.[1];
      server.send(challenge(`r=${nonce}abc,s=${randomBytes(16).toString('base64')},i=600000`));
      server.socket.resetAndDestroy();
    },
  ],
  [
    'asks for authentication without end',
    async (server) => {
      await started(server);
      for (;;) {
        server.send(front('R', int32(3)));
        await heard(server);
      }
    },
  ],
  [
    'asks for SASL without end',
    async (server) => {
      await started(server);
      for (;;) {
        server.send(SASL);
        await heard(server);
      }
    },
  ],
  [
    'continues SCRAM without end',
    async (server) => {
      await started(server);
      server.send(SASL);
      const nonce = /r=(.*)$/.exec((await heard(server)).body.toString('latin1'))?.[1];
      for (let i = 0; ; i += 1) {
        server.send(challenge(`r=${nonce}${i}x,s=${randomBytes(16).toString('base64')},i=4096`));
        await heard(server);
      }
    },
  ],
  [
    'asks for two thousand million iterations',
    async (server) => {
      await started(server);
      server.send(SASL);
      const nonce = /r=(.*)$/.exec((await heard(server)).body.toString('latin1'))?.[1];
      server.send(challenge(`r=${nonce}abc,s=AAAA,i=2000000000`));
    },
  ],
  [
    'sends a nonce of 200,000 bytes',
    async (server) => {
      await started(server);
      server.send(SASL);
      const nonce = /r=(.*)$/.exec((await heard(server)).body.toString('latin1'))?.[1];
      server.send(challenge(`r=${nonce}${'x'.repeat(200_000)},s=AAAA,i=4096`));
    },
  ],
  [
    'repeats our nonce alone',
    async (server) => {
      await started(server);
      server.send(SASL);
      const nonce = /r=(.*)$/.exec((await heard(server)).body.toString('latin1'))?.[1];
      server.send(challenge(`r=${nonce},s=AAAA,i=4096`));
    },
  ],
  [
    'ends SCRAM without proving itself',
    async (server) => {
      await started(server);
      server.send(SASL);
      const nonce = /r=(.*)$/.exec((await heard(server)).body.toString('latin1'))?.[1];
      server.send(challenge(`r=${nonce}abc,s=AAAA,i=4096`));
      await heard(server);
      server.send(OK, READY);
    },
  ],
  [
    'proves itself wrongly',
    async (server) => {
      await started(server);
      server.send(SASL);
      const nonce = /r=(.*)$/.exec((await heard(server)).body.toString('latin1'))?.[1];
      server.send(challenge(`r=${nonce}abc,s=AAAA,i=4096`));
      await heard(server);
      server.send(front('R', int32(12), Buffer.from(`v=${randomBytes(32).toString('base64')}`)), OK, READY);
    },
  ],
  [
    'asks for MD5',
    async (server) => {
      await started(server);
      server.send(front('R', int32(5), int32(1)));
    },
  ],
  [
    'asks for Kerberos',
    async (server) => {
      await started(server);
      server.send(front('R', int32(7)));
    },
  ],
  [
    'offers SCRAM with channel binding alone',
    async (server) => {
      await started(server);
      server.send(front('R', int32(10), cstring('SCRAM-SHA-256-PLUS'), Buffer.of(0)));
    },
  ],
  [
    'falls back to cleartext in the middle of SCRAM',
    async (server) => {
      await started(server);
      server.send(SASL);
      await heard(server);
      server.send(front('R', int32(3)));
      await heard(server);
      server.send(OK, READY);
    },
  ],
  [
    'sends an authentication request without a code',
    async (server) => {
      await started(server);
      server.send(front('R'));
    },
  ],
  [
    'refuses without a SQLSTATE',
    async (server) => {
      await started(server);
      server.send(front('E', cstring('Mno'), Buffer.of(0)));
    },
  ],
  [
    'refuses with an error that never ends',
    async (server) => {
      await started(server);
      server.send(front('E', Buffer.alloc(1_000, 0x61)));
    },
  ],
  [
    'sends lengths of 0, 3 and 2^31-1',
    async (server) => {
      await started(server);
      for (const length of [0, 3, 2 ** 31 - 1]) server.send(Buffer.from('S'), int32(length));
    },
  ],
  [
    'sends settings without end',
    async (server) => {
      await started(server);
      server.send(OK);
      for (let i = 0; !server.socket.destroyed; i += 1) {
        server.send(front('S', cstring(`name${i}`), cstring('x'.repeat(10_000))));
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  ],
  [
    'sends notices without end',
    async (server) => {
      await started(server);
      while (!server.socket.destroyed) {
        server.send(front('N', cstring('Mhello'), Buffer.of(0)));
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  ],
  [
    'is ready before it has let anybody in',
    async (server) => {
      await started(server);
      server.send(READY);
    },
  ],
  [
    'is ready without a status',
    async (server) => {
      await started(server);
      server.send(OK, front('Z'));
    },
  ],
  [
    'sends a cancel key of one byte',
    async (server) => {
      await started(server);
      server.send(OK, front('K', Buffer.of(1)), READY);
    },
  ],
  [
    'negotiates a version nobody asked about',
    async (server) => {
      await started(server);
      server.send(front('v', int32(0), int32(0)), OK, READY);
    },
  ],
  [
    'sends rows before it is ready',
    async (server) => {
      await started(server);
      server.send(OK, front('D', int16(0)));
    },
  ],
  [
    'answers with HTTP',
    async (server) => {
      await started(server);
      server.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
      server.socket.end();
    },
  ],
];

t.test('a server that misbehaves during the handshake hurts only the session it is for (C23)', async (t) => {
  for (const [name, script] of attacks) {
    await t.test(`a server that ${name}`, async (t) => {
      const { gatewayPort, handle, lines, gate, database, recorder } = await facing(t, script);
      const answers = await knock(t, gatewayPort, handle);
      t.match(answers[0] && fields(answers[0]), { S: 'FATAL', C: '08006', M: /orders-db cannot be reached/ });
      t.equal(answers.length, 1);
      t.notMatch(JSON.stringify(answers.map((one) => one.body.toString())), /daypass_reader|secret/);
      t.equal(lines.filter(({ msg }) => msg === 'no upstream connection').length, 1, 'one log line');
      t.same(gate.registry.all(), []);
      await recorder.drain(2_000);
      const [session] = await database.query('select end_reason from daypass.sessions');
      t.equal(session?.end_reason, 'upstream_closed');
    });
  }
});

t.test('a server off this machine does not get the password in clear without TLS', async (t) => {
  const { UpstreamLogin } = await import('../../src/postgres/upstream-login.js');
  const ask = (over: Partial<typeof UPSTREAM>) =>
    new UpstreamLogin({ ...UPSTREAM, ...over }).answer(front('R', int32(3)));
  await t.rejects(ask({ host: 'db.internal' }), { code: 'upstream_auth' });
  await t.rejects(ask({ host: '10.0.0.1' }), { code: 'upstream_auth' });
  await t.rejects(
    ask({ host: '127.0.0.1.evil.example' }),
    { code: 'upstream_auth' },
    'a name that begins like loopback',
  );
  t.match(String(await ask({ host: '127.0.0.1' })), 'secret');
  t.match(String(await ask({ host: 'db.internal', tls: { mode: 'require' } })), 'secret');
});

/** Lets the gateway in by SCRAM, as a server that knows the password, and answers queries with `answer`. */
function honest(
  answer: (server: WireClient, asked: number) => Promise<void> | void,
  settings: Record<string, string> = {},
): Script {
  return async (server) => {
    await started(server);
    server.send(SASL);
    const first = /n=,r=.*$/.exec((await heard(server)).body.toString('latin1'))?.[0] ?? '';
    const salt = randomBytes(16);
    const challenged = `r=${first.slice(5)}server,s=${salt.toString('base64')},i=4096`;
    server.send(challenge(challenged));
    const final = (await heard(server)).body.toString('latin1');
    const salted = pbkdf2Sync(UPSTREAM.password, salt, 4096, 32, 'sha256');
    const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
    const signed = `${first},${challenged},${final.replace(/,p=.*$/, '')}`;
    createHash('sha256').update(hmac(salted, 'Client Key')).digest();
    server.send(
      front('R', int32(12), Buffer.from(`v=${hmac(hmac(salted, 'Server Key'), signed).toString('base64')}`)),
      OK,
    );
    const reported = {
      client_encoding: 'UTF8',
      standard_conforming_strings: 'on',
      default_transaction_read_only: 'on',
      is_superuser: 'off',
      session_authorization: 'daypass_reader',
      ...settings,
    };
    for (const [name, value] of Object.entries(reported)) server.send(front('S', cstring(name), cstring(value)));
    server.send(front('K', int32(4711), int32(815)), READY);
    for (let asked = 1; ; asked += 1) {
      await heard(server);
      await answer(server, asked);
    }
  };
}

const ROW = front('D', int16(1), int32(1), Buffer.from('1'));

/** Answers of a server that is in, and what the client gets besides. */
const answers: [string, Buffer][] = [
  ['an unknown type', Buffer.concat([ROW, front('?')])],
  ['an authentication request', front('R', int32(3))],
  ['its cancel key', front('K', int32(1), int32(2))],
  ['a replication stream', front('W', Buffer.of(0), int16(0))],
  ['the result of a FunctionCall', front('V', int32(-1))],
  ['a length of 0', Buffer.concat([Buffer.from('D'), int32(0)])],
  ['a length of 2^31-1', Buffer.concat([Buffer.from('D'), int32(2 ** 31 - 1)])],
  ['a ReadyForQuery of two bytes', front('Z', Buffer.from('II'))],
  ['a ParseComplete nobody asked for', front('1')],
  ['a BindComplete nobody asked for', front('2')],
  ['a CloseComplete nobody asked for', front('3')],
  ['two ReadyForQuery', Buffer.concat([front('C', cstring('SELECT 1')), READY, READY])],
  [
    'a result after it was ready',
    Buffer.concat([front('C', cstring('SELECT 1')), READY, front('C', cstring('DELETE 1000'))]),
  ],
];

t.test("a server that misbehaves later ends its session in the client's words, and no other", async (t) => {
  const connection: { bad: Buffer } = { bad: Buffer.alloc(0) };
  const { gatewayPort, handle, lines } = await facing(
    t,
    honest(
      (server, asked) =>
        void server.send(asked === 1 ? Buffer.concat([front('C', cstring('SELECT 0')), READY]) : connection.bad),
    ),
  );
  const { client: bystander } = await loggedIn(t, gatewayPort, handle);
  for (const [name, bytes] of answers) {
    connection.bad = bytes;
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(query('select 1'));
    t.equal(shapes(await client.until()), 'C:SELECT 0 Z:I');
    client.send(query('select 1'));
    const rest = await client.rest();
    const last = rest.at(-1);
    t.match(last && fields(last), { S: 'FATAL', C: '08P01' }, name);
    t.notOk(
      rest.some(({ type }) => 'RKWV?'.includes(type)),
      'nothing of it passes',
    );
  }
  t.equal(lines.filter(({ msg }) => msg === 'the upstream broke the protocol').length, answers.length);
  bystander.send(query('select 1'));
  t.equal(shapes(await bystander.until()), 'C:SELECT 0 Z:I', 'the bystander goes on');
});

t.test('a server that dies between statements, in a row or in an answer is told as 08006', async (t) => {
  for (const [bytes, told] of [
    [Buffer.alloc(0), true],
    [ROW, true],
    [ROW.subarray(0, 7), false],
    [front('C', cstring('SELECT 1')), true],
  ] as const) {
    const { gatewayPort, handle, gate } = await facing(
      t,
      honest((server) => {
        server.send(bytes);
        server.socket.end();
      }),
    );
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(query('select 1'));
    if (told) {
      const last = (await client.rest()).at(-1);
      t.match(last && fields(last), { S: 'FATAL', C: '08006' });
    } else {
      await client.closed;
      t.equal((await client.bytes(bytes.length)).length, bytes.length);
      await t.rejects(client.bytes(1), 'nothing is written into a half-sent message');
    }
    t.same(gate.registry.all(), []);
  }
});

t.test('a setting that the role pins and the server does not heed cuts the session (tripwire)', async (t) => {
  for (const settings of [
    { default_transaction_read_only: 'off' },
    { client_encoding: 'SJIS' },
    { standard_conforming_strings: 'off' },
  ]) {
    const { gatewayPort, handle } = await facing(
      t,
      honest(() => {}, settings),
      1_000,
      'reader',
    );
    const [error, ...rest] = await knock(t, gatewayPort, handle);
    t.match(error && fields(error), { C: '57P01', M: /left the state the policy requires/ }, JSON.stringify(settings));
    t.same(rest, []);
  }
});

t.test(
  'a setting that flips later cuts the session before its answer is given, and not inside a message',
  async (t) => {
    for (const [name, value] of [
      ['default_transaction_read_only', 'off'],
      ['session_authorization', 'postgres'],
      ['is_superuser', 'on'],
      ['client_encoding', 'SJIS'],
    ] as const) {
      const { gatewayPort, handle, gate } = await facing(
        t,
        honest(async (server) => {
          server.send(ROW.subarray(0, 8));
          await new Promise((resolve) => setTimeout(resolve, 50));
          server.send(
            ROW.subarray(8),
            front('S', cstring(name), cstring(value)),
            front('C', cstring('SELECT 1')),
            READY,
          );
        }),
        1_000,
        'reader',
      );
      const { client } = await loggedIn(t, gatewayPort, handle);
      client.send(query('select 1'));
      await client.closed;
      t.same(gate.registry.all(), []);
      const left = await client.bytes(8);
      t.same(left, ROW.subarray(0, 8), name);
      await t.rejects(client.bytes(1), 'no farewell inside the half-sent row, and no answer');
    }
  },
);
