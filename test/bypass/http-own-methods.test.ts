import t from 'tap';
import { type Answered, linkFor, NAVIGATION, startBrowsing } from '../http/browser/fixture.js';
import { Wanderer } from '../http/browser/wanderer.js';
import { startRawProvider } from '../identity/directory/raw-provider.js';
import { PROVIDER_ENV, settingsFor } from '../identity/directory/real-provider.js';

const WEB = 'web.localhost';
const pathOf = (address: string) => address.replace(/^http:\/\/[^/]+/, '');
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'];

/** What HEAD and GET have in common, whenever they are asked. */
function told({ status, headers }: Answered) {
  const { date: _, ...same } = headers;
  return { status, ...same };
}

t.test('D29: HEAD, as programs send that look at links ahead of people, uses up nothing', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  const link = await linkFor(gateway);
  const head = (host: string, path: string) => alice.ask(host, path, { method: 'HEAD', headers: NAVIGATION });
  t.equal((await head('localhost', `/login?code=${link}`)).status, 200);
  t.equal((await alice.logIn(link)).status, 303, 'the link works still');

  const begun = await alice.ask(WEB, '/orders', { headers: NAVIGATION });
  const live = alice.cookies(WEB);
  const codes = () => gateway.ledger.query('select used_at from daypass.handovers');
  t.equal((await head('localhost', pathOf(begun.location))).status, 405);
  t.same(await codes(), [], 'no code is made');
  const handed = await alice.ask('localhost', pathOf(begun.location), { headers: NAVIGATION });
  t.equal((await head(WEB, pathOf(handed.location))).status, 405);
  t.equal((await head(WEB, '/.daypass/begin')).status, 405);
  t.same(await codes(), [{ used_at: null }], 'nor used');
  t.equal(alice.cookies(WEB), live);
  t.equal((await alice.ask(WEB, pathOf(handed.location), { headers: NAVIGATION })).status, 303);
  t.equal((await head('localhost', '/logout')).status, 405);
  t.match((await alice.visit('localhost', '/')).body, 'Logged in as alice');
});

t.test('D29: HEAD begins and ends no login by the directory', async (t) => {
  const provider = await startRawProvider(t);
  const settings = settingsFor(Number(new URL(provider.issuer).port));
  const { gateway, browser } = await startBrowsing(t, { settings, env: PROVIDER_ENV });
  const home = `http://localhost:${gateway.ports.http}`;
  const alice = new Wanderer();
  const flows = () => gateway.ledger.query('select used_at from daypass.oidc_flows');
  const head = async (path: string) => {
    const cookie = [...(alice.jars.get('localhost') ?? [])].map((pair) => pair.join('=')).join('; ');
    const headers = { ...NAVIGATION, ...(cookie === '' ? {} : { cookie }) };
    return (await browser().ask('localhost', path, { method: 'HEAD', headers })).status;
  };
  t.equal(await head('/login/oidc'), 405);
  t.same(await flows(), []);
  const { next } = await alice.go(`${home}/login/oidc`);
  const { searchParams } = new URL(next ?? '');
  t.equal(await head(`/oidc/callback?code=c&state=${searchParams.get('state')}`), 405);
  t.same(await flows(), [{ used_at: null }]);
});

t.test('the gateway’s own addresses say which methods there are, and answer HEAD as GET, without a body', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const there: readonly (readonly [host: string, path: string, allowed: string])[] = [
    ['localhost', '/', 'GET, HEAD'],
    ['localhost', '/login', 'GET, HEAD, POST'],
    ['localhost', '/login/tool', 'GET, HEAD, POST'],
    ['localhost', '/login/oidc', 'GET'],
    ['localhost', '/oidc/callback', 'GET'],
    ['localhost', '/oidc/backchannel-logout', 'POST'],
    ['localhost', '/handover', 'GET'],
    ['localhost', '/logout', 'POST'],
    ['localhost', '/invite', 'GET, HEAD'],
    ['localhost', '/invite/show', 'POST'],
    ['localhost', '/passkeys', 'GET, HEAD'],
    ['localhost', '/requests/x', 'GET, HEAD, POST'],
    [WEB, '/.daypass/begin', 'GET'],
    [WEB, '/.daypass/enter', 'GET'],
  ];
  for (const [host, path, allowed] of there) {
    for (const method of METHODS.filter((one) => !allowed.split(', ').includes(one))) {
      const { status, headers } = await alice.ask(host, path, { method, headers: NAVIGATION });
      t.same([status, headers.allow], [405, allowed], `${method} ${path}`);
    }
    if (!allowed.includes('HEAD')) continue;
    const [got, headed] = [
      await alice.ask(host, path, { headers: NAVIGATION }),
      await alice.ask(host, path, { method: 'HEAD', headers: NAVIGATION }),
    ];
    t.same([told(headed), headed.body], [told(got), ''], path);
    const script = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'empty' };
    for (const method of ['GET', 'HEAD'])
      t.equal((await alice.ask(host, path, { method, headers: script })).status, 404, `${method} ${path} by a script`);
  }
  t.equal((await alice.ask('localhost', '/elsewhere', { method: 'PUT', headers: NAVIGATION })).status, 404);
});
