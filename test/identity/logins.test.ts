import t from 'tap';
import { openBrowserAccess } from '../../src/identity/browser-access.js';
import { Browsers } from '../../src/identity/browsers.js';
import { Handovers } from '../../src/identity/handovers.js';
import { type Login, Logins } from '../../src/identity/logins.js';
import { digestOf, newSecret } from '../../src/identity/secret.js';
import { createLog } from '../../src/log.js';
import { TestClock, TestGrants } from '../gate/fixture.js';
import { freshLedger } from '../recording/fixture.js';
import { waitUntil } from '../support/wait.js';

const ACT = { by: 'ops', reason: 'a test' };

async function access(test: Parameters<typeof freshLedger>[0], staleness = 60_000) {
  const { pool, database } = await freshLedger(test);
  const clock = new TestClock();
  const grants = new TestGrants();
  const { grant } = grants.add({ service: 'web' });
  const book = {
    check: (id: string) => grants.check(id),
    list: async () => [{ ...grant, state: 'active' as const, revokedAt: null, suspendedAt: null }],
  };
  const held: string[] = [];
  const ended: string[] = [];
  const watcher = {
    holders: () => held,
    endHolders: (ids: ReadonlySet<string>, reason: string) => ended.push(...[...ids].map((id) => `${reason} ${id}`)),
  };
  // The watch runs by real time; what it holds the ledger against is the test's clock.
  const parts = { pool, watcher, staleness, clock, log: createLog('silent') };
  const other = new Browsers(parts);
  const browsers = new Browsers(parts);
  const logins = new Logins(pool, clock, (principal) => other.loggedOut(principal));
  const handovers = new Handovers({ pool, grants: book, clock });
  test.teardown(() => browsers.stop());
  /** A browser that is in. */
  const enter = async () => {
    const login = await logins.logIn((await logins.link('alice', ACT)).secret, null);
    const nonce = newSecret();
    const found = await logins.find(login?.secret ?? '');
    if (found === null) throw new Error('no login');
    const code = await handovers.begin(found, 'web', digestOf(nonce).toString('base64url'));
    return (await handovers.enter(code ?? '', [digestOf(nonce)], 'web', null)) ?? { secret: '', expiresAt: 0 };
  };
  return { clock, grants, grant, logins, handovers, browsers, database, pool, held, ended, enter };
}

t.test('a link is over at its very instant, and so is a login', async (t) => {
  const { clock, logins } = await access(t);
  const { secret, expiresAt } = await logins.link('alice', ACT);
  const [late, intime] = [await logins.link('alice', ACT), { secret, expiresAt }];
  clock.pass(10 * 60_000 - 1);
  const login = await logins.logIn(intime.secret, null);
  t.equal(login?.principal, 'alice');
  clock.pass(1);
  t.equal(await logins.logIn(late.secret, null), null);
  clock.pass(12 * 3_600_000 - 2);
  t.equal((await logins.find(login?.secret ?? ''))?.principal, 'alice');
  clock.pass(1);
  t.equal(await logins.find(login?.secret ?? ''), null);
});

t.test('a code is over after 30 s, and a session with its login', async (t) => {
  const { clock, logins, handovers, browsers, grant, enter } = await access(t);
  const login = await logins.logIn((await logins.link('alice', ACT)).secret, null);
  const found = await logins.find(login?.secret ?? '');
  t.ok(found);
  if (found === null) return;
  const nonce = newSecret();
  const bind = digestOf(nonce).toString('base64url');
  const [code, late] = [await handovers.begin(found, 'web', bind), await handovers.begin(found, 'web', bind)];
  clock.pass(29_999);
  t.equal((await handovers.enter(code ?? '', [digestOf(nonce)], 'web', null))?.expiresAt, login?.expiresAt);
  clock.pass(1);
  t.equal(await handovers.enter(late ?? '', [digestOf(nonce)], 'web', null), null);
  const session = await enter();
  const browser = await browsers.find(session.secret, 'web');
  t.ok(browser?.holds(grant));
  t.notOk(browser?.holds({ ...grant, principal: 'bob' }), "another person's grant is not held");
  clock.pass(12 * 3_600_000);
  t.notOk(browser?.holds(grant), 'even what was looked up before');
  t.equal(await browsers.find(session.secret, 'web'), null);
});

t.test('nobody is handed over with a grant that the whole check refuses', async (t) => {
  const { logins, handovers, grants, grant } = await access(t);
  const login = await logins.logIn((await logins.link('alice', ACT)).secret, null);
  const found = await logins.find(login?.secret ?? '');
  grants.revoke(grant.id);
  t.equal(found && (await handovers.begin(found, 'web', digestOf('x').toString('base64url'))), null);
});

