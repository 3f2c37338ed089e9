import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { cutLost } from '../../src/gate/lost-meanwhile.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/recording/database.js';
import { readEvents } from '../support/gateway.js';
import { portOf } from '../support/ports.js';
import { echoProtocol, serveEcho } from './echo-protocol.js';
import { policyOf, startGate } from './fixture.js';

async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return portOf(server.address());
}

/** The test protocol behind a real gate, with an upstream that echoes and remembers. */
async function echoGateway(t: Test) {
  const roles = { reader: new Set(['read', 'crash']), writer: new Set(['read', 'write']) };
  const parts = await startGate(t, policyOf('echo', roles));
  const seen: string[] = [];
  const upstream = createServer((socket) => {
    socket.on('error', () => {});
    createInterface(socket).on('line', (line) => {
      seen.push(line);
      socket.write(`echo ${line}\n`);
    });
  });
  const port = await listening(t, serveEcho(parts.gate, await listening(t, upstream), createLog('silent')));
  const open = async (handle: string) => {
    const socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => {});
    const lines = createInterface(socket)[Symbol.asyncIterator]();
    const next = async () => {
      const { value, done } = await lines.next();
      return done ? '(end)' : String(value);
    };
    const send = (line: string) => void socket.write(`${line}\n`);
    send(handle);
    return { socket, next, send };
  };
  return { ...parts, seen, open };
}

t.test(
  'the test protocol goes through the same steps: decided, recorded, forwarded; refused in its own words',
  async (t) => {
    const { open, grants, seen, database, recorder } = await echoGateway(t);
    const { handle } = grants.add();
    const { send, next } = await open(handle);
    t.equal(await next(), 'welcome');
    send('read one');
    t.equal(await next(), 'echo read one');
    send('write two');
    t.equal(await next(), 'denied out_of_scope');
    send('crash three');
    t.equal(await next(), 'denied unknown_effect', 'a decision that throws is a denial');
    t.same(seen, ['read one']);
    await recorder.drain(2_000);
    const actions = (await readEvents(database)).filter(({ kind }) => kind === 'action');
    t.match(actions, [
      { facts: { verb: 'read', outcome: 'allow' }, payload: { text: 'read one' } },
      { facts: { verb: 'write', outcome: 'deny', reason: 'out_of_scope' } },
      { facts: { verb: 'crash', outcome: 'deny', reason: 'unknown_effect' } },
    ]);
  },
);

t.test('an action that cannot be described is denied and recorded so, though a rule allows it', async (t) => {
  const { open, grants, seen, database, recorder } = await echoGateway(t);
  const { send, next } = await open(grants.add().handle);
  t.equal(await next(), 'welcome');
  send('read unspeakable');
  t.equal(await next(), 'denied unknown_effect');
  send('write unspeakable');
  t.equal(await next(), 'denied out_of_scope', 'what is refused anyway keeps its reason');
  send('read two');
  t.equal(await next(), 'echo read two');
  t.same(seen, ['read two']);
  await recorder.drain(2_000);
  const actions = (await readEvents(database)).filter(({ kind }) => kind === 'action');
  t.match(actions, [
    {
      facts: { verb: 'unknown', outcome: 'deny', reason: 'unknown_effect', rule: 'what cannot be recorded is refused' },
    },
    { facts: { verb: 'unknown', outcome: 'deny', reason: 'out_of_scope' } },
    { facts: { verb: 'read', outcome: 'allow' } },
  ]);
});

t.test('the upstream sees nothing before the ledger has committed it', async (t) => {
  const { open, grants, seen, database } = await echoGateway(t);
  const { send, next } = await open(grants.add().handle);
  t.equal(await next(), 'welcome');
  const blocker = await database.client();
  await blocker.query('begin; lock table daypass.blocks in access exclusive mode');
  send('read one');
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.same(seen, []);
  await blocker.query('rollback');
  t.equal(await next(), 'echo read one');
});

