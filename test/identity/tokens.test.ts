import t, { type Test } from 'tap';
import type { Grant } from '../../src/grant/grant.js';
import { Bearers } from '../../src/identity/bearers.js';
import { Logins } from '../../src/identity/logins.js';
import { digestOf } from '../../src/identity/secret.js';
import { Tokens } from '../../src/identity/tokens.js';
import { ToolCodes } from '../../src/identity/tool-codes.js';
import { TestClock } from '../gate/fixture.js';
import { freshLedger } from '../recording/fixture.js';

const ACT = { by: 'ops', reason: 'a test' };

async function loggedIn(t: Test) {
  const { pool } = await freshLedger(t);
  const clock = new TestClock();
  const logins = new Logins(pool, clock, async () => {});
  const login = await logins.logIn((await logins.link('alice', ACT)).secret, null);
  const found = await logins.find(login?.secret ?? '');
  if (found === null) throw new Error('no login');
  return { pool, clock, logins, login: found, tokens: new Tokens(pool, clock) };
}

t.test('a token lasts as long as its login, and what is no token is nobody’s', async (t) => {
  const { clock, login, tokens, pool } = await loggedIn(t);
  const made = await tokens.create(login.hash, 'laptop');
  t.equal(made?.expiresAt, login.expiresAt);
  const token = made?.token ?? '';
  t.match(await tokens.find(token), { subject: 'alice', client: 'laptop', expiresAt: login.expiresAt });
  for (const text of ['', 'dpt_', token.slice(4), `${token}x`, token.replace('dpt_', 'dp_')])
    t.equal(await tokens.find(text), null);
  const [row] = (await pool.query('select hash from tokens')).rows;
  t.same(row.hash, digestOf(token.slice(4)), 'its SHA-256 is kept');
  clock.pass(login.expiresAt - clock.wall() - 1);
  t.ok(await tokens.find(token));
  clock.pass(1);
  t.equal(await tokens.find(token), null);
});

t.test('a token ends with its login, its own end, and a closed account', async (t) => {
  const { logins, login, tokens, pool } = await loggedIn(t);
  const [one, two] = [await tokens.create(login.hash, 'one'), await tokens.create(login.hash, 'two')];
  t.equal(await tokens.end(one?.token ?? ''), 'alice');
  t.equal(await tokens.end(one?.token ?? ''), null);
  t.equal(await tokens.find(one?.token ?? ''), null);
  t.ok(await tokens.find(two?.token ?? ''));
  await pool.query(
    `insert into people (subject, kind, source, name, created_at, created_by, closed_at)
     values ('alice', 'employee', 'local', 'Alice', now(), 'ops', now())`,
  );
  t.equal(await tokens.find(two?.token ?? ''), null);
  t.equal(await tokens.create(login.hash, 'three'), null);
  await pool.query('delete from people');
  await logins.logOut('alice', ACT);
  t.equal(await tokens.find(two?.token ?? ''), null);
});

t.test(
  'whoever shows a token may use a grant of their own, as long as the token lasts, to the very instant',
  async (t) => {
    const { pool, clock, login, tokens } = await loggedIn(t);
    const token = (await tokens.create(login.hash, 'laptop'))?.token ?? '';
    const bearers = new Bearers(pool, tokens, clock);
    const grant = { id: 'one', principal: 'alice' } as Grant;
    clock.pass(login.expiresAt - clock.wall() - 1);
    const bearer = await bearers.find(token, 'one');
    t.equal(bearer?.holds(grant), true, 'the ledger was asked just now');
    t.equal(bearer?.holds({ ...grant, id: 'two' }), false);
    t.equal(bearer?.holds({ ...grant, principal: 'bob' }), false);
    clock.pass(1);
    t.equal(bearer?.holds(grant), false);
    t.equal(await bearers.find(token, 'one'), null);
  },
);

t.test('of a token that a grant is used by the ledger is asked again after two seconds', async (t) => {
  const { pool, clock, login, tokens } = await loggedIn(t);
  const token = (await tokens.create(login.hash, 'laptop'))?.token ?? '';
  const bearer = await new Bearers(pool, tokens, clock).find(token, 'one');
  const grant = { id: 'one', principal: 'alice' } as Grant;
  clock.pass(2_000);
  t.equal(await bearer?.holds(grant), true);
  await tokens.end(token);
  clock.pass(1_999);
  t.equal(bearer?.holds(grant), true, 'its last word still counts');
  clock.pass(1);
  t.equal(await bearer?.holds(grant), false);
  t.equal(await bearer?.holds(grant), false, 'and is no new one');
});

t.test('a person has sixteen tokens at once: one more ends the oldest', async (t) => {
  const { clock, login, tokens } = await loggedIn(t);
  const made: string[] = [];
  for (let number = 0; number < 17; number += 1) {
    clock.pass(1);
    made.push((await tokens.create(login.hash, 'laptop'))?.token ?? '');
  }
  const found = await Promise.all(made.map(async (token) => (await tokens.find(token)) !== null));
  t.same(found, [false, ...Array.from({ length: 16 }, () => true)]);
});

t.test('a token that another one ends keeps nobody waiting', async (t) => {
  const { clock, login, tokens, pool } = await loggedIn(t);
  for (let number = 0; number < 16; number += 1) {
    clock.pass(1);
    await tokens.create(login.hash, 'laptop');
  }
  const tool = await pool.connect();
  await tool.query('begin');
  await tool.query('select from tokens for no key update');
  t.ok(await tokens.create(login.hash, 'laptop'));
  await tool.query('rollback');
  tool.release();
});

t.test('a code for a tool is over after 60 s', async (t) => {
  const { pool, clock, login, tokens } = await loggedIn(t);
  const codes = new ToolCodes(pool, clock, tokens);
  const verifier = 'v'.repeat(43);
  const asked = { challenge: digestOf(verifier).toString('base64url'), client: 'laptop' };
  const [intime, late] = [await codes.begin(login.hash, asked), await codes.begin(login.hash, asked)];
  clock.pass(59_999);
  t.ok(await codes.exchange(intime, verifier));
  clock.pass(1);
  t.equal(await codes.exchange(late, verifier), null);
});
