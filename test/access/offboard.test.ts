import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Offboarding } from '../../src/access/offboard.js';
import { repeatedRequests } from '../../src/access/repeated.js';
import { systemClock } from '../../src/clock.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import { operatorNamed } from '../../src/identity/actor.js';
import { Logins } from '../../src/identity/logins.js';
import { uuid7 } from '../../src/recording/uuid7.js';
import { REQUEST, signingKey, silent, startAuthority, startLedger } from '../grant/fixture.js';
import { open, safe, startRecorder } from '../recording/fixture.js';
import { startRedis } from '../support/redis.js';
import { approval, complete, person, request } from './engagement.js';

const OPS = operatorNamed('olga');

/** Two gateways over one ledger and one Redis. */
async function company(t: Test) {
  const redis = await startRedis(t);
  const { pool, ledger, database } = await startLedger(t);
  await complete(pool);
  const key = signingKey();
  const gateway = async () => {
    const store = await RedisGrantStore.open(redis.url, silent);
    t.teardown(() => store.close());
    return startAuthority(t, { store, ledger, key, dataDirectory: t.testdir() });
  };
  const [here, there] = [await gateway(), await gateway()];
  const logins = new Logins(pool, systemClock, async () => {});
  const live: string[] = [];
  /** What happens just before a grant is suspended or resumed. */
  const before: { suspend?: () => Promise<unknown>; resume?: () => Promise<unknown> } = {};
  const offboarding = new Offboarding({
    ...{ pool, clock: systemClock, log: silent, confirmWithin: 300 },
    grants: {
      revoke: (id, act) => here.revoke(id, act),
      suspend: async (id) => {
        await before.suspend?.();
        await pool.query('update grants set suspended_at = now() where id = $1', [id]);
      },
      resume: async (id) => {
        await before.resume?.();
        await pool.query('update grants set suspended_at = null where id = $1', [id]);
      },
    },
    liveHere: () => live,
    closeAccount: async (_actor, subject, reason) => {
      const text = 'update people set closed_at = now(), closed_why = $2 where subject = $1 and closed_at is null';
      await pool.query(text, [subject, reason]);
      return { passkeys: 0 };
    },
    logOut: (subject, act) => logins.logOut(subject, act),
    services: () => [{ name: 'orders-db', owner: 'group:leads' }],
  });
  await person(pool, 'dana', { groups: ['leads'] });
  await person(pool, 'alice', { sponsor: 'dana' });
  const leave = (subject: string) => offboarding.offboard(OPS, subject, 'they left');
  return { pool, database, here, there, logins, live, offboarding, leave, before };
}

t.test('whoever is offboarded has no handle, login, link or request left, on any gateway', async (t) => {
  const { pool, here, there, logins, leave } = await company(t);
  const { grant } = await here.issue(REQUEST);
  const login = await logins.logIn((await logins.link('alice', { by: 'ops', reason: 'x' })).secret, null);
  const unused = await logins.link('alice', { by: 'ops', reason: 'x' });
  const requests = [
    await request(pool, 'alice', { state: 'pending' }),
    await request(pool, 'alice', { state: 'approved' }),
  ];
  t.match(await there.check(grant.id), { ok: true });
  const told = await leave('alice');
  t.same(
    told.steps.filter(({ ok }) => !ok),
    [],
  );
  t.match(told, {
    complete: true,
    ended: { grants: [grant.id], requests: [...requests].sort(), counts: { logins: 1 } },
  });
  t.match(await there.check(grant.id), { ok: false, reason: 'revoked' });
  t.equal(await logins.find(login?.secret ?? ''), null);
  t.equal(await logins.logIn(unused.secret, null), null);
  await t.rejects(here.issue(REQUEST), { code: 'account_ended' });
  await t.rejects(logins.link('alice', { by: 'ops', reason: 'x' }), { message: /closed/ });
  await t.rejects(request(pool, 'alice', { state: 'pending' }), { message: /closed/ });
  const { rows } = await pool.query('select state from access_requests order by id');
  t.same(rows, [{ state: 'withdrawn' }, { state: 'revoked' }]);
});

t.test('twice tells the same and changes nothing', async (t) => {
  const { pool, here, leave } = await company(t);
  await here.issue(REQUEST);
  await request(pool, 'alice', { state: 'pending' });
  const first = await leave('alice');
  const acts = async () => (await pool.query('select count(*) from grant_acts, request_acts')).rows;
  const before = await acts();
  t.same(await leave('alice'), first);
  t.same(await acts(), before);
});

t.test('a grant that is issued meanwhile does not survive', async (t) => {
  const { pool, here, there, leave } = await company(t);
  let going = true;
  const issuing = (async () => {
    while (going) await there.issue(REQUEST).catch(() => {});
  })();
  await here.issue(REQUEST);
  await leave('alice');
  going = false;
  await issuing;
  const { rows } = await pool.query('select id from grants where revoked_at is null');
  t.same(rows, []);
});

t.test('hundreds of grants, and those that have not begun, of a principal without an account', async (t) => {
  const { pool, here, leave } = await company(t);
  for (let n = 0; n < 200; n += 1) await here.issue({ ...REQUEST, principal: 'bob' });
  await pool.query(`update grants set not_before = now() + interval '1 minute' where principal = 'bob'`);
  const told = await leave('bob');
  t.equal(told.ended.grants.length, 200);
  t.ok(told.complete);
});

