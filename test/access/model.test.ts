import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { CloseOuts } from '../../src/access/closeout.js';
import { verifyCloseOut } from '../../src/access/closeout-verify.js';
import type { RequestView } from '../../src/access/request.js';
import type { Requests } from '../../src/access/requests.js';
import { DaypassError } from '../../src/errors.js';
import { keyRing } from '../../src/grant/keys.js';
import type { Actor } from '../../src/identity/actor.js';
import { rememberPolicies } from '../../src/recording/policies.js';
import { type Access, ASKED, addPerson, HOUR, MONDAY, root, serviceText, startAccess } from './fixture.js';

/**
 * Requests explored at random on a real ledger: acts of several people at once, clocks that step both ways, policies that
 * change in between. After every round the ledger, the signed grants and what was promised are held against each other.
 */

const HASH = createHash('sha256').update('the terms').digest('hex');
const APPROVERS = ['ada', 'bob', 'cat', 'kim', 'sam', 'sam', 'eve'] as const;
const OWNERS = ['ada', 'bob', 'cat'] as const;
const SERVICES = ['orders-web', 'reports'] as const;
const LANES: Readonly<Record<string, string>> = { 'orders-web': 'production', reports: 'data' };
/** The account ends in the afternoon, and the NDA with the day. */
const ACCOUNT_ENDS = MONDAY + 6 * HOUR;
const NDA_ENDS = MONDAY + 15 * HOUR;
const OVER = ['refused', 'withdrawn', 'lapsed', 'returned', 'revoked'];
/** What would mean that two acts waited for each other, or that something broke. */
const BROKEN = ['ledger_unavailable', 'store_unavailable', 'audit_unavailable', 'internal'];

interface World {
  readonly access: Access;
  readonly principal: string;
  readonly ids: string[];
  approvals: number;
  readonly over: Map<string, string>;
  readonly seen: Set<string>;
}

interface Step {
  /** For the counterexample. */
  readonly text: string;
  run(world: World): Promise<unknown>;
  [fc.toStringMethod](): string;
}

function step(text: string, run: (world: World) => Promise<unknown>): Step {
  return { text, run, [fc.toStringMethod]: () => text };
}

interface Wanted {
  readonly service: string;
  readonly seconds: number;
  /** Hours. */
  readonly ahead: number;
}

async function asked({ access, principal, ids }: World, { service, seconds, ahead }: Wanted): Promise<void> {
  const from = access.clock.now + ahead * HOUR;
  ids.push(
    (await access.requests.create(await access.as(principal), { ...ASKED, service, seconds, role: 'retrier', from }))
      .id,
  );
}

/** Mostly the first ones: what is done to one request is what may go wrong. */
const pick = fc.constantFrom(0, 0, 0, 0, 1, 1, 2, 3);
const idOf = ({ ids }: World, index: number) => ids[index % Math.max(1, ids.length)] ?? 'none';

/** What the requester does with one of their requests. */
function own(
  verb: string,
  run: (requests: Requests, actor: Actor, id: string) => Promise<unknown>,
): fc.Arbitrary<Step> {
  return pick.map((index) =>
    step(`${verb} ${index}`, async (world) =>
      run(world.access.requests, await world.access.as(world.principal), idOf(world, index)),
    ),
  );
}

const asking = fc
  .record({
    service: fc.constantFrom(...SERVICES),
    seconds: fc.constantFrom(600, 3_600, 7_200),
    ahead: fc.constantFrom(0, 1),
  })
  .map((wanted) => step(`ask ${JSON.stringify(wanted)}`, (world) => asked(world, wanted)));

const deciding = fc
  .record({
    who: fc.constantFrom(...APPROVERS, ...OWNERS),
    index: pick,
    outcome: fc.constantFrom(...Array<'approve'>(11).fill('approve'), 'refuse' as const),
    seconds: fc.constantFrom(undefined, undefined, 300),
  })
  .map(({ who, index, outcome, seconds }) =>
    step(`${who} ${outcome} ${index} ${seconds ?? ''}`, async (world) => {
      const actor = await world.access.as(who === 'kim' ? world.principal : who);
      const decided = { outcome, comment: 'x', seconds };
      await world.access.requests.decide(actor, idOf(world, index), decided);
    }),
  );

/** An approval, and at once the activation: whether it was enough is the gateway's to say. */
const hurrying = fc.tuple(fc.constantFrom(...OWNERS, 'sam'), pick).map(([who, index]) =>
  step(`${who} approves and ${index} is activated`, async ({ access, principal, ids }) => {
    const { requests, as } = access;
    const id = ids[index % ids.length] ?? 'none';
    const approving = requests.decide(await as(who), id, { outcome: 'approve', comment: 'x' });
    await approving.catch(unlessBroken);
    await requests.activate(await as(principal), id, { acknowledge: HASH });
  }),
);

