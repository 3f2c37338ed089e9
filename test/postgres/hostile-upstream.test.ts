import { randomBytes } from 'node:crypto';
import t from 'tap';
import { askUpstream } from '../../src/postgres/upstream-client.js';
import { lockLedger, untilWaiting } from '../http/gateway.js';
import { waitUntil } from '../support/wait.js';
import {
  cstring,
  fields,
  front,
  int16,
  int32,
  loggedIn,
  packet,
  query,
  shapes,
  start,
  type WireClient,
  wire,
} from '../support/wire.js';
import {
  challenge,
  facing,
  heard,
  honest,
  hostileServer,
  knock,
  LIMIT,
  OK,
  READY,
  SASL,
  type Script,
  started,
} from './hostile.js';
import { UPSTREAM } from './role.js';

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
  // One gate for all of them; the server and the port in front of it are another each time.
  const standing = await facing(t, () => {});
  const { grants, lines, gate, database, recorder } = standing;
  let before = 0;
  for (const [name, script] of attacks) {
    await t.test(`a server that ${name}`, async (t) => {
      const told = lines.length;
      const { gatewayPort, handle } = await facing(t, script, LIMIT, 'master', {}, {}, standing);
      // A restricted role needs the catalog besides: the gateway knocks a second time then.
      const reader = grants.add({ service: 'orders-db', role: 'reader' });
      for (const one of [handle, reader.handle]) {
        const answers = await knock(t, gatewayPort, one);
        t.match(answers[0] && fields(answers[0]), { S: 'FATAL', C: '08006', M: /orders-db cannot be reached/ });
        t.equal(answers.length, 1);
        t.notMatch(JSON.stringify(answers.map((one) => one.body.toString())), /daypass_reader|secret/);
      }
      const failed = lines.slice(told).filter(({ msg }) => msg === 'no upstream connection');
      t.equal(failed.length, 2, 'one log line each');
      t.same(gate.live.registry.all(), []);
      await recorder.drain(2_000);
      const sessions = await database.query('select end_reason from daypass.sessions order by id offset $1', [before]);
      t.same(sessions, [{ end_reason: 'upstream_closed' }, { end_reason: 'upstream_closed' }]);
      before += sessions.length;
    });
  }
});

