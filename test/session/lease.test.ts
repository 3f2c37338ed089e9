import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import { timeLeftOf } from '../../src/grant/lease.js';
import type { CutReason } from '../../src/policy/reason.js';
import { policyOf, startGate, TestClock } from '../gate/fixture.js';

const HOURS = 'Mon-Fri 09:00-18:00 Europe/Berlin';
const CLOSES = Date.parse('2026-11-30T17:00:00Z');

/** A session that was opened an hour before the hours of its grant end. */
async function session(t: Test, over = {}) {
  const clock = new TestClock();
  clock.wallTime = CLOSES - 3_600_000;
  const roles = { reader: new Set(['read', 'list']) };
  const parts = await startGate(t, policyOf('echo', roles), { clock });
  const { grant, handle } = parts.grants.add({ expiresAt: CLOSES + 86_400_000, window: HOURS, ...over }, clock.wall());
  const admit = () => parts.gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'here' });
  const answer = await admit();
  if (!answer.ok) throw new Error(answer.decision.message);
  return { ...parts, clock, grant, handle, admit, session: answer.admission.session };
}

t.test(
  'a session ends with the hours of its grant, to the millisecond, and is let in again when they begin',
  async (t) => {
    const { session: live, clock, gate, admit } = await session(t);
    t.equal(live.expiresAt, CLOSES);
    clock.pass(3_599_999);
    gate.live.tick();
    t.ok(live.isLive());
    clock.pass(1);
    t.notOk(live.isLive());
    t.match(live.end, { reason: 'hours_over', dueAt: CLOSES });
    t.match(await admit(), {
      ok: false,
      decision: { reason: 'outside_hours', message: /opens next on Tue 2026-12-01 09:00/ },
    });
    clock.pass(15 * 3_600_000);
    t.match(await admit(), { ok: true });
  },
);

t.test(
  'whoever is connected is warned before the hours end, and told at their end when they begin again',
  async (t) => {
    const { session: live, clock, gate } = await session(t);
    const told: string[] = [];
    live.attach({
      client: new PassThrough(),
      severUpstream: () => {},
      farewell: ({ message, hint }) => told.push(message, hint),
      warn: (message) => told.push(message),
      policyChanged: () => {},
    });
    const nothing = told.length;
    clock.pass(3_600_000 - 60_000);
    gate.live.tick();
    clock.pass(60_000);
    gate.live.tick();
    t.equal(nothing, 0);
    t.match(told, [
      /the hours of your access end in 60 s, at 2026-11-30T17:00:00/,
      /ended this session: the hours of the grant are over at 2026-11-30T17:00:00/,
      /for Mon-Fri 09:00-18:00 Europe\/Berlin; it opens next on Tue 2026-12-01 09:00 Europe\/Berlin/,
    ]);
  },
);

t.test('what is left of a grant is told to its end, or to that of its hours when that comes first', async (t) => {
  const hour = 3_600_000;
  const grant = { notBefore: CLOSES - 8 * hour, expiresAt: CLOSES + 24 * hour, window: HOURS };
  t.match(timeLeftOf(grant, CLOSES - hour), { left: hour, until: CLOSES, end: 'hours_over', outside: null });
  t.match(timeLeftOf(grant, CLOSES), { left: 0, outside: /opens next on Tue 2026-12-01 09:00 Europe/ });
  const ending = { ...grant, expiresAt: CLOSES + hour };
  t.match(timeLeftOf(ending, CLOSES), { left: 0, outside: /does not open again before its end/ });
  const short = { ...grant, expiresAt: CLOSES - 1 };
  t.match(timeLeftOf(short, CLOSES - hour), { left: hour - 1, end: 'expired', outside: null });
  t.match(timeLeftOf(short, CLOSES + 1), { left: 0 });
  t.match(timeLeftOf(grant, 0), { left: 8 * hour, until: CLOSES }, 'of one that begins later, from its beginning');
  t.match(timeLeftOf({ ...grant, window: null }, CLOSES), { left: 24 * hour, end: 'expired', outside: null });
});

t.test('a grant that ends within its hours ends as expired', async (t) => {
  const { session: live, clock, gate } = await session(t, { expiresAt: CLOSES - 1_000 });
  clock.pass(3_599_000);
  gate.live.tick();
  t.match(live.end, { reason: 'expired', dueAt: CLOSES - 1_000 });
});

t.test('a renewal moves the end of the grant, and not that of its hours', async (t) => {
  const { session: live, clock, gate, grant } = await session(t, { expiresAt: CLOSES - 1_800_000 });
  t.equal(live.expiresAt, CLOSES - 1_800_000);
  live.renew({ ...grant, expiresAt: CLOSES + 7_200_000, renewals: 1 });
  t.equal(live.expiresAt, CLOSES);
  live.renew({ ...grant, expiresAt: CLOSES + 9_000_000, renewals: 2 });
  t.equal(live.expiresAt, CLOSES);
  t.equal(live.grant.renewals, 2);
  clock.pass(3_600_000);
  gate.live.tick();
  t.match(live.end, { reason: 'hours_over' });
});

t.test('hours that cannot be read are over', async (t) => {
  const { gate, grants, clock } = await session(t);
  const { handle } = grants.add({ window: 'whenever', expiresAt: CLOSES }, clock.wall());
  const answer = await gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'here' });
  t.match(answer, { ok: false, decision: { reason: 'outside_hours' } });
});

t.test('a suspended grant cuts its live sessions', async (t) => {
  const { session: live, gate, grants, grant, admit } = await session(t);
  grants.held.set(grant.id, { ok: false, reason: 'suspended', message: 'The grant is suspended.' });
  const cut = new Promise<CutReason | string | undefined>((resolve) => live.whenEnded(() => resolve(live.end?.reason)));
  gate.live.recheck(grant.id);
  t.equal(await cut, 'suspended');
  t.match(await admit(), { ok: false, decision: { reason: 'suspended' } });
});

t.test('a narrowed grant has its rules alone, also after a reload, and nothing when they are gone', async (t) => {
  const { session: live, gate, policies, grants, clock } = await session(t, { only: ['list', 'never was'] });
  t.same(live.role, new Set(['list']));
  const reload = (version: string, words: readonly string[]) => {
    policies.replace(new Map([['echo', policyOf('echo', { reader: new Set(words) }, { version })]]));
    gate.live.policiesChanged();
  };
  reload('v2', ['read', 'list', 'drop']);
  t.same(live.role, new Set(['list']));
  reload('v3', ['read']);
  t.same(live.role, new Set());
  t.ok(live.isLive(), 'it is told so at its next action');
  const { handle } = grants.add({ only: ['list'] }, clock.wall());
  const answer = await gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'here' });
  t.match(answer, { ok: false, decision: { reason: 'out_of_scope', message: /narrowed/ } });
  reload('v4', ['list', 'drop']);
  t.same(live.role, new Set(['list']));
});