/** Acts that people do, at once. */
const act: fc.Arbitrary<Step> = fc.oneof(
  asking,
  { weight: 4, arbitrary: deciding },
  { weight: 5, arbitrary: hurrying },
  { weight: 2, arbitrary: own('activate', (requests, kim, id) => requests.activate(kim, id, { acknowledge: HASH })) },
  own('withdraw', (requests, kim, id) => requests.withdraw(kim, id, 'x')),
  own('return', (requests, kim, id) => requests.giveBack(kim, id, 'x')),
  own('revoke', (requests, _kim, id) => requests.revoke(root, id, 'x')),
  own('renew', (requests, kim, id) => requests.renew(kim, id, { seconds: 3_600, reason: 'x' })),
  fc.constant(step('sweep', ({ access }) => access.requests.sweep())),
);

/** What happens around them, alone. */
const change: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom(-90_000, 1_000, 60_000, 600_000, HOUR).map((by) =>
    step(`clock ${by}`, async ({ access }) => {
      access.clock.now += by;
    }),
  ),
  fc.constantFrom(1, 2).map((approvals) =>
    step(`approvals: ${approvals}`, async (world) => {
      world.approvals = approvals;
      world.access.policies.reload(...texts(approvals));
    }),
  ),
  fc
    .boolean()
    .map((member) =>
      step(`ada owns: ${member}`, ({ access }) =>
        rowsOf(access, `update people set groups = $1 where subject = 'ada'`, [member ? ['leads'] : []]),
      ),
    ),
);

const round = fc.oneof(
  { weight: 4, arbitrary: fc.array(act, { minLength: 1, maxLength: 3 }) },
  { weight: 2, arbitrary: change.map((one) => [one]) },
);

function texts(approvals: number): readonly string[] {
  const access = `approvals: ${approvals}, nda: required, decide_within: 2h`;
  return SERVICES.map((name) => serviceText({ name, lane: LANES[name] ?? '', access }));
}

async function rowsOf(
  { parts }: Access,
  text: string,
  values: unknown[],
): Promise<Readonly<Record<string, unknown>>[]> {
  return (await parts.pool.query<Record<string, unknown>>(text, values)).rows;
}

/** A refusal is an answer; anything else is not. */
function unlessBroken(thrown: unknown): void {
  if (!(thrown instanceof DaypassError) || BROKEN.includes(thrown.code)) throw thrown;
}

async function takeRound(world: World, steps: readonly Step[]): Promise<void> {
  for (const outcome of await Promise.allSettled(steps.map((one) => one.run(world)))) {
    if (outcome.status === 'fulfilled') continue;
    unlessBroken(outcome.reason);
  }
}

interface Live {
  readonly id: string;
  readonly request: RequestView;
  readonly approvers: readonly string[];
  readonly expiresAt: number;
}

/** Grants that would be let in now, or as soon as they begin. */
async function liveGrants({ access, principal }: World): Promise<readonly Live[]> {
  const live: Live[] = [];
  for (const { id, expiresAt } of await access.authority.list({ principal, active: true })) {
    const check = await access.authority.check(id);
    if (!check.ok && check.reason !== 'not_yet') continue;
    const request = check.ok ? check.grant.request : await requestOf(access, id);
    if (request === null) throw new Error(`grant ${id} is live and of no request`);
    const detail = await access.requests.get(root, request);
    const approvers = detail.approvals.filter(({ outcome }) => outcome === 'approve').map(({ approver }) => approver);
    if (detail.approvals.length !== approvers.length) throw new Error(`${request} was refused, and its grant lives`);
    live.push({ id, request: detail, approvers, expiresAt });
  }
  return live;
}

/** Whatever path led here: the record of each engagement holds, offline. */
async function recordsHold({ access, ids }: World, closeOuts: CloseOuts): Promise<void> {
  for (const id of ids) {
    const { file } = await closeOuts.make(root, id);
    const { findings } = await verifyCloseOut(file, keyRing(access.key));
    if (findings.length > 0) throw new Error(`the record of ${id} does not hold: ${JSON.stringify(findings)}`);
  }
}

async function requestOf(access: Access, grant: string): Promise<string | null> {
  const [row] = await rowsOf(access, 'select id from access_requests where grant_id = $1', [grant]);
  return row === undefined ? null : String(row.id);
}

