import { Duplex, PassThrough, Writable } from 'node:stream';
import t, { type Test } from 'tap';
import type { ServicePolicy } from '../../src/config/protocol.js';
import { SoughtSecret } from '../../src/config/secret.js';
import { leaveGently } from '../../src/http/websocket/parting.js';
import type { Connection, Cut } from '../../src/session/connection.js';
import { policyOf, startGate, TestClock } from '../gate/fixture.js';
import { readEvents } from '../support/gateway.js';

/** A connection that notes what is done to it, and in what order. */
class TestConnection implements Connection {
  readonly client = new PassThrough();
  readonly warnings: string[] = [];
  readonly #name: string;
  readonly #done: string[];
  readonly #throws: boolean;

  constructor(name: string, done: string[], throws = false) {
    this.#name = name;
    this.#done = done;
    this.#throws = throws;
    this.client.end = ((...rest: unknown[]) => {
      this.#note('end');
      const done = rest.find((one) => typeof one === 'function');
      if (typeof done === 'function') done();
      return this.client;
    }) as typeof this.client.end;
  }

  severUpstream(): void {
    this.#note('sever');
  }

  farewell({ message }: Cut): void {
    this.#note(`farewell ${/:\s(.*) \(grant/.exec(message)?.[1]?.replace(/ at .*/, '')}`);
  }

  warn(message: string): void {
    this.warnings.push(message);
  }

  policyChanged(): void {
    this.#note('policy');
  }

  #note(step: string): void {
    this.#done.push(`${this.#name} ${step}`);
    if (this.#throws) throw new Error(`${this.#name} throws`);
  }
}

const ROLES = { reader: 'rules', other: 'others' };

async function session(t: Test, seconds = 60, upstream: unknown = {}) {
  const clock = new TestClock();
  const parts = await startGate(t, policyOf('echo', ROLES, { upstream }), { clock });
  const { grant, handle } = parts.grants.add({ expiresAt: clock.wall() + seconds * 1_000 }, clock.wall());
  const answer = await parts.gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'here' });
  if (!answer.ok) throw new Error(answer.decision.message);
  return { ...parts, clock, grant, session: answer.admission.session, done: [] as string[] };
}

t.test('a cut severs every upstream first, then says farewell, then ends: one that throws stops nothing', async (t) => {
  const { session: live, done } = await session(t);
  for (const [name, throws] of [
    ['a', true],
    ['b', false],
  ] as const)
    live.attach(new TestConnection(name, done, throws));
  live.cut('revoked');
  t.same(done, [
    'a sever',
    'b sever',
    'a farewell the grant was revoked',
    'b farewell the grant was revoked',
    'a end',
    'b end',
  ]);
  t.match(live.end, { reason: 'revoked' });
  live.cut('expired');
  live.finish('client_left');
  t.match(live.end, { reason: 'revoked' }, 'once');
});

t.test('after a pause of the process nothing is delivered past the deadline, though no timer has fired', async (t) => {
  const { session: live, clock, done } = await session(t, 60);
  live.attach(new TestConnection('a', done));
  const written: string[] = [];
  const socket = { write: (chunk: Uint8Array) => written.push(String(chunk)) > 0 };
  t.ok(live.toClients.deliver(socket, Buffer.from('before')));
  clock.pass(59_999);
  t.ok(live.toClients.deliver(socket, Buffer.from('last')));
  clock.pass(1);
  t.notOk(live.toClients.deliver(socket, Buffer.from('late')));
  t.same(written, ['before', 'last']);
  t.match(live.end, { reason: 'expired', dueAt: live.expiresAt, cutAt: live.expiresAt });
  t.equal(done[0], 'a sever', 'and the session is cut right there');
});

t.test('bytes of a write during which the end came are in the receipt as given after it', async (t) => {
  const { session: live, clock } = await session(t, 60);
  const slow = { write: () => clock.pass(2) === undefined };
  clock.pass(59_990);
  live.toClients.deliver(slow, Buffer.from('before'));
  clock.pass(7);
  live.toClients.deliver(slow, Buffer.from('while'));
  live.toClients.deliver(slow, Buffer.from('after'));
  live.toClients.give(1_000, () => t.fail('nothing is written after the end'));
  t.match(live.recording.receipt, { reason: 'expired', bytesAfterDue: 'while'.length });
});

