import { once } from 'node:events';
import t from 'tap';
import { waitUntil } from '../../support/wait.js';
import { withDirectory } from './directory-fixture.js';
import { openingOf, SAME_ORIGIN, TestBrowser } from './fixture.js';
import { Wanderer } from './wanderer.js';

t.test('the directory ends a session: logins, what they opened, and tokens end with it', async (t) => {
  const { gateway, home, provider } = await withDirectory(t);
  await gateway.issue({ service: 'web' });
  const [browser, other] = [new Wanderer(), new Wanderer()];
  await browser.follow(`${home}/login/oidc`);
  await other.follow(`${home}/login/oidc`);
  await browser.follow(`http://web.localhost:${gateway.ports.http}/`);
  const there = new TestBrowser(gateway.ports.http);
  for (const [host, jar] of browser.jars) there.jars.set(host, jar);
  const socket = there.socket('web.localhost', '/live', `http://web.localhost:${there.port}`);
  t.equal(await openingOf(t, socket), 101);
  const closed = once(socket, 'close');
  // The page where a person logs out of the provider itself; what it then tells the gateway is its own doing.
  const out = await browser.go(`${provider.issuer}/session/end`);
  const [, xsrf = ''] = /name="xsrf" value="([^"]+)"/.exec(out.body) ?? [];
  await browser.go(`${provider.issuer}/session/end/confirm`, {}, { xsrf, logout: 'yes' });
  const [code] = await closed;
  t.equal(code, 4001);
  t.match((await browser.go(`${home}/`)).body, 'Not logged in');
  t.equal((await there.ask('web.localhost', '/', { headers: SAME_ORIGIN })).status, 401);
  t.match((await other.go(`${home}/`)).body, 'Logged in as alice', 'another session at the directory stays');
  const acts = () => gateway.ledger.query(`select by, reason from daypass.login_acts where act = 'logout'`);
  await waitUntil('the act', async () => (await acts()).length === 1);
  t.same(await acts(), [{ by: 'directory', reason: 'the directory ended the session' }]);
});