t.test('a revocation, a cut and the end of the grant close the test protocol in its own words', async (t) => {
  const { open, grants, gate } = await echoGateway(t);
  for (const [reason, end] of [
    [
      'revoked',
      (id: string) => {
        grants.revoke(id);
        gate.live.recheck(id);
      },
    ],
    ['ended', () => gate.live.registry.all()[0]?.cut('ended')],
    ['stale', () => gate.live.stale()],
  ] as const) {
    const { handle, grant } = grants.add();
    const { next } = await open(handle);
    t.equal(await next(), 'welcome');
    end(grant.id);
    t.equal(await next(), `cut ${reason}`);
    t.equal(await next(), '(end)');
    t.same(gate.live.registry.all(), []);
  }
  // On a busy machine it may have ended before it was let in: then another one, which lasts longer.
  for (let lasts = 300, said = ''; said !== 'welcome'; lasts *= 2) {
    const { next } = await open(grants.add({ expiresAt: Date.now() + lasts }).handle);
    said = await next();
    if (said === 'welcome') t.equal(await next(), 'cut expired');
    else t.match(said, /^(?:refused|cut) expired$/);
  }
});

t.test('two roles with the same text get their own decisions, and a new policy gives a new one (B10)', async (t) => {
  const { open, grants, policies, gate } = await echoGateway(t);
  const reader = await open(grants.add().handle);
  const writer = await open(grants.add({ role: 'writer' }).handle);
  t.same([await reader.next(), await writer.next()], ['welcome', 'welcome']);
  for (const one of [reader, writer]) one.send('write it');
  t.same([await reader.next(), await writer.next()], ['denied out_of_scope', 'echo write it']);
  policies.replace(
    new Map([['echo', policyOf('echo', { reader: new Set(['write']), writer: new Set([]) }, { version: 'v2' })]]),
  );
  gate.live.policiesChanged();
  for (const one of [reader, writer]) one.send('write it');
  t.same([await reader.next(), await writer.next()], ['echo write it', 'denied out_of_scope']);
});

t.test(
  'a revocation that arrives while the grant is being checked is not missed: subscribe, then check, then arm',
  async (t) => {
    const { open, grants, gate } = await echoGateway(t);
    const { handle, grant } = grants.add();
    let rounds = 0;
    grants.during = (id) => {
      rounds += 1;
      if (rounds > 1) return;
      grants.revoke(id); // after the answer was read, before it is given
      gate.live.recheck(id);
    };
    const { next } = await open(handle);
    t.equal(await next(), 'refused revoked');
    t.equal(rounds, 2, 'asked again');
    t.same(gate.live.registry.ofGrant(grant.id), []);
    t.same(gate.live.heldIds(), [], 'nothing is held for it any more');
  },
);

t.test('a grant that never stops changing is refused in the end', async (t) => {
  const { open, grants, gate } = await echoGateway(t);
  const { handle } = grants.add();
  grants.during = (id) => gate.live.recheck(id);
  t.equal(await (await open(handle)).next(), 'refused store_unavailable');
});

t.test('a check that throws or rejects is a denial, of an admission and of nothing live (B13)', async (t) => {
  const { open, grants, gate } = await echoGateway(t);
  const { handle, grant } = grants.add();
  const live = await open(handle);
  t.equal(await live.next(), 'welcome');
  grants.during = () => {
    throw new Error('the store has gone mad');
  };
  t.equal(await (await open(handle)).next(), 'refused store_unavailable');
  gate.live.recheck(grant.id); // a rejection nobody waits for must not end the process
  await new Promise((resolve) => setImmediate(resolve));
  live.send('read on');
  t.equal(await live.next(), 'echo read on', 'what is live lives on until staleness says otherwise');
});

t.test('a renewal that could not be read when it was told of is read when the ledger says so again', async (t) => {
  const { open, grants, gate } = await echoGateway(t);
  const { handle, grant } = grants.add();
  const live = await open(handle);
  t.equal(await live.next(), 'welcome');
  const expiresAt = grant.expiresAt + 60_000;
  const [session] = gate.live.registry.ofGrant(grant.id);
  const told = async () => {
    gate.live.stands(grant.id, expiresAt);
    await new Promise((resolve) => setImmediate(resolve));
    return session?.expiresAt;
  };
  grants.held.set(grant.id, { ok: false, reason: 'store_unavailable', message: 'no answer in time' });
  t.equal(await told(), grant.expiresAt);
  grants.held.set(grant.id, { ok: true, grant: { ...grant, expiresAt, renewals: 1 } });
  t.equal(await told(), expiresAt);
});

