import t, { type Test } from 'tap';
import { policyOf, startGate, TestClock } from './fixture.js';

const POLICY = policyOf('echo', { reader: new Set(['read']) });
const ASKING = { protocol: 'echo', service: 'echo', client: '127.0.0.1', shared: true };

/** A gate, and what it answers to a handle: a session's id, or why there is none. */
async function startAsked(t: Test) {
  const clock = new TestClock();
  const parts = await startGate(t, POLICY, { clock });
  const add = (over = {}) => parts.grants.add(over, clock.wall());
  const ask = async (credential: string, more = {}) => {
    const answer = await parts.gate.admit({ ...ASKING, credential, ...more });
    return answer.ok ? answer.admission.session.id : answer.decision.reason;
  };
  return { ...parts, clock, add, ask };
}

t.test('end, beginning and hours are judged once more when the check has answered', async (t) => {
  const { clock, add, ask } = await startAsked(t);
  const at = clock.wall();
  t.equal(await ask(add({ expiresAt: at }).handle), 'expired');
  t.equal(await ask(add({ notBefore: at + 1 }).handle), 'not_yet');
  const today = new Date(at).toLocaleDateString('en', { weekday: 'short', timeZone: 'UTC' });
  const other = today === 'Mon' ? 'Tue' : 'Mon';
  t.equal(await ask(add({ window: `${other} 00:00-24:00 UTC` }).handle), 'outside_hours');
  t.match(await ask(add({ notBefore: at, expiresAt: at + 1, window: `${today} 00:00-24:00 UTC` }).handle), /-/);
});

t.test('what changes while a grant is being checked counts: a stop, and a service that is gone', async (t) => {
  const { gate, grants, policies, add, ask } = await startAsked(t);
  grants.during = () => policies.replace(new Map());
  t.equal(await ask(add().handle), 'unknown_service');
  policies.replace(new Map([['echo', POLICY]]));
  grants.during = () => gate.stopAdmitting();
  t.equal(await ask(add().handle), 'store_unavailable');
  t.same(gate.live.registry.all(), []);
});

t.test('while it is not known which grants were revoked nobody new is let in, and no session begins', async (t) => {
  const { gate, clock, add, ask } = await startAsked(t);
  const { handle } = add();
  gate.live.known(clock.monotonic());
  t.equal(await ask(handle), 'store_unavailable');
  t.same(gate.live.registry.all(), []);
  gate.live.known(clock.monotonic() + 1);
  t.match(await ask(handle), /-/);
});

t.test('a shared session whose end has come, though no timer served it, is handed to nobody', async (t) => {
  const { gate, grants, clock, add, ask } = await startAsked(t);
  const { grant, handle } = add({ expiresAt: clock.wall() + 1_000 });
  const first = await ask(handle);
  clock.pass(1_000);
  t.equal(gate.admitted('echo', handle, '127.0.0.1'), null);
  t.equal(await ask(handle), 'expired');
  grants.held.set(grant.id, { ok: true, grant: { ...grant, expiresAt: clock.wall() + 1_000, renewals: 1 } });
  const next = await ask(handle);
  t.match(next, /-/);
  t.not(next, first, 'a renewal that came too late for the one opens another');
});

t.test('a session that is over by the time somebody was checked is not what they are given', async (t) => {
  const { gate, grants, clock, add, ask } = await startAsked(t);
  const { grant, handle } = add({ expiresAt: clock.wall() + 1_000 });
  const first = await ask(handle);
  grants.held.set(grant.id, { ok: true, grant: { ...grant, expiresAt: clock.wall() + 60_000, renewals: 1 } });
  grants.during = () => clock.pass(1_000); // nobody told the session of its renewal
  const next = await ask(handle);
  t.match(next, /-/);
  t.not(next, first);
  t.ok(gate.live.registry.get(String(next))?.isLive());
});

t.test('a proof that takes time is waited for: until then it shows nothing', async (t) => {
  const { gate, add } = await startAsked(t);
  const { grant } = add();
  const proof = (holds: () => boolean | Promise<boolean>) => ({ grantId: grant.id, holder: 'one', holds });
  const known = proof(() => true);
  t.ok((await gate.admit({ ...ASKING, credential: known })).ok);
  t.ok(gate.admitted('echo', known, '127.0.0.1'));
  for (const holds of [async () => true, async () => false, () => false])
    t.equal(gate.admitted('echo', proof(holds), '127.0.0.1'), null);
  const broken = proof(async () => {
    throw new Error('it broke off');
  });
  t.equal((await gate.admit({ ...ASKING, credential: broken })).ok, false);
});

t.test('a name that no service has is told in printable characters, and not in full when it is long', async (t) => {
  const { gate } = await startAsked(t);
  const answer = await gate.admit({ ...ASKING, service: `\u001b[2J"ä${'x'.repeat(100)}`, credential: 'dp_' });
  const message = answer.ok ? '' : answer.decision.message;
  t.equal(message, `there is no service named "?[2J\\"?${'x'.repeat(57)}" here`);
});

t.test('for want of room nobody new is let in, and it is no refusal of the grant that would be recorded', async (t) => {
  const { gate, recorder, database, add, ask } = await startAsked(t);
  const { handle } = add();
  const guest = { asks() {}, letIn: () => false, turnedAway() {} };
  t.equal(await ask(handle, { guest }), 'too_many');
  const much = 64 * 1024 * 1024;
  recorder.queued('alice', much);
  t.equal(await ask(handle), 'recorder_unavailable', 'what waits to be recorded of a person');
  t.match(await ask(add({ principal: 'bob' }).handle), /-/, 'is nothing to anybody else');
  recorder.queued('alice', -much);
  const known = await ask(handle);
  t.match(known, /-/);
  recorder.queued('alice', much);
  t.equal(await ask(handle), known, 'and who is in stays in');
  recorder.queued('alice', -much);
  gate.live.cutAll('shutdown');
  await recorder.drain(2_000);
  const sessions = await database.query('select distinct end_reason from daypass.sessions');
  t.same(sessions, [{ end_reason: 'shutdown' }]);
});