/** A stream that tells what the system is given, and when. */
function toldOf(into: string[]): Duplex {
  const took = (chunks: { chunk: Buffer }[]) => into.push(chunks.map(({ chunk }) => String(chunk)).join('+'));
  return new Duplex({
    read: () => {},
    write: (chunk, _, done) => {
      took([{ chunk }]);
      done();
    },
    writev: (chunks, done) => {
      took(chunks);
      done();
    },
  });
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

t.test('what may wait goes at the end of the turn, and before the deadline at once', async (t) => {
  const { session: live, clock } = await session(t, 60);
  const went: string[] = [];
  const [one, other] = [toldOf(went), toldOf(went)];
  live.toClients.deliverInTurn(one, Buffer.from('a'));
  live.toClients.deliverInTurn(other, Buffer.from('b'));
  live.toClients.deliverInTurn(one, Buffer.from('c'));
  t.same(went, [], 'not yet');
  await turn();
  t.same(went, ['a+c', 'b']);
  live.toClients.deliverInTurn(one, Buffer.alloc(5_000, 'd'));
  t.equal(went.length, 3, 'much goes at once');
  clock.pass(59_950);
  live.toClients.deliverInTurn(one, Buffer.from('e'));
  t.equal(went.at(-1), 'e', 'the end may come in this turn');
  clock.pass(50);
  t.notOk(live.toClients.deliverInTurn(one, Buffer.from('f')));
  await turn();
  t.equal(went.at(-1), 'e');
  t.match(live.recording.receipt, { reason: 'expired', bytesAfterDue: 0 });
});

t.test('what was given before a cut in the same turn goes before the farewell', async (t) => {
  const { session: live } = await session(t, 60);
  const went: string[] = [];
  const client = toldOf(went);
  const connection = new TestConnection('a', []);
  connection.farewell = () => void went.push('farewell');
  live.attach(connection);
  live.toClients.deliverInTurn(client, Buffer.from('given'));
  live.cut('revoked');
  live.toClients.deliverInTurn(client, Buffer.from('late'));
  await turn();
  t.same(went, ['given', 'farewell']);
  t.match(live.recording.receipt, { reason: 'revoked', bytesAfterDue: 0 });
});

t.test('bytes that wait while the process stands still past the end do not go', async (t) => {
  for (const isNoticedBefore of [true, false]) {
    const { session: live, clock, done } = await session(t, 60);
    live.attach(new TestConnection('a', done));
    const went: string[] = [];
    const clients = [toldOf(went), toldOf(went)];
    for (const client of clients) {
      const farewell = () => void (client.writable && client.write('farewell'));
      live.attach({ client, severUpstream: () => {}, farewell, warn: () => {}, policyChanged: () => {} });
      live.toClients.deliverInTurn(client, Buffer.from('waited'));
    }
    clock.pass(60_000);
    if (isNoticedBefore) t.notOk(live.isLive());
    await turn();
    t.same(went, []);
    for (const client of clients) t.ok(client.destroyed);
    t.match(live.recording.receipt, { reason: 'expired', bytesAfterDue: 0 });
    t.equal(done.filter((one) => one === 'a sever').length, 1);
  }
});

t.test('nor do they with the end of their stream', async (t) => {
  const { session: live, clock } = await session(t, 60);
  const went: string[] = [];
  const client = toldOf(went);
  live.toClients.deliverInTurn(client, Buffer.from('waited'));
  clock.pass(60_000);
  leaveGently(client);
  await turn();
  t.same(went, []);
  t.match(live.recording.receipt, { reason: 'expired', bytesAfterDue: 0 });
});

t.test('bytes of a held write during which the end comes are in the receipt', async (t) => {
  const { session: live, clock } = await session(t, 60);
  const slow = new Writable({ write: (_chunk, _, done) => done(void clock.pass(60_000)) });
  live.toClients.deliverInTurn(slow, Buffer.from('while'));
  await turn();
  t.notOk(live.isLive());
  t.match(live.recording.receipt, { reason: 'expired', bytesAfterDue: 'while'.length });
});

t.test('neither a clock set back nor one set forward lengthens a session', async (t) => {
  for (const step of [-86_400_000, 86_400_000]) {
    const { session: live, clock } = await session(t, 60);
    clock.wallTime += step;
    if (step > 0) t.notOk(live.isLive(), 'forward: at once');
    clock.pass(59_999);
    if (step < 0) t.ok(live.isLive());
    clock.pass(1);
    t.notOk(live.isLive());
  }
});

t.test('a renewal moves the end of the open session; one that arrives late takes nothing back', async (t) => {
  const { session: live, clock, grant, done } = await session(t, 60);
  const connection = new TestConnection('a', done);
  live.attach(connection);
  const renewed = { ...grant, expiresAt: grant.expiresAt + 60_000, renewals: 1 };
  live.renew(renewed);
  t.match(connection.warnings, [/extended until/]);
  live.renew(grant);
  t.equal(live.expiresAt, renewed.expiresAt, 'the answer to an older question');
  clock.pass(119_999);
  t.ok(live.isLive());
  clock.pass(1);
  t.notOk(live.isLive());
  live.renew({ ...renewed, expiresAt: renewed.expiresAt + 60_000, renewals: 2 });
  t.notOk(live.isLive(), 'nothing revives a session that is over');
});

t.test('a policy without the role cuts the session; one with it is in force for what comes next', async (t) => {
  const { session: live, done, policies, gate } = await session(t);
  live.attach(new TestConnection('a', done));
  const put = (version: string, roles: Record<string, unknown>) => {
    policies.replace(new Map([['echo', policyOf('echo', roles, { version })]]));
    gate.live.policiesChanged();
  };
  put('v2', { reader: 'new rules' });
  t.equal(live.role, 'new rules');
  t.same(done, ['a policy']);
  put('v3', { other: 'others' });
  t.match(live.end, { reason: 'policy_gone' });
});

t.test('a secret that was replaced under the same text is sent from then on, and ends nothing', async (t) => {
  const { session: live, done, policies, gate } = await session(t);
  live.attach(new TestConnection('a', done));
  const put = (password: string, over: Partial<ServicePolicy> = {}) => {
    const secrets = [new SoughtSecret('file token', [`${password} secret`])];
    policies.replace(new Map([['echo', policyOf('echo', ROLES, { upstream: { password }, secrets, ...over })]]));
    gate.live.policiesChanged();
  };
  put('second');
  t.match(live.policy, { upstream: { password: 'second' } });
  t.same([done, live.end], [[], null]);
  put('third');
  t.equal(live.unsaid.text('second secret, third secret'), '[redacted], [redacted]', 'the former may yet come back');
  put('fourth');
  put('fourth', { version: 'v2' });
  t.equal(live.end, null);
  const all = 'second secret, third secret, fourth secret';
  t.equal(live.unsaid.text(all), '[redacted], [redacted], [redacted]', 'and so may each before it');
  put('fifth', { version: 'v3' });
  t.match(live.end, { reason: 'policy_gone' }, 'under another text it is another service');
});

t.test('an address, an account or an authority that only the text is the same of is another service', async (t) => {
  for (const [before, after] of [
    [
      { url: 'a', headers: ['x'] },
      { url: 'b', headers: ['x'] },
    ],
    [{ tls: { ca: 'a', key: 'x' } }, { tls: { ca: 'b', key: 'x' } }],
    [{ user: 'a' }, { user: 'b' }],
  ]) {
    const { session: live, policies, gate } = await session(t, 60, before);
    const put = (upstream: unknown) => {
      policies.replace(new Map([['echo', policyOf('echo', ROLES, { upstream })]]));
      gate.live.policiesChanged();
    };
    put({ ...before });
    t.equal(live.end, null);
    put(after);
    t.match(live.end, { reason: 'policy_gone' });
  }
});

t.test(
  'another protocol, another account of the role, and a record that is to be strict end it; looser does not',
  async (t) => {
    const reader = (user: string) => ({ reader: { upstream: { user } } });
    const buffered = { recording: { mode: 'buffered' } } as const;
    const before = { version: 'v1', roles: reader('a'), over: {} };
    for (const [what, was, is, end] of [
      ['the same', before, { ...before, version: 'v2' }, null],
      ['a protocol', before, { ...before, version: 'v2', protocol: 'other' }, 'policy_gone'],
      ['an account', before, { ...before, version: 'v2', roles: reader('b') }, 'policy_gone'],
      ['looser', before, { ...before, version: 'v2', over: buffered }, null],
      ['strict', { ...before, over: buffered }, { ...before, version: 'v2' }, 'policy_gone'],
    ] as const) {
      const { gate, grants, policies } = await startGate(
        t,
        policyOf('echo', was.roles, { ...was.over, version: 'v1' }),
      );
      const { handle } = grants.add();
      const answer = await gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'here' });
      const protocol = 'protocol' in is ? is.protocol : 'echo';
      policies.replace(new Map([['echo', policyOf(protocol, is.roles, { ...is.over, version: is.version })]]));
      gate.live.policiesChanged();
      t.equal(answer.ok && (answer.admission.session.end?.reason ?? null), end, what);
    }
  },
);