t.test('a server off this machine does not get the password in clear without TLS', async (t) => {
  const { UpstreamLogin } = await import('../../src/postgres/upstream-login.js');
  const ask = (over: Partial<typeof UPSTREAM>) =>
    new UpstreamLogin({ ...UPSTREAM, ...over }, null).answer(front('R', int32(3)));
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

/** What a server that is in may do to the gateway's own questions. */
const evasions: [string, (server: WireClient) => Promise<void> | void][] = [
  ['rows without end', (server) => flood(server, front('D', int16(1), int32(2), Buffer.from('{}')))],
  ['one row without end', (server) => flood(server, Buffer.from('D\x7f\xff\xff\xff', 'latin1'))],
  ['notices without end', (server) => flood(server, front('N', cstring('Mhello'), Buffer.of(0)))],
  ['two columns', (server) => void server.send(front('D', int16(2), int32(-1), int32(-1)), READY)],
  ['NULL', (server) => void server.send(front('D', int16(1), int32(-1)), READY)],
  ['a row that is shorter than it says', (server) => void server.send(front('D', int16(1), int32(9)), READY)],
  ['no JSON', (server) => void server.send(front('D', int16(1), int32(1), Buffer.from('{')), READY)],
  ['another login', (server) => void server.send(front('R', int32(3)))],
  ['its hanging up', (server) => void server.socket.destroy()],
];

async function flood(server: WireClient, bytes: Buffer): Promise<void> {
  const many = Buffer.concat(Array.from({ length: 4_096 }, () => bytes));
  while (!server.socket.destroyed) {
    const flowing = server.socket.write(many);
    await new Promise((resolve) => {
      if (flowing) setImmediate(resolve);
      else server.socket.once('drain', resolve).once('close', resolve);
    });
  }
}

t.test(
  'what a server answers the questions of the gateway is bounded, and believed in one form alone (C23)',
  async (t) => {
    for (const [name, evade] of evasions) {
      const { port, connections } = await hostileServer(
        t,
        honest(
          () => {},
          {},
          (server, asked) => (asked === 1 ? void server.send(READY) : evade(server)),
        ),
      );
      const before = process.memoryUsage().rss;
      await t.rejects(
        askUpstream({ ...UPSTREAM, port }, 'catalog', (ask) => ask('select 1')),
        name,
      );
      t.ok(process.memoryUsage().rss - before < 1024 ** 3, `bounded memory: ${name}`);
      const [socket] = connections;
      if (socket !== undefined && !socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
    }
  },
);

t.test(
  'a server that is in and says nothing more keeps a session waiting for no longer than a limit (C23)',
  async (t) => {
    const { port } = await hostileServer(
      t,
      honest(
        () => {},
        {},
        () => {},
      ),
    );
    await t.rejects(
      askUpstream({ ...UPSTREAM, port }, 'catalog', (ask) => ask('select 1')),
      /closed/,
    );
  },
);

const ROW = front('D', int16(1), int32(1), Buffer.from('1'));
/** Larger than what the gateway keeps back to give a message whole: it passes as it comes. */
const LARGE = front('D', int16(1), int32(100_000), Buffer.alloc(100_000, '1'));

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
    [ROW.subarray(0, 7), true],
    [LARGE.subarray(0, 7), false],
    [LARGE.subarray(0, 70_000), false],
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
    t.same(gate.live.registry.all(), []);
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
      let goOn = () => {};
      const passed = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      const { gatewayPort, handle, gate } = await facing(
        t,
        honest(async (server) => {
          server.send(LARGE.subarray(0, -8));
          await passed;
          server.send(
            LARGE.subarray(-8),
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
      const left = await client.bytes(LARGE.length - 8);
      goOn();
      await client.closed;
      t.same(gate.live.registry.all(), []);
      t.ok(left.equals(LARGE.subarray(0, -8)), name);
      await t.rejects(client.bytes(1), 'no farewell inside the half-sent row, and no answer');
    }
  },
);

t.test('whoever leaves while a silent database is asked to let them in is not waited for', async (t) => {
  for (const script of [() => {}, attacks.find(([what]) => /asks for SASL/.test(what))![1]]) {
    const { gatewayPort, handle, connections } = await facing(t, script, 600_000);
    const client = await wire(t, gatewayPort);
    client.send(start({ user: 'alice', database: 'orders-db' }));
    await client.message();
    client.send(front('p', cstring(handle)));
    await waitUntil('the database is asked', () => connections.length > 0);
    client.socket.destroy();
    await waitUntil('nobody waits for it', () => connections.every(({ destroyed }) => destroyed), { seconds: 20 });
  }
});

t.test(
  'a silent database is told of one cancel request of a client at a time, and of all that came meanwhile once',
  async (t) => {
    const silent: Script = (server) => {
      server.socket.allowHalfOpen = true;
      return honest(() => {})(server);
    };
    const { gatewayPort, handle, connections } = await facing(t, silent);
    const { hello } = await loggedIn(t, gatewayPort, handle);
    const { body } = hello.find(({ type }) => type === 'K')!;
    const before = connections.length; // nothing runs: of a statement that ran on it would be told again
    const cancellers = await Promise.all([1, 2, 3, 4, 5].map(() => wire(t, gatewayPort)));
    for (const canceller of cancellers) canceller.send(packet(80877102, body));
    for (const told of [1, 2]) {
      await waitUntil('it is told', () => connections.length === before + told);
      t.ok(
        cancellers.some(({ socket }) => !socket.destroyed),
        'and they are not told that it was',
      );
      connections.at(-1)?.destroy();
    }
    await Promise.all(cancellers.map(({ closed }) => closed));
    t.equal(connections.length - before, 2);
  },
);

t.test('a cancel request behind what waits for its record is not kept beyond the end of its session', async (t) => {
  const { gatewayPort, handle, database } = await facing(
    t,
    honest(() => {}),
    LIMIT,
    'master',
    {},
    {
      handshakeLimit: 600_000,
    },
  );
  const { client, hello } = await loggedIn(t, gatewayPort, handle);
  const { body } = hello.find(({ type }) => type === 'K')!;
  const unlock = await lockLedger({ database });
  client.send(query('select 1'));
  await untilWaiting({ database });
  const cancellers = await Promise.all([1, 2, 3].map(() => wire(t, gatewayPort)));
  for (const canceller of cancellers) canceller.send(packet(80877102, body));
  await new Promise((resolve) => setTimeout(resolve, 200)); // they are asked for one behind the other
  t.notOk(cancellers.some(({ socket }) => socket.destroyed));
  client.socket.destroy();
  await waitUntil('nobody waits', () => cancellers.every(({ socket }) => socket.destroyed), { seconds: 20 });
  await unlock();
});
