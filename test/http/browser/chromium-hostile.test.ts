import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import type { BrowserContext, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { digestOf, newSecret } from '../../../src/identity/secret.js';
import { listen } from '../gateway.js';
import { DOMAIN, fetchFrom, launchProfile, logIn, skip, socketFrom, startOverTls } from './chromium-fixture.js';

/** Servers that are none of the gateway's: below its domain without TLS, and beside it with. */
async function startEvil(t: Test, tls: { readonly cert: string; readonly key: string }): Promise<string[]> {
  // Browsers see no `__Host-` at the beginning of this name.
  const tossed = ['daypass', 'dp-state-a', 'dp-flow'].map(
    (name) => `\u00a0__Host-${name}=evil; Domain=example.test; Secure; Path=/`,
  );
  const answer: RequestListener = (_req, res) =>
    res.setHeader('content-type', 'text/html').setHeader('set-cookie', tossed).end('evil');
  const [below, beside] = [createServer(answer), createTlsServer(tls, answer)];
  return [`http://evil.${DOMAIN}:${await listen(t, below)}/`, `https://evil.example.test:${await listen(t, beside)}/`];
}

/** A page has the whole tab send a form. */
async function post(page: Page, address: string): Promise<string | null> {
  await page.evaluate(`
    const form = document.createElement('form');
    [form.method, form.action] = ['post', '${address}'];
    document.body.append(form);
    form.submit();
  `);
  await page.waitForURL(address);
  return page.textContent('h1');
}

/** Resolves when an element of the page that asks for something has come to its end, whatever that is. */
function include(page: Page, tag: string, address: string): Promise<unknown> {
  return page.evaluate(`new Promise((resolve) => {
    const element = document.createElement('${tag}');
    [element.onload, element.onerror] = [resolve, resolve];
    element['${tag}' === 'object' ? 'data' : 'src'] = '${address}';
    document.body.append(element);
  }).then(() => {})`);
}

/** What no page but its own may do to a service, or to the gateway's own host. */
async function tryEverything(t: Test, page: Page, { home, x }: { readonly home: string; readonly x: string }) {
  const asked: object[] = [{}, { mode: 'no-cors' }, { mode: 'no-cors', method: 'POST', body: 'a=1' }];
  asked.push({ method: 'PUT' }, { headers: { 'content-type': 'application/json' }, method: 'POST', body: '{}' });
  for (const init of asked) t.match(await fetchFrom(page, `${x}/stolen`, init), /^opaque$|^failed$/);
  for (const path of ['logout', 'login', 'api/v1/grants'])
    await fetchFrom(page, `${home}/${path}`, { mode: 'no-cors', method: 'POST', body: 'code=x' });
  t.match(await socketFrom(page, `${x.replace('https', 'wss')}/live`), /^1006/);
  const events = `new Promise((resolve) => {
    const source = new EventSource('${x}/events', { withCredentials: true });
    source.onerror = () => resolve('refused');
    source.onopen = () => resolve('open');
  })`;
  t.equal(await page.evaluate(events), 'refused');
  for (const tag of ['img', 'script', 'iframe', 'object', 'embed']) await include(page, tag, `${x}/${tag}`);
  await include(page, 'iframe', `${home}/`);
  t.equal(await page.evaluate(`navigator.sendBeacon('${x}/beacon', 'a=1')`), true);
}

/** Has a page's speculation rules fetch an address ahead. Resolves when the browser has done it; not every one does such things. */
async function fetchAhead(context: BrowserContext, page: Page, address: string): Promise<unknown> {
  const devtools = await context.newCDPSession(page);
  const ended = new Promise((resolve) => {
    devtools.on('Preload.prefetchStatusUpdated', ({ status, prefetchUrl }) => {
      if (prefetchUrl === address && status !== 'Pending' && status !== 'Running') resolve(status);
    });
  });
  await devtools.send('Preload.enable');
  await page.evaluate(`
    const rules = document.createElement('script');
    rules.type = 'speculationrules';
    rules.textContent = JSON.stringify({ prefetch: [{ urls: ['${address}'], eagerness: 'immediate' }] });
    document.head.append(rules);
  `);
  const status = await Promise.race([ended, pause(5_000, 'not done', { ref: false })]);
  await devtools.detach();
  return status;
}

t.test('a browser with a login, and pages that would use it', { skip }, async (t) => {
  const { gateway, origins, x: service, tls, trusting } = await startOverTls(t);
  const context = await launchProfile(t, trusting);
  const page = await context.newPage();
  await logIn(page, gateway, origins.home);
  await page.goto(`${origins.x}/`);

  await t.test('pages of hosts beside a service, and of other services, get nothing done there', async (t) => {
    for (const address of [`${origins.y}/`, ...(await startEvil(t, tls))]) {
      await page.goto(address);
      const before = service.seen.length;
      await tryEverything(t, page, origins);
      await page.evaluate(`
        for (const domain of ['', '; Domain=${DOMAIN}', '; Domain=x.${DOMAIN}', '; Domain=example.test'])
          for (const name of ['__Host-daypass', '__host-daypass', '=__Host-daypass', '__Host-dp-state-a'])
            document.cookie = name + '=evil; Secure; Path=/' + domain;
      `);
      // Without TLS it is another site: browsers leave the cookie at home.
      t.match(await post(page, `${origins.x}/posted`), /^Forbidden$|^Unauthorized$/, address);
      await page.goto(address);
      t.match(await post(page, `${origins.home}/logout`), 'Forbidden', address);
      t.same(service.seen.slice(before), [], `nothing of ${address} reached the service`);
    }
    await page.goto(`${origins.x}/after`);
    t.equal(await page.title(), 'GET /after', 'tossed cookies changed nothing');
    await page.goto(`${origins.home}/`);
    t.match(await page.textContent('h1'), 'Logged in as alice');
  });

  await t.test('a page of a service learns no code that could still be used elsewhere', async (t) => {
    await page.goto(`${origins.y}/app/hostile`);
    // The page asks for a code that only the browser of somebody else could use, and reads it in the history of its tab.
    const stolen = `${origins.home}/handover?service=y&bind=${digestOf(newSecret()).toString('base64url')}`;
    const told = async () => {
      await page.goto(stolen);
      t.match(page.url(), `${origins.y}/.daypass/enter?code=`);
      await page.goBack();
      return String(await page.evaluate('navigation.entries().map(({ url }) => url)'));
    };
    t.notMatch(await told(), 'enter');
    t.same(await unused(), 0, 'and it was used up by being brought');
    // Such cookies keep the gateway from hearing of the code at all.
    await page.evaluate(`for (let at = 0; at < 8; at += 1)
      document.cookie = 'large' + at + '=' + 'x'.repeat(3_000) + '; Secure; Path=/.daypass'`);
    t.notMatch(await told(), 'enter');

    const [popup] = await Promise.all([
      context.waitForEvent('page'),
      page.evaluate(`window.popup = window.open('${stolen}'); 0`),
    ]);
    await popup.waitForURL(/enter/);
    const listed = `new Promise((resolve) => {
      navigator.serviceWorker.onmessage = ({ data }) => resolve(data);
      navigator.serviceWorker.register('/app/worker.js');
      navigator.serviceWorker.ready.then(({ active }) => active.postMessage('list'));
    })`;
    t.same(await page.evaluate(listed), [`${origins.y}/app/hostile`], 'a service worker does not hear of it');
    // It is told at some time that the window it opened is not its own any more; where that is, it cannot see.
    await page.waitForFunction('window.popup.closed');
    await popup.close();

    async function unused() {
      const [row] = await gateway.ledger.query(
        'select count(*)::int as n from daypass.handovers where used_at is null',
      );
      return row?.n;
    }
  });

  await t.test(
    'a page that opens a window of the gateway does not learn from it what its visitor may do',
    async (t) => {
      const paths = ['handover?service=x&bind=', 'handover?service=z&bind=', 'requests/', 'elsewhere/', '?'];
      for (const path of paths.map((one) => `${one}${'A'.repeat(43)}`)) {
        await page.goto(`${origins.y}/`);
        const [popup] = await Promise.all([
          context.waitForEvent('page'),
          page.evaluate(`window.popup = window.open('${origins.home}/${path}'); 0`),
        ]);
        await popup.waitForSelector('h1, h2, title', { state: 'attached' });
        await page.waitForFunction('window.popup.closed');
        t.pass(path);
        await popup.close();
      }
    },
  );

  await t.test('a page has nothing of another service fetched ahead with the login of who looks at it', async (t) => {
    const live = await context.cookies(origins.x);
    // One that is looked at: nothing is fetched ahead for others.
    await page.bringToFront();
    await page.goto(`${origins.y}/`);
    const before = service.seen.length;
    for (const path of ['/ahead', '/.daypass/begin'])
      t.not(await fetchAhead(context, page, `${origins.x}${path}`), 'Ready', path);
    t.same(service.seen.slice(before), []);
    t.same(await context.cookies(origins.x), live, 'and no session is replaced, which would cut what is open');
    await page.goto(`${origins.x}/ahead`);
    t.equal(await page.title(), 'GET /ahead', 'whoever goes there gets there');
  });
});