t.test('what lingers is not left to be read when its session ends by itself', async (t) => {
  const { session: live, done } = await session(t);
  const connection = new TestConnection('a', done);
  live.linger(connection);
  live.finish('idle');
  t.same(done, ['a sever']);
  t.ok(connection.client.destroyed);
});

t.test('the service is listened to for the secrets of the policy in force', async (t) => {
  const { session: live, gate, policies, recorder, database } = await session(t);
  const secrets = [new SoughtSecret('env TOKEN', ['a new secret of it'])];
  policies.replace(new Map([['echo', policyOf('echo', ROLES, { secrets, version: 'v2' })]]));
  gate.live.policiesChanged();
  live.sightings.bytes(Buffer.from('here is a new secret of it'));
  await recorder.drain(2_000);
  t.match(
    (await readEvents(database)).filter(({ kind }) => kind === 'notice'),
    [{ facts: { about: 'secret_seen', secret: 'env TOKEN' } }],
  );
});

t.test('warnings come before the end, each once, and never after it', async (t) => {
  const { session: live, clock, gate, done } = await session(t, 600);
  const connection = new TestConnection('a', done);
  live.attach(connection);
  for (let passed = 0; passed < 600_000; passed += 1_000) {
    clock.pass(1_000);
    gate.live.tick();
  }
  t.match(connection.warnings, [/ends in 300 s/, /ends in 60 s/, /ends in 10 s/]);
  t.equal(connection.warnings.length, 3);
  t.match(live.end, { reason: 'expired' });
});

