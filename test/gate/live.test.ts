import t, { type Test } from 'tap';
import type { DenialReason } from '../../src/policy/reason.js';
import { policyOf, startGate, TestClock } from './fixture.js';

const ASKING = { protocol: 'echo', service: 'echo', client: '127.0.0.1', shared: true };

async function startLive(t: Test) {
  const clock = new TestClock();
  const parts = await startGate(t, policyOf('echo', { reader: new Set(['read']) }), { clock });
  const { grant, handle } = parts.grants.add({ expiresAt: clock.wall() + 60_000 }, clock.wall());
  const ask = () => parts.gate.admit({ ...ASKING, credential: handle });
  const answer = await ask();
  if (!answer.ok) throw new Error(answer.decision.message);
  return { ...parts, clock, grant, ask, session: answer.admission.session };
}

t.test('what a check of a live grant answers ends its sessions, or leaves them to their deadline', async (t) => {
  const ends: Partial<Record<DenialReason, string | undefined>> = {
    ...{ revoked: 'revoked', suspended: 'suspended', unknown_grant: 'unknown_grant' },
    ...{ store_unavailable: undefined, malformed: undefined, expired: undefined, outside_hours: undefined },
  };
  for (const [reason, end] of Object.entries(ends) as [DenialReason, string | undefined][]) {
    const { gate, grants, grant, session } = await startLive(t);
    grants.held.set(grant.id, { ok: false, reason, message: reason });
    gate.live.recheck(grant.id);
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(session.end?.reason, end, reason);
  }
});

t.test('a check that finds a grant expired has its sessions end though no timer served them', async (t) => {
  const { gate, grants, grant, clock, session } = await startLive(t);
  clock.pass(60_000);
  grants.held.set(grant.id, { ok: false, reason: 'expired', message: 'it is over' });
  gate.live.recheck(grant.id);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(session.end?.reason, 'expired');
});

t.test('the word of the ledger that a grant is over is not missed by who is just being checked', async (t) => {
  for (const reason of ['revoked', 'suspended'] as const) {
    const { gate, grants, grant, ask, session } = await startLive(t);
    let rounds = 0;
    grants.during = () => {
      rounds += 1;
      if (rounds > 1) return;
      grants.held.set(grant.id, { ok: false, reason, message: reason }); // after the answer was read, before it is given
      gate.live.over(grant.id, reason);
    };
    session.finish('idle');
    const answer = await ask();
    t.equal(answer.ok ? null : answer.decision.reason, reason);
    t.same(gate.live.registry.all(), []);
  }
});

t.test('of a session that has ended nothing is kept to be shared', async (t) => {
  const { gate, grant, session } = await startLive(t);
  const { id: grantId } = grant;
  const alone = await gate.admit({ ...ASKING, shared: false, credential: { grantId, holds: () => true } });
  if (alone.ok) alone.admission.session.finish('client_left');
  t.same(gate.live.registry.ofGrant(grantId), [session]);
  t.equal(gate.live.shared.find(grant.id, 'echo', '')?.session, session, 'one that was never shared takes none along');
  session.finish('idle');
  t.equal(gate.live.shared.find(grant.id, 'echo', ''), undefined);
});
