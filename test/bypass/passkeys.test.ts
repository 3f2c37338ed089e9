import { createServer } from 'node:http';
import t from 'tap';
import { listen } from '../http/gateway.js';
import { TestAuthenticator, type Twist } from '../identity/authenticator.js';
import { OPS, ORIGIN, openPeople } from '../identity/fixture.js';
import { selfSigned } from '../support/certificate.js';

const OVER = { code: 'ceremony_over' };
const REFUSED = { code: 'passkey_refused' };

t.test('an invitation works once, whoever has it and however often it is tried at once', async (t) => {
  const { accounts, passkeys, carl, join } = await openPeople(t);
  const { secret } = await accounts.invite(OPS, carl());
  const tries = await Promise.allSettled([1, 2, 3].map(() => join(secret)));
  t.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1);
  await t.rejects(join(secret), { code: 'invitation_over' });
  t.equal((await passkeys.list('carl')).length, 1);
  for (const guess of ['', 'x', 'x'.repeat(43), secret.slice(1)])
    await t.rejects(passkeys.beginInvited(guess), { code: 'invitation_over' });
});

t.test('what was begun with one invitation is not finished with another, nor as a login', async (t) => {
  const { accounts, passkeys, carl } = await openPeople(t);
  const a = await accounts.invite(OPS, carl());
  const b = await accounts.invite(OPS, carl({ subject: 'cora' }));
  const authenticator = new TestAuthenticator(ORIGIN);
  const finish = async (begun: { options: object; browser: string }) => {
    const answer = authenticator.create(begun.options);
    return { browser: begun.browser, answer, origin: ORIGIN, previous: null };
  };
  const begunA = await finish(await passkeys.beginInvited(a.secret));
  await t.rejects(passkeys.finishInvited(b.secret, begunA), OVER);
  await t.rejects(passkeys.finishInvited(a.secret, begunA), OVER, 'it is used up');
  await t.rejects(passkeys.finishLogin(await finish(await passkeys.beginInvited(b.secret))), OVER);
  t.same([await passkeys.list('carl'), await passkeys.list('cora')], [[], []]);
  const login = await passkeys.beginLogin();
  const asInvited = { browser: login.browser, answer: {}, origin: ORIGIN, previous: null };
  await t.rejects(passkeys.finishInvited(a.secret, asInvited), OVER);
});

t.test('a challenge is for the browser that began, and for one answer', async (t) => {
  const { accounts, passkeys, carl, join } = await openPeople(t);
  const { authenticator } = await join((await accounts.invite(OPS, carl())).secret);
  const [mine, other] = [await passkeys.beginLogin(), await passkeys.beginLogin()];
  const answer = authenticator.get(mine.options);
  const finish = (browser: string | null) => passkeys.finishLogin({ browser, answer, origin: ORIGIN, previous: null });
  await t.rejects(finish(null), OVER);
  await t.rejects(finish('x'.repeat(43)), OVER);
  await t.rejects(finish(other.browser), REFUSED, "another browser's challenge");
  t.equal((await finish(mine.browser)).principal, 'carl');
  await t.rejects(finish(mine.browser), OVER, 'a replay');
});

t.test(
  'an answer of another origin or place, of nobody in particular, or changed on the way logs nobody in',
  async (t) => {
    const { accounts, passkeys, carl, join, enter } = await openPeople(t);
    const { authenticator } = await join((await accounts.invite(OPS, carl())).secret);
    const twists: Readonly<Record<string, Twist>> = {
      'another origin': { origin: 'https://evil.test' },
      'a service of the gateway': { origin: 'https://web.gw.test' },
      'without TLS': { origin: 'http://gw.test' },
      'another port': { origin: 'https://gw.test:8443' },
      'another RP id': { rpId: 'test' },
      'nobody was verified': { verified: false },
      'another challenge': { challenge: 'x'.repeat(43) },
      'another person': { userHandle: 'x'.repeat(43) },
      'nobody named': { userHandle: '' },
    };
    for (const [name, twist] of Object.entries(twists)) await t.rejects(enter(authenticator, twist), REFUSED, name);
    const spoilt = async (change: (answer: ReturnType<TestAuthenticator['get']>) => unknown) => {
      const { options, browser } = await passkeys.beginLogin();
      const answer = change(authenticator.get(options));
      return passkeys.finishLogin({ browser, answer, origin: ORIGIN, previous: null });
    };
    const flip = (text: string) => {
      const bytes = Buffer.from(text, 'base64url');
      bytes[bytes.length - 1]! ^= 1;
      return bytes.toString('base64url');
    };
    const changed = (name: 'signature' | 'authenticatorData' | 'clientDataJSON') =>
      spoilt((answer) => ({ ...answer, response: { ...answer.response, [name]: flip(answer.response[name]) } }));
    for (const name of ['signature', 'authenticatorData', 'clientDataJSON'] as const)
      await t.rejects(changed(name), REFUSED, name);
    for (const nonsense of [null, 7, 'x', [], {}, { id: '', rawId: '', type: 'public-key', response: {} }])
      await t.rejects(
        spoilt(() => nonsense),
        REFUSED,
        JSON.stringify(nonsense),
      );
    await t.rejects(
      spoilt((answer) => ({ ...answer, rawId: 'AAAA' })),
      REFUSED,
    );
    t.equal((await enter(authenticator)).principal, 'carl', 'and the honest one still does');
  },
);