t.test('what is attached to a session that is over is severed and destroyed', async (t) => {
  const { session: live, done } = await session(t);
  live.cut('ended');
  const late = new TestConnection('late', done);
  live.attach(late);
  t.same(done, ['late sever']);
  t.ok(late.client.destroyed);
  let told = false;
  live.whenEnded(() => {
    told = true;
  });
  t.ok(told);
});

t.test('who has left is not cut, whoever comes takes its place, and leaving twice lets nobody else go', async (t) => {
  const { session: live, done } = await session(t);
  const leave = ['a', 'b', 'c', 'd'].map((name) => live.attach(new TestConnection(name, done)));
  t.equal(live.connections, 4);
  for (const gone of [1, 3, 1, 1]) leave[gone]?.();
  t.equal(live.connections, 2);
  const later = ['e', 'f', 'g'].map((name) => live.attach(new TestConnection(name, done)));
  for (const gone of [1, 3]) leave[gone]?.();
  later[0]?.();
  later[0]?.();
  t.equal(live.connections, 4);
  live.cut('revoked');
  t.same(done.filter((step) => step.endsWith('sever')).sort(), ['a sever', 'c sever', 'f sever', 'g sever']);
  for (const all of [...leave, ...later]) all();
  t.equal(live.connections, 0);
});
