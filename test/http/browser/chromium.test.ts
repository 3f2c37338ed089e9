import type { Page } from 'playwright-core';
import t from 'tap';
import { startGateway } from '../../support/gateway.js';
import { DOMAIN, fetchFrom, launch, logIn, skip, socketFrom, startOverTls, startPages } from './chromium-fixture.js';
import { webPolicy } from './fixture.js';

/** What stays open in a page: a WebSocket and a stream of events. Resolves with the first that both say. */
function stayOpen(page: Page): Promise<unknown> {
  // A cut stream is asked for again: only the refusal of that closes it.
  return page.evaluate(`
    const socket = new WebSocket('wss://' + location.host + '/live');
    const events = new EventSource('/events');
    window.ends = Promise.all([
      new Promise((resolve) => { socket.onclose = ({ code, reason }) => resolve(code + ' ' + reason); }),
      new Promise((resolve) => { events.onerror = () => { if (events.readyState === 2) resolve('closed'); }; }),
    ]);
    Promise.all([socket, events].map((one) => new Promise((resolve) => { one.onmessage = ({ data }) => resolve(data); })));
  `);
}

function endsOf(page: Page): Promise<unknown> {
  return page.evaluate('window.ends');
}

t.test(
  'a real browser over TLS: login, hand-over, the service, what is refused, the end of it',
  { skip },
  async (t) => {
    const { gateway, grants, origins, x: service, trusting } = await startOverTls(t);
    const { home, x, y } = origins;
    const context = await (await launch(t, trusting)).newContext();
    const page = await context.newPage();

    await logIn(page, gateway, home);
    t.match(await page.textContent('h1'), 'Logged in as alice');
    await page.goto(`${x}/orders?from=outside`);
    t.equal(page.url(), `${x}/orders?from=outside`);
    t.equal(await page.title(), 'GET /orders?from=outside');
    t.equal(await fetchFrom(page, '/data'), 'basic', 'its own scripts may ask');
    await page.click('button');
    await page.waitForURL(`${x}/done`);
    t.equal(await page.title(), 'POST /done', 'its own forms work');
    t.same(await stayOpen(page), ['hello', 'first'], 'and its own WebSockets and streams');

    const kept = await context.cookies([home, x]);
    t.same(kept.map(({ name, domain, httpOnly, secure }) => `${domain} ${name} ${httpOnly} ${secure}`).sort(), [
      `${DOMAIN} __Host-daypass true true`,
      `x.${DOMAIN} __Host-daypass true true`,
      `x.${DOMAIN} mine false false`,
    ]);
    t.notOk(kept.some(({ value }) => value === 'tossed'));
    t.notMatch(service.cookies.join(), '__Host-');

    const other = await context.newPage();
    await other.goto(`${x}/form`);
    await other.evaluate(`document.forms[0].action = '/denied'; document.forms[0].submit()`);
    await other.waitForURL(`${x}/denied`);
    t.match(await other.textContent('h1'), 'Forbidden', 'a refusal is a page');
    t.notOk(service.seen.includes('POST /denied'));
    await other.goto(`${y}/`);
    t.same(await stayOpen(other), ['hello', 'first']);

    const revocation = { grant: grants.x.id, reason: 'a test', by: 'ops' };
    t.equal((await gateway.operator('POST', '/v1/revocations', revocation)).status, 200);
    t.match(await endsOf(page), [/revoked/, 'closed'], 'what an open page holds is cut');
    const before = service.seen.length;
    t.equal(await page.evaluate(`fetch('/data').then(({ status }) => status)`), 401);
    await page.goto(`${x}/after`);
    t.match(await page.textContent('main'), 'no access to x', 'and there is no way back in');
    t.same(service.seen.slice(before), []);

    const writing = await context.newPage();
    await writing.goto(`${y}/form`);
    await page.goto(`${home}/`);
    await page.click('button');
    // Not its address, which is the same before and after.
    await page.waitForSelector('h1:has-text("Not logged in")');
    t.match(await endsOf(other), [/logged out/i, 'closed']);
    await other.goto(`${y}/after`);
    t.match(await other.textContent('h1'), 'Not logged in');
    t.equal(other.url().startsWith(`${home}/handover`), true);
    await writing.click('button');
    await writing.waitForURL(`${y}/done`);
    t.match(await writing.textContent('main'), 'What you sent did not reach the service');
    await logIn(page, gateway, home);
    await other.goto(`${y}/again`);
    await writing.reload();
    t.equal(await writing.title(), 'POST /done', 'it can be sent again behind a login in another tab');
  },
);

t.test('a real browser keeps __Host- cookies of *.localhost without TLS', { skip }, async (t) => {
  const { url } = await startPages(t);
  const gateway = await startGateway(t, { services: { x: webPolicy(url, 'x') } });
  await gateway.issue({ service: 'x' });
  const home = `http://localhost:${gateway.ports.http}`;
  const context = await (await launch(t)).newContext();
  const page = await context.newPage();
  await logIn(page, gateway, home);
  await page.click('a');
  await page.waitForURL(`http://x.localhost:${gateway.ports.http}/`);
  t.equal(await page.title(), 'GET /');
  t.match(await socketFrom(page, `ws://x.localhost:${gateway.ports.http}/live`), 'open');

  // Tabs that are restored together: none takes away what another keeps on its way.
  await context.clearCookies({ name: '__Host-daypass', domain: 'x.localhost' });
  const tabs = await Promise.all([1, 2, 3, 4].map(() => context.newPage()));
  await Promise.all(tabs.map((tab, at) => tab.goto(`http://x.localhost:${gateway.ports.http}/tab/${at}`)));
  t.same(await Promise.all(tabs.map((tab) => tab.title())), ['GET /tab/0', 'GET /tab/1', 'GET /tab/2', 'GET /tab/3']);
});