t.test(
  'a passkey is made at the own origin alone, by a verified person, and the invitation stays good otherwise',
  async (t) => {
    const { accounts, passkeys, carl, join } = await openPeople(t);
    const { secret } = await accounts.invite(OPS, carl());
    const twists: readonly Twist[] = [
      { origin: 'https://evil.test' },
      { rpId: 'evil.test' },
      { verified: false },
      { challenge: 'x'.repeat(43) },
    ];
    for (const twist of twists)
      await t.rejects(join(secret, new TestAuthenticator(ORIGIN), twist), REFUSED, JSON.stringify(twist));
    t.same(await passkeys.list('carl'), []);
    t.ok(await join(secret));
  },
);

t.test('a copy of a passkey is noticed by its counter: refused, told, and nothing ended', async (t) => {
  const { accounts, passkeys, carl, join, enter, logged } = await openPeople(t);
  const counting = new TestAuthenticator(ORIGIN);
  counting.counter = 5;
  const { authenticator } = await join((await accounts.invite(OPS, carl())).secret, counting);
  t.ok(await enter(authenticator, { counter: 9 }));
  for (const counter of [9, 8, 0]) await t.rejects(enter(authenticator, { counter }), REFUSED, `${counter} after 9`);
  t.match(
    logged.filter(({ level }) => level === 40),
    [{ principal: 'carl', counter: 9 }, { counter: 8 }, { counter: 0 }],
  );
  t.equal((await enter(authenticator, { counter: 10 })).principal, 'carl');
  t.equal((await passkeys.list('carl')).length, 1);
  const twice = await Promise.allSettled([11, 11].map((counter) => enter(authenticator, { counter })));
  t.equal(twice.filter(({ status }) => status === 'fulfilled').length, 1, 'two that race are one');
  await t.rejects(enter(authenticator, { counter: 12, verified: false }), REFUSED);
  t.ok(await enter(authenticator, { counter: 12 }), 'what is refused for something else does not count');
});

t.test('a credential is registered once: not for another account, nor again after it ended', async (t) => {
  const { accounts, carl, join, enter, passkeys } = await openPeople(t);
  const { authenticator } = await join((await accounts.invite(OPS, carl())).secret);
  const cora = await accounts.invite(OPS, carl({ subject: 'cora' }));
  await t.rejects(join(cora.secret, new TestAuthenticator(ORIGIN, 'es256', authenticator.id)), {
    code: 'passkey_known',
  });
  t.ok(await passkeys.invited(cora.secret), 'the invitation is not used up by it');
  t.equal((await enter(authenticator)).principal, 'carl', 'whose key it is does not change');
  const again = await accounts.invite(OPS, { subject: 'carl', reason: 'lost' });
  await t.rejects(join(again.secret, authenticator), { code: 'passkey_known' });
});

t.test('what was begun in one login is not finished in another, nor after that login ended', async (t) => {
  const { accounts, logins, passkeys, carl, join } = await openPeople(t);
  const find = async ({ secret }: { secret: string }) => {
    const found = await logins.find(secret);
    if (found === null) throw new Error('no login');
    return found;
  };
  const a = await find((await join((await accounts.invite(OPS, carl())).secret)).given);
  const cora = await accounts.invite(OPS, carl({ subject: 'cora' }));
  const b = await find((await join(cora.secret)).given);
  const begin = async () => {
    const { options, browser } = await passkeys.beginAddition(a);
    return { browser, answer: new TestAuthenticator(ORIGIN).create(options), origin: ORIGIN };
  };
  await t.rejects(passkeys.finishAddition(b, await begin()), OVER);
  const begun = await begin();
  await accounts.invite(OPS, { subject: 'carl', reason: 'stolen' });
  await t.rejects(
    passkeys.finishAddition(a, begun),
    { code: 'login_not_fresh' },
    'a stolen login leaves no passkey behind',
  );
  t.equal((await passkeys.list('carl')).length, 0);
  t.equal((await passkeys.list('cora')).length, 1);
});