t.test('a session that another gateway closed for lost is cut, and no other', async (t) => {
  const { open, grants, gate, database } = await echoGateway(t);
  const lost = await open(grants.add().handle);
  t.equal(await lost.next(), 'welcome');
  const [first] = gate.live.registry.all();
  const living = await open(grants.add().handle);
  t.equal(await living.next(), 'welcome');
  await database.query(`update daypass.sessions set ended_at = now(), end_reason = 'interrupted' where id = $1`, [
    first?.id,
  ]);
  const pool = openDatabase(database.url, { max: 1 });
  t.teardown(() => pool.end());
  await cutLost(pool, gate.live.registry);
  t.equal(await lost.next(), 'cut recorder_stalled');
  living.send('read on');
  t.equal(await living.next(), 'echo read on');
});

t.test('what is no handle of this service is refused with its reason', async (t) => {
  const { open, grants, gate } = await echoGateway(t);
  const { handle } = grants.add();
  const session = grants.add();
  const first = await open(session.handle);
  t.equal(await first.next(), 'welcome');
  const id = gate.live.registry.all()[0]?.id ?? '';
  const cases: [string, string][] = [
    ['', 'malformed'],
    [handle.slice(0, -1), 'malformed'],
    [`${handle}x`, 'malformed'],
    [id, 'malformed'],
    [`dp_${id.replaceAll('-', '').slice(0, 22)}_${'a'.repeat(43)}`, 'unknown_grant'],
    [`${handle.slice(0, 26)}${'0'.repeat(43)}`, 'unknown_grant'],
    [grants.add({ service: 'other' }).handle, 'wrong_service'],
    [grants.add({ expiresAt: Date.now() }).handle, 'expired'],
    [grants.add({ notBefore: Date.now() + 60_000 }).handle, 'not_yet'],
    [grants.add({ role: 'gone' }).handle, 'out_of_scope'],
  ];
  for (const [credential, reason] of cases)
    t.equal(await (await open(credential)).next(), `refused ${reason}`, credential);
  gate.stopAdmitting();
  t.equal(await (await open(handle)).next(), 'refused store_unavailable');
});

t.test(
  'by which protocol a service is reached is told to whoever has its handle, and to all others nothing',
  async (t) => {
    const { gate, grants } = await startGate(t, policyOf('echo', { reader: new Set() }));
    const mine = grants.add();
    const told = async (credential: string | null, service = 'echo', principal = 'alice') => {
      const asked = { protocol: 'other', service, principal, credential, client: '127.0.0.1:1' };
      const answer = await gate.admit(asked);
      return answer.ok ? null : { ...answer.decision, message: answer.decision.message.replace(service, '…') };
    };
    const revoked = grants.add();
    grants.revoke(revoked.grant.id);
    t.match(await told(mine.handle), { reason: 'unknown_service', message: '… is reached by echo, not by other' });
    const nothing = await told(mine.handle, 'none');
    t.match(nothing, { reason: 'unknown_service', message: 'there is no service named "…" here' });
    for (const credential of [
      ...[null, '', 'hunter2', `${mine.handle}x`, `${mine.handle.slice(0, 26)}${'0'.repeat(43)}`, revoked.handle],
      ...[grants.add({ service: 'another' }).handle, grants.add({ expiresAt: Date.now() }).handle],
    ])
      t.same(await told(credential), nothing, String(credential));
    t.same(await told(mine.handle, 'echo', 'mallory'), nothing, 'nor who found it');
  },
);

t.test('the test protocol is small, and adds nothing the contract does not ask for', async (t) => {
  t.same(Object.keys(echoProtocol).sort(), [
    'actionFromWords',
    'compileRole',
    'decide',
    'describe',
    'injected',
    'looser',
    'name',
    'narrow',
    'render',
    'role',
    'rulesOf',
    'upstream',
  ]);
});
