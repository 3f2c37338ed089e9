import t from 'tap';
import { PROVIDER_ENV, settingsFor, startRealProvider } from '../../identity/directory/real-provider.js';
import { TEST_KEY } from '../../support/key.js';
import { freePort } from '../../support/ports.js';
import { freshDatabase } from '../../support/postgres.js';
import { startRedis } from '../../support/redis.js';
import { ALICE, withDirectory } from './directory-fixture.js';
import { startBrowsing } from './fixture.js';
import { Wanderer } from './wanderer.js';

t.test('somebody of the directory logs in, and has an account from then on', async (t) => {
  const { gateway, home, provider, people } = await withDirectory(t);
  await gateway.issue({ service: 'web' });
  const browser = new Wanderer();
  t.match((await browser.go(`${home}/`)).body, 'href="/login/oidc">Log in with your company account');
  const arrived = await browser.follow(`${home}/login/oidc`);
  t.equal(arrived.at, `${home}/`);
  t.match(arrived.body, 'Logged in as alice');
  t.match(await people(), [
    {
      ...{ subject: 'alice', kind: 'employee', source: 'directory', issuer: provider.issuer, directory_id: 'u-1' },
      ...{ name: 'Alice A.', email: 'alice@example.com', groups: ['platform', 'dev'] },
    },
  ]);
  const [login] = await gateway.ledger.query('select source, issuer, id_token_sub, sid from daypass.logins');
  t.match(login, { source: 'oidc', issuer: provider.issuer, id_token_sub: 'u-1', sid: /.+/ });
  provider.accounts.set('u-1', { preferred_username: 'renamed', groups: 'security' });
  const again = new Wanderer();
  t.match((await again.follow(`${home}/login/oidc`)).body, 'Logged in as alice', 'a subject stays');
  t.match(await people(), [{ subject: 'alice', name: 'Alice A.', email: null, groups: ['security'] }]);
  provider.accounts.set('u-1', { preferred_username: 'alice' });
  await new Wanderer().follow(`${home}/login/oidc`);
  t.match(await people(), [{ groups: [] }], 'no groups claim: no groups');
  t.match(
    await gateway.ledger.query("select actor, via, target, result from daypass.audit where act = 'person.create'"),
    [{ actor: 'alice', via: 'browser', target: 'person:alice', result: 'done' }],
    'the account is written down, once',
  );
});

t.test('who comes for a service logs in first, and is led on to it', async (t) => {
  const { gateway, home } = await withDirectory(t);
  await gateway.issue({ service: 'web' });
  const browser = new Wanderer();
  const web = `http://web.localhost:${gateway.ports.http}`;
  const asked = await browser.follow(`${web}/orders?x=1`);
  const [, to = ''] = /href="(\/login\/oidc\?to=[^"]+)"/.exec(asked.body) ?? [];
  const arrived = await browser.follow(`${home}${to}`);
  t.equal(arrived.at, `${web}/orders?x=1`);
  t.equal(arrived.status, 200);
});

t.test('a login that the directory refuses logs nobody in, and says so', async (t) => {
  const { home, provider, people } = await withDirectory(t);
  provider.who = null;
  const arrived = await new Wanderer().follow(`${home}/login/oidc`);
  t.equal(arrived.status, 403);
  t.match(arrived.body, 'did not let you in');
  t.same(await people(), []);
});

t.test('a name that is taken, or can hold no grants, makes no account; a closed one stays closed', async (t) => {
  const { gateway, home, provider, people } = await withDirectory(t);
  const turnedAway = async (sub: string, text: RegExp) => {
    provider.who = sub;
    const arrived = await new Wanderer().follow(`${home}/login/oidc`);
    t.equal(arrived.status, 403);
    t.match(arrived.body, text);
  };
  await new Wanderer().follow(`${home}/login/oidc`);
  provider.accounts.set('u-2', ALICE);
  provider.accounts.set('u-3', { preferred_username: 'Mallory <x>' });
  provider.accounts.set('u-4', {});
  provider.accounts.set('u-5', { preferred_username: 'daypass' });
  await turnedAway('u-2', /Somebody else has an account/);
  await turnedAway('u-3', /no name for you/);
  await turnedAway('u-4', /no name for you/);
  await turnedAway('u-5', /Somebody else has an account/);
  t.equal((await people()).length, 1);
  await gateway.ledger.query(`update daypass.people set closed_at = now()`);
  provider.accounts.set('u-1', { ...ALICE, name: 'Changed' });
  await turnedAway('u-1', /is closed/);
  t.match(await people(), [{ name: 'Alice A.' }], 'and is told nothing new');
  t.ok(gateway.lines.some(({ msg, why, sub }) => /refused/.test(String(msg)) && why === 'closed' && sub === 'u-1'));
});

t.test('two gateways serve one login', async (t) => {
  const port = await freePort();
  const ledger = await freshDatabase(t);
  const redis = await startRedis(t);
  const shared = { ledger, redisUrl: redis.url, signingKey: TEST_KEY, env: PROVIDER_ENV, settings: settingsFor(port) };
  const [one, two] = [await startBrowsing(t, shared), await startBrowsing(t, shared)];
  const homes = [one, two].map(({ gateway }) => `http://localhost:${gateway.ports.http}`);
  const [first = '', second = ''] = homes;
  const provider = await startRealProvider(t, port, homes);
  provider.accounts.set('u-1', ALICE);
  provider.who = 'u-1';
  const browser = new Wanderer();
  const back = await browser.follow(`${first}/login/oidc`, /\/oidc\/callback/);
  // As behind a balancer that leads the browser's way back to the other one: the address it has is the first's.
  const there = (back.next ?? '').replace(first, second);
  const arrived = await browser.go(there, { host: new URL(first).host });
  t.equal(arrived.status, 303, arrived.body);
  t.match((await browser.go(`${second}/`)).body, 'Logged in as alice');
});

t.test('who logs out here is shown where the company account is logged out', async (t) => {
  const { home, provider } = await withDirectory(t);
  const browser = new Wanderer();
  await browser.follow(`${home}/login/oidc`);
  const out = await browser.go(`${home}/logout`, {}, {});
  t.match(out.body, `href="${provider.issuer}/session/end?client_id=daypass"`);
  t.match((await browser.go(`${home}/`)).body, 'Not logged in');
});