t.test('a recovery leaves no login behind, however the two race', async (t) => {
  const { accounts, logins, carl, join, enter } = await openPeople(t);
  let current = await accounts.invite(OPS, carl());
  for (let round = 0; round < 10; round += 1) {
    const { authenticator } = await join(current.secret);
    const [entered, invited] = await Promise.allSettled([
      enter(authenticator),
      accounts.invite(OPS, { subject: 'carl', reason: 'lost' }),
    ]);
    if (invited.status === 'rejected') throw invited.reason;
    current = invited.value;
    const secret = entered.status === 'fulfilled' ? entered.value.secret : '';
    t.equal(await logins.find(secret), null, `round ${round}: the login was ${entered.status}`);
  }
});

t.test(
  'whoever has a device that was lost is not logged in by its passkey any more once that is removed',
  async (t) => {
    const { accounts, logins, passkeys, carl, join, enter } = await openPeople(t);
    const { authenticator: lost, given: stolen } = await join((await accounts.invite(OPS, carl())).secret);
    const find = async (secret: string) => {
      const found = await logins.find(secret);
      if (found === null) throw new Error('no login');
      return found;
    };
    const [old] = await passkeys.list('carl');
    const { options, browser } = await passkeys.beginAddition(await find(stolen.secret));
    const kept = new TestAuthenticator(ORIGIN);
    await passkeys.finishAddition(await find(stolen.secret), { browser, answer: kept.create(options), origin: ORIGIN });
    const another = await enter(lost);
    const own = await find((await enter(kept)).secret);
    await passkeys.remove(own, old?.id ?? '');
    for (const { secret } of [stolen, another]) t.equal(await logins.find(secret), null);
    t.ok(await passkeys.isFresh(own), 'who removed it stays logged in');
    await t.rejects(enter(lost), { code: 'passkey_refused' });
    await logins.logOut('carl', { by: 'carl', reason: 'done' });
    const [left] = await passkeys.list('carl');
    await t.rejects(passkeys.remove(own, left?.id ?? ''), { code: 'login_not_fresh' }, 'nor does one that is over');
  },
);

t.test('a certificate in an attestation makes the gateway fetch nothing', async (t) => {
  const { accounts, carl, join } = await openPeople(t);
  const asked: string[] = [];
  const server = createServer((req, res) => {
    asked.push(req.url ?? '');
    res.end();
  });
  await listen(t, server);
  const { cert } = await selfSigned('gw.test');
  const x5c = Buffer.from(cert.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const { secret } = await accounts.invite(OPS, carl());
  await t.rejects(join(secret, new TestAuthenticator(ORIGIN), { x5c }), {
    ...REFUSED,
    cause: { message: /attested \(packed\), which nobody asked for/ },
  });
  t.same(asked, []);
});

t.test('nobody is given a name that has grants or a past, but by an operator', async (t) => {
  const { accounts, logins, carl } = await openPeople(t);
  const { networkActor } = await import('../identity/fixture.js');
  await logins.link('carl', { by: 'ops', reason: 'no account yet' });
  await t.rejects(accounts.invite(networkActor('dana'), carl()), { code: 'name_taken' });
  t.ok(await accounts.invite(OPS, carl()));
});

t.test('nobody is given a name by which records tell what the gateway did', async (t) => {
  const { accounts, carl } = await openPeople(t);
  const { networkActor } = await import('../identity/fixture.js');
  for (const subject of ['daypass', 'directory', 'gateway', 'operator'])
    for (const actor of [OPS, networkActor('dana')])
      await t.rejects(accounts.invite(actor, carl({ subject })), { code: 'name_taken' }, subject);
});

t.test('no secret of an invitation, a challenge or a browser is in the ledger', async (t) => {
  const { accounts, passkeys, carl, pool } = await openPeople(t);
  const { secret } = await accounts.invite(OPS, carl());
  const { options, browser } = await passkeys.beginInvited(secret);
  const { challenge } = options as { challenge: string };
  const { rows } = await pool.query(
    `select i::text as row from invitations i union all select c::text from ceremonies c union all select p::text from people p`,
  );
  const text = JSON.stringify(rows);
  for (const value of [secret, browser, challenge]) {
    t.notOk(text.includes(value));
    t.notOk(text.includes(Buffer.from(value, 'base64url').toString('hex')));
    t.notOk(text.includes(Buffer.from(value).toString('hex')));
  }
});
