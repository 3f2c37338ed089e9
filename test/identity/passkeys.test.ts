import t from 'tap';
import { TestAuthenticator } from './authenticator.js';
import { OPS, ORIGIN, openPeople } from './fixture.js';

const MINUTE = 60_000;

t.test('an invitation makes one passkey, which logs in from then on', async (t) => {
  const { accounts, logins, passkeys, carl, join, enter, lines, clock } = await openPeople(t);
  const { secret, expiresAt } = await accounts.invite(OPS, carl());
  const { endsAt } = carl();
  t.same(await passkeys.invited(secret), { subject: 'carl', name: 'Carl', by: 'ops', endsAt, expiresAt });
  const { authenticator, given } = await join(secret);
  t.match(await logins.find(given.secret), { principal: 'carl', source: 'passkey' }, 'and they are in at once');
  const again = await enter(authenticator);
  t.equal(again.principal, 'carl');
  t.equal(again.expiresAt, clock.wall() + 12 * 60 * MINUTE);
  t.match(lines.at(-1), { actor: 'carl', via: 'browser', act: 'passkey.add', target: 'person:carl', result: 'done' });
  t.match(await passkeys.list('carl'), [{ createdAt: clock.wall(), usedAt: clock.wall() }]);
});

t.test(
  'what the browser is asked for: a passkey that names its owner, made by a verified person, unattested',
  async (t) => {
    const { accounts, passkeys, carl } = await openPeople(t);
    const { options } = await passkeys.beginInvited((await accounts.invite(OPS, carl())).secret);
    t.match(options, {
      ...{ rp: { id: 'gw.test' }, attestation: 'none', user: { name: 'carl', displayName: 'Carl' } },
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
      pubKeyCredParams: [{ alg: -7 }, { alg: -8 }, { alg: -257 }],
    });
    t.match((await passkeys.beginLogin()).options, { rpId: 'gw.test', userVerification: 'required' });
  },
);

t.test('an EdDSA passkey works as an ECDSA one does, and so does an authenticator that counts', async (t) => {
  const { accounts, carl, join, enter } = await openPeople(t);
  const counting = new TestAuthenticator(ORIGIN, 'eddsa');
  counting.counter = 7;
  const { authenticator } = await join((await accounts.invite(OPS, carl())).secret, counting);
  t.equal((await enter(authenticator)).principal, 'carl');
  t.equal((await enter(authenticator)).principal, 'carl');
});

t.test('an invitation is over after a day, and a challenge after five minutes, at the very instant', async (t) => {
  const { accounts, passkeys, carl, clock, join } = await openPeople(t);
  const { secret } = await accounts.invite(OPS, carl());
  const begun = await passkeys.beginInvited(secret);
  clock.pass(5 * MINUTE);
  const answer = new TestAuthenticator(ORIGIN).create(begun.options);
  const late = { browser: begun.browser, answer, origin: ORIGIN, previous: null };
  await t.rejects(passkeys.finishInvited(secret, late), { code: 'ceremony_over' });
  clock.pass(24 * 60 * MINUTE - 5 * MINUTE - 1);
  t.ok(await passkeys.invited(secret));
  clock.pass(1);
  await t.rejects(passkeys.invited(secret), { code: 'invitation_over' });
  await t.rejects(join(secret), { code: 'invitation_over' });
});

t.test('more passkeys are added, and removed, within five minutes of a login with one', async (t) => {
  const { accounts, logins, passkeys, carl, clock, join, enter } = await openPeople(t);
  const { given } = await join((await accounts.invite(OPS, carl())).secret);
  const found = await logins.find(given.secret);
  if (found === null) throw new Error('no login');
  const [first] = await passkeys.list('carl');
  await t.rejects(passkeys.remove(found, first?.id ?? ''), { code: 'last_passkey' });
  const second = new TestAuthenticator(ORIGIN);
  const { options, browser } = await passkeys.beginAddition(found);
  t.match(options, { excludeCredentials: [{ type: 'public-key' }] }, 'no authenticator gets a second one');
  await passkeys.finishAddition(found, { browser, answer: second.create(options), origin: ORIGIN });
  t.equal((await enter(second)).principal, 'carl');
  await t.rejects(passkeys.remove(found, 'somebody else’s'), { code: 'unknown_passkey' });
  await passkeys.remove(found, first?.id ?? '');
  t.equal((await passkeys.list('carl')).length, 1);
  clock.pass(5 * MINUTE);
  t.equal(await passkeys.isFresh(found), false);
  await t.rejects(passkeys.beginAddition(found), { code: 'login_not_fresh' });
  await t.rejects(passkeys.remove(found, 'any'), { code: 'login_not_fresh' });
  const link = await logins.logIn((await logins.link('carl', { by: 'ops', reason: 'test' })).secret, null);
  const byLink = await logins.find(link?.secret ?? '');
  if (byLink === null) throw new Error('no login');
  await t.rejects(passkeys.beginAddition(byLink), { code: 'login_not_fresh' }, 'a link is no passkey');
});

t.test('nobody has more than twenty passkeys', async (t) => {
  const { accounts, logins, passkeys, carl, join } = await openPeople(t);
  const { given } = await join((await accounts.invite(OPS, carl())).secret);
  const found = await logins.find(given.secret);
  if (found === null) throw new Error('no login');
  const add = async () => {
    const { options, browser } = await passkeys.beginAddition(found);
    const answer = new TestAuthenticator(ORIGIN).create(options);
    return { browser, answer, origin: ORIGIN };
  };
  const waiting = await add();
  for (let number = 1; number < 20; number += 1) await passkeys.finishAddition(found, await add());
  await t.rejects(passkeys.beginAddition(found), { code: 'too_many_passkeys' });
  await t.rejects(passkeys.finishAddition(found, waiting), { code: 'too_many_passkeys' }, 'nor by one begun before');
});

t.test('what nobody finished is thrown away', async (t) => {
  const { accounts, passkeys, carl, clock, pool } = await openPeople(t);
  await passkeys.beginInvited((await accounts.invite(OPS, carl())).secret);
  clock.pass(9 * 24 * 60 * MINUTE);
  await passkeys.sweep();
  const { rows } = await pool.query('select 1 from ceremonies union all select 1 from invitations');
  t.same(rows, []);
});