t.test('a logout on another gateway is known within two seconds, and cuts what is idle', async (t) => {
  const { clock, logins, browsers, held, ended, enter } = await access(t);
  const { secret } = await enter();
  const browser = await browsers.find(secret, 'web');
  held.push(browser?.holder ?? '');
  browsers.start();
  await logins.logOut('alice', ACT);
  await waitUntil('the cut', () => ended.includes(`logged_out ${held[0]}`));
  clock.pass(2_000);
  t.equal(await browsers.find(secret, 'web'), null);
});

t.test('a logout is over for whoever waits to be let in, however often the browser was looked up since', async (t) => {
  const { clock, logins, browsers, grant, enter } = await access(t);
  const { secret } = await enter();
  const waiting = await browsers.find(secret, 'web');
  clock.pass(2_000);
  const another = await browsers.find(secret, 'web');
  t.same([waiting?.holds(grant), another?.holds(grant)], [true, true]);
  await browsers.loggedOut('alice');
  t.same([waiting?.holds(grant), another?.holds(grant)], [false, false]);
  const again = await browsers.find(secret, 'web');
  clock.pass(2_000);
  await logins.logOut('alice', ACT);
  t.ok(again?.holds(grant), 'made elsewhere it is not known yet');
  t.equal(await browsers.find(secret, 'web'), null);
  t.notOk(again?.holds(grant), 'and is once the ledger has said so');
});

t.test('a ledger that is silent admits nobody, and cuts what is live after a while', async (t) => {
  const { clock, browsers, database, held, ended, enter } = await access(t, 5_000);
  const { secret } = await enter();
  held.push((await browsers.find(secret, 'web'))?.holder ?? '');
  await database.query('alter table daypass.logins rename to away');
  browsers.start();
  clock.pass(2_001);
  await t.rejects(Promise.resolve(browsers.find(secret, 'web')), { code: 'ledger_unavailable' });
  t.same(ended, []);
  clock.pass(5_000);
  await waitUntil('the cut', () => ended.includes(`stale ${held[0]}`));
});

t.test('a name that is no principal’s gets no link', async (t) => {
  const { logins } = await access(t);
  for (const name of ['', 'Alice', 'alice+x', 'a b', '<b>'])
    await t.rejects(logins.link(name, ACT), { code: 'invalid_request' });
});

t.test('a person has sixteen logins at once: one more ends the oldest, which the acts say', async (t) => {
  const { clock, logins, pool } = await access(t);
  const secrets: string[] = [];
  for (let number = 0; number < 17; number += 1) {
    clock.pass(1);
    secrets.push((await logins.logIn((await logins.link('alice', ACT)).secret, null))?.secret ?? '');
  }
  const bob = await logins.logIn((await logins.link('bob', ACT)).secret, null);
  const found = await Promise.all(secrets.map(async (secret) => (await logins.find(secret))?.principal ?? null));
  t.same(found, [null, ...Array.from({ length: 16 }, () => 'alice')]);
  t.ok(await logins.find(bob?.secret ?? ''), 'of one person, not of all');
  const acts = await pool.query(`select by, reason from login_acts where act = 'logout'`);
  t.same(acts.rows, [{ by: 'alice', reason: 'the oldest of too many logins' }]);
});

/** A browser of this login enters a service. @param others - what it holds besides, of other tabs */
async function entering(handovers: Handovers, login: Login, others: readonly Buffer[] = []) {
  const nonce = newSecret();
  const code = await handovers.begin(login, 'web', digestOf(nonce).toString('base64url'));
  return handovers.enter(code ?? '', [...others, digestOf(nonce)], 'web', null);
}

t.test('a person has sixteen sessions at a service at once: one more ends the oldest', async (t) => {
  const { clock, logins, handovers, browsers, pool, held, ended } = await access(t);
  const login = await logins.logIn((await logins.link('alice', ACT)).secret, null);
  const found = await logins.find(login?.secret ?? '');
  if (found === null) throw new Error('no login');
  const entered = async () => {
    clock.pass(1);
    return entering(handovers, found, [digestOf(newSecret())]);
  };
  const sessions = [];
  for (let number = 0; number < 17; number += 1) sessions.push(await entered());
  const eldest = await pool.query('select id from browser_sessions order by created_at limit 2');
  held.push(...eldest.rows.map(({ id }) => String(id)));
  await browsers.recheck();
  t.same(ended, [`replaced ${held[0]}`]);
  const live = await Promise.all(sessions.map((session) => browsers.find(session?.secret ?? '', 'web')));
  t.same(
    live.map((browser) => browser !== null),
    [false, ...Array.from({ length: 16 }, () => true)],
  );
  await logins.logOut('alice', ACT);
  ended.length = 0;
  await browsers.recheck();
  t.same(
    ended,
    held.map((holder) => `logged_out ${holder}`),
    'who logs out meanwhile has logged out',
  );
  t.same(
    sessions.map((session) => session?.ended),
    [...Array.from({ length: 16 }, () => 0), 1],
  );
});