async function holds(world: World): Promise<void> {
  const live = await liveGrants(world);
  const must = (truth: boolean, what: string, of: unknown) => {
    if (!truth) throw new Error(`${what}: ${JSON.stringify(of)}`);
  };
  for (const one of live) {
    const { request, approvers, expiresAt, id } = one;
    must(
      request.state === 'activated' && request.grant?.id === id,
      'a live grant is the newest of an activated request',
      one,
    );
    must(
      approvers.every((who) => OWNERS.some((owner) => owner === who)),
      'only owners who do not answer for them approve',
      one,
    );
    must(new Set(approvers).size === approvers.length, 'each approves once', one);
    if (!world.seen.has(id)) must(approvers.length >= world.approvals, 'as many approve as the policy asks', one);
    const agreed = request.startsAt + (request.allowedSeconds ?? request.seconds) * 1000;
    const renewed = (request.grant?.renewals ?? 0) * HOUR;
    must(expiresAt <= agreed + renewed, 'no grant outlives what was approved', one);
    must((request.grant?.renewals ?? 0) <= 2, 'nor is renewed more often than the policy says', one);
    must(expiresAt <= Math.min(ACCOUNT_ENDS, NDA_ENDS), 'nor outlives account and NDA', one);
  }
  checkLanes(world, live, must);
  must(new Set(live.map(({ request }) => request.id)).size === live.length, 'a request has one live grant', live);
  for (const id of world.ids) await checkOver(world, id, live, must);
  for (const { id } of live) world.seen.add(id);
}

type Must = (truth: boolean, what: string, of: unknown) => void;

/** Of two grants in two lanes at the same time, the one that came later has one approval more. */
function checkLanes({ approvals, seen }: World, live: readonly Live[], must: Must): void {
  for (const a of live) {
    for (const b of live) {
      const from = (one: Live) => one.request.grant?.notBefore ?? 0;
      if (a.request.lane === b.request.lane || from(a) >= b.expiresAt || from(b) >= a.expiresAt) continue;
      if (seen.has(a.id) && seen.has(b.id)) continue;
      must(
        Math.max(a.approvers.length, b.approvers.length) > approvals || approvals === 2,
        'two lanes, one approval more',
        [a, b],
      );
    }
  }
}

/** What is over stays so, and has no live grant. */
async function checkOver(world: World, id: string, live: readonly Live[], must: Must): Promise<void> {
  const [row] = await rowsOf(world.access, 'select state from access_requests where id = $1', [id]);
  const state = String(row?.state);
  const before = world.over.get(id);
  if (before !== undefined) must(state === before, `a request that was ${before} stays so`, { id, state });
  if (!OVER.includes(state)) return;
  world.over.set(id, state);
  must(!live.some(({ request }) => request.id === id), `a request that was ${state} has no live grant`, { id });
}

t.test(
  'no path leads to a live grant but over the approvals, none back from what is over, and none outlives its bounds',
  async (t) => {
    const access = await startAccess(t, { texts: texts(1) });
    await addPerson(access.database, 'cat', { groups: ['leads'] });
    for (const approvals of [1, 2]) {
      access.policies.reload(...texts(approvals));
      await rememberPolicies(access.pool, access.policies.all());
    }
    const { pool, key: signingKey, clock } = access;
    const closeOuts = new CloseOuts({ pool, signingKey, ownerOf: () => 'group:leads', clock });
    let runs = 0;
    let lived = 0;
    const explored = fc.asyncProperty(fc.array(round, { minLength: 6, maxLength: 16, size: 'max' }), async (rounds) => {
      runs += 1;
      const principal = `kim${runs}`;
      access.clock.now = MONDAY;
      access.policies.reload(...texts(1));
      await access.parts.pool.query(`update daypass.people set groups = '{leads}' where subject = 'ada'`);
      await addPerson(access.database, principal, { sponsor: 'sam', endsAt: ACCOUNT_ENDS });
      const nda = {
        party: principal,
        title: 'Terms',
        textHash: HASH,
        signedOn: '2026-11-01',
        validUntil: '2026-11-30',
      };
      await access.ndas.register(root, nda);
      const world: World = { access, principal, ids: [], approvals: 1, over: new Map(), seen: new Set() };
      for (const service of SERVICES) await asked(world, { service, seconds: 7_200, ahead: 0 });
      for (const steps of rounds) {
        await takeRound(world, steps);
        await holds(world);
      }
      await recordsHold(world, closeOuts);
      lived += world.seen.size;
    });
    const limits = {
      numRuns: Number(process.env.RUNS ?? 60),
      interruptAfterTimeLimit: Number(process.env.MODEL_MS ?? 15_000),
    };
    await fc.assert(explored, { ...limits, markInterruptAsFailure: false, includeErrorInReport: true });
    t.comment(`${runs} runs, ${lived} grants that lived`);
    t.ok(lived > 0, 'some of the paths led to a grant');
  },
);