t.test('those they sponsored wait for another sponsor, and only what waits for that is resumed', async (t) => {
  const { pool, here, leave, offboarding } = await company(t);
  const [one, two, three] = [await here.issue(REQUEST), await here.issue(REQUEST), await here.issue(REQUEST)];
  await pool.query('update grants set suspended_at = now() where id = $1', [two.grant.id]);
  const told = await leave('dana');
  t.same(told.ended.suspended, [one.grant.id, three.grant.id].sort());
  t.match(told.hand, { reassign: [{ subject: 'alice', suspended: 2 }], ownerless: [{ name: 'orders-db' }] });
  await t.rejects(here.issue(REQUEST), { code: 'account_ended', message: /sponsor of alice has left/ });
  t.same(await offboarding.sponsorChanged('alice', { by: 'olga', reason: 'x' }), [], 'nobody answers yet');
  await person(pool, 'erin');
  await pool.query(`update people set sponsor = 'erin' where subject = 'alice'`);
  const resumed = await offboarding.sponsorChanged('alice', { by: 'olga', reason: 'erin answers' });
  t.same(resumed, [one.grant.id, three.grant.id].sort());
  const { rows } = await pool.query('select id from grants where suspended_at is not null');
  t.same(rows, [{ id: two.grant.id }]);
  t.same((await leave('dana')).hand?.reassign, []);
});

t.test('of a sponsor who leaves and another one who comes, or leaves too, at once the last word holds', async (t) => {
  const { pool, here, leave, offboarding, before } = await company(t);
  const why = { by: 'olga', reason: 'erin answers' };
  const suspended = async () =>
    (await pool.query('select suspended_at is not null as yes from grants')).rows.map(({ yes }) => yes);
  await person(pool, 'erin');
  await here.issue(REQUEST);
  before.suspend = async () => {
    await pool.query(`update people set sponsor = 'erin' where subject = 'alice'`);
    await offboarding.sponsorChanged('alice', why);
  };
  t.match(await leave('dana'), { complete: true, ended: { suspended: [] } });
  t.same(await suspended(), [false], 'erin came before dana’s grants were looked through');
  before.suspend = async () => {};
  await leave('erin');
  t.same(await suspended(), [true]);
  await person(pool, 'frank');
  await pool.query(`update people set sponsor = 'frank' where subject = 'alice'`);
  let leaving: Promise<unknown> = Promise.resolve();
  before.resume = async () => {
    leaving = leave('frank');
    await pause(300);
  };
  await offboarding.sponsorChanged('alice', why);
  await leaving;
  t.same(await suspended(), [true], 'frank left while it was resumed');
});

t.test('secrets they saw, emergencies nobody reviewed, sessions without a sign and approvals are named', async (t) => {
  const { pool, here, leave } = await company(t);
  const { grant } = await here.issue(REQUEST);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  await safe(open(recorder, { grantId: grant.id }));
  await pool.query(`update gateways set seen_at = now() - interval '1 hour'`);
  const seen = uuid7(Date.now());
  const sighting = `insert into secret_sightings values ($1, 'alice', 'orders-db', 'upstream.password', now())`;
  await pool.query(sighting, [seen]);
  const glass = await request(pool, 'alice', { kind: 'break_glass', grant: grant.id });
  await person(pool, 'erin');
  const waits = await request(pool, 'erin', { state: 'pending' });
  await approval(pool, waits, 'alice');
  const { hand } = await leave('alice');
  t.match(hand, {
    rotate: [{ secret: 'upstream.password', service: 'orders-db', sessions: [seen], count: 1 }],
    review: [{ request: glass }],
    approved: [{ request: waits, principal: 'erin' }],
    unconfirmed: [{ gateway: gatewayId, unseen: true }],
  });
});

t.test('a step that fails keeps no other from ending access, and is told', async (t) => {
  const { pool, here, there, leave } = await company(t);
  const { grant } = await here.issue(REQUEST);
  await pool.query('alter table logins rename to away');
  const told = await leave('alice');
  t.equal(told.complete, false);
  t.match(
    told.steps.filter(({ ok }) => !ok),
    [{ step: 'logins', code: 'ledger_unavailable' }],
  );
  t.match(await there.check(grant.id), { ok: false, reason: 'revoked' });
  await pool.query('alter table away rename to logins');
  t.ok((await leave('alice')).complete);
});

t.test('only operators may, and a refusal is audited', async (t) => {
  const { pool, offboarding } = await company(t);
  const actor = { subject: 'rita', via: 'browser', groups: ['leads'], duties: new Set(['reviewer'] as const) } as const;
  await t.rejects(offboarding.offboard(actor, 'alice', 'x'), { code: 'not_allowed' });
  await t.rejects(repeatedRequests(pool, { ...actor, duties: new Set() }, { since: 0, times: 2, of: 'person' }), {
    code: 'not_allowed',
  });
  const { rows } = await pool.query(`select actor, result from audit where act = 'offboard'`);
  t.same(rows, [{ actor: 'rita', result: 'refused' }]);
});

t.test('what is asked for again and again is told, for each person or a group together', async (t) => {
  const { pool } = await company(t);
  await person(pool, 'erin', { groups: ['leads'] });
  for (const who of ['erin', 'erin', 'dana']) await request(pool, who, { state: 'refused', only: ['select orders'] });
  const asked = { since: Date.now() - 60_000, times: 2, of: 'person' } as const;
  t.match(await repeatedRequests(pool, OPS, asked), [
    { who: 'erin', role: 'reader', only: null, requests: 2, people: 1 },
  ]);
  const group = await repeatedRequests(pool, OPS, { ...asked, times: 3, of: 'group', only: true });
  t.match(group, [{ who: 'leads', only: ['select orders'], requests: 3, people: 2, hint: /consider/ }]);
});