t.test('what is ended by one tab keeps no other waiting: beyond sixteen, all that come at once get in', async (t) => {
  const { clock, logins, handovers, pool } = await access(t);
  const given = await logins.logIn((await logins.link('alice', ACT)).secret, null);
  const login = await logins.find(given?.secret ?? '');
  if (login === null) throw new Error('no login');
  const enter = () => {
    clock.pass(1);
    return entering(handovers, login);
  };
  for (let number = 0; number < 17; number += 1) await enter();
  for (let number = 0; number < 17; number += 1) await logins.logIn((await logins.link('bob', ACT)).secret, null);
  const tab = await pool.connect();
  await tab.query('begin');
  await tab.query('select from browser_sessions order by created_at desc for no key update');
  await tab.query(`select from logins where principal = 'bob' for no key update`);
  const [session, bob] = [await enter(), await logins.logIn((await logins.link('bob', ACT)).secret, null)];
  t.match(session, { principal: 'alice', ended: 0 });
  t.equal(bob?.principal, 'bob');
  await tab.query('rollback');
  tab.release();
  t.equal((await enter())?.ended, 2, 'the next one makes up for it');
  const tabs = await Promise.all(Array.from({ length: 24 }, enter));
  t.ok(tabs.every((one) => one !== null));
});

t.test('what is over for a week is thrown away from time to time, whether or not anybody makes a link', async (t) => {
  const { clock, logins, pool, grants } = await access(t);
  await logins.link('alice', ACT);
  clock.pass(8 * 86_400_000);
  const watcher = { holders: () => [], endHolders: () => {} };
  const book = { check: (id: string) => grants.check(id), list: async () => [] };
  const parts = { pool, watcher, grants: book, staleness: 60_000, clock, log: createLog('silent') };
  let [isTheirs, asked] = [false, 0];
  const clockAgrees = () => {
    asked += 1;
    return isTheirs;
  };
  const more = { audit: async () => {}, domain: 'localhost', sweepEvery: 20, clockAgrees };
  const opened = openBrowserAccess({ ...parts, ...more });
  t.teardown(() => opened.stop());
  await waitUntil('its time has come', () => asked > 2);
  t.equal(
    (await pool.query('select from login_links')).rowCount,
    1,
    'by a clock that is not the others’ nothing is old',
  );
  isTheirs = true;
  await waitUntil('the link is gone', async () => (await pool.query('select from login_links')).rowCount === 0);
  t.equal((await pool.query('select from login_acts')).rowCount, 1, 'the act stays');
});

t.test('what vouches for a person makes the same login as a link does, for an open account alone', async (t) => {
  const { clock, logins, pool } = await access(t);
  const end = new Date(clock.wall() + 3_600_000);
  await pool.query(
    `insert into people (subject, kind, source, name, sponsor, ends_at, created_at, created_by) values
       ('sam', 'employee', 'local', 'Sam', null, null, now(), 'ops'), ('carl', 'contractor', 'local', 'Carl', 'sam', $1, now(), 'ops')`,
    [end],
  );
  const begin = (who: string, previous: string | null = null) =>
    logins.begin(who, { source: 'passkey', previous, by: who, reason: 'by a passkey' });
  const first = await begin('sam');
  const second = await begin('sam', first?.secret ?? '');
  t.equal(await logins.find(first?.secret ?? ''), null, 'the one before ended');
  t.match(await logins.find(second?.secret ?? ''), { principal: 'sam', source: 'passkey' });
  t.equal(await begin('nobody'), null);
  const carl = await begin('carl');
  t.equal(carl?.expiresAt, end.getTime(), 'no longer than the account');
  const link = await logins.link('carl', ACT);
  await pool.query(`update people set closed_at = now() where subject = 'carl'`);
  t.equal(await logins.find(carl?.secret ?? ''), null);
  t.equal(await begin('carl'), null);
  t.equal(await logins.logIn(link.secret, null), null, 'nor with a link');
  const acts = await pool.query(`select act, by, reason from login_acts where principal = 'sam' order by seq`);
  t.same(acts.rows[0], { act: 'login', by: 'sam', reason: 'by a passkey' });
});
