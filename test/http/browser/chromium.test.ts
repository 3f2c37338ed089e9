import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { selfSigned } from '../../support/certificate.js';
import { startGateway } from '../../support/gateway.js';
import { listen } from '../gateway.js';
import { linkFor, webPolicy } from './fixture.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const skip = CHROMIUM === undefined ? 'Chromium is not installed' : false;

/** A service with a page, a form that posts, and a WebSocket; what reached it. */
async function service(t: Test) {
  const seen: string[] = [];
  const cookies: string[] = [];
  const server = createServer((req, res) => {
    if (req.url !== '/favicon.ico') seen.push(`${req.method} ${req.url}`);
    cookies.push(req.headers.cookie ?? '');
    // In the gateway's name, too: it must not get through.
    res.setHeader('set-cookie', ['mine=1; Path=/', '__Host-daypass=tossed; Path=/; Secure']);
    res.setHeader('content-type', 'text/html');
    res.end(`<title>${req.method} ${req.url}</title><form method="post" action="/done"><button>Go</button></form>`);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    seen.push('WS');
    socket.send('hello');
  });
  return { seen, cookies, url: `http://127.0.0.1:${await listen(t, server)}` };
}

async function launch(t: Test): Promise<Browser> {
  const args = [
    '--no-sandbox',
    '--ignore-certificate-errors',
    '--host-resolver-rules=MAP *.test 127.0.0.1, MAP gw.test 127.0.0.1',
  ];
  const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args });
  t.teardown(() => browser.close());
  return browser;
}

/** What a page's script is answered: a status, or why it was not. */
function fetchFrom(page: Page, url: string, init: object = {}): Promise<string> {
  return page.evaluate(
    async ([url, init]) => {
      try {
        return String((await fetch(url, { credentials: 'include', ...init })).type);
      } catch {
        return 'failed';
      }
    },
    [url, init] as const,
  );
}

function socketFrom(page: Page, url: string): Promise<string> {
  return page.evaluate(
    (url) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(url);
        socket.onmessage = () => resolve('open');
        socket.onclose = ({ code, reason }) => resolve(`${code} ${reason}`);
      }),
    url,
  );
}

t.test(
  'a real browser over TLS: login, hand-over, the service; siblings get nowhere; log out everywhere',
  { skip },
  async (t) => {
    const { cert, key } = await selfSigned('gw.test', 'x.gw.test', 'y.gw.test');
    const folder = await mkdtemp('/tmp/dp-browser-');
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'cert.pem'), cert);
    await writeFile(join(folder, 'key.pem'), key);
    const tls = `tls: { cert: { file: ${join(folder, 'cert.pem')} }, key: { file: ${join(folder, 'key.pem')} } }\ndrain: 0s`;
    const { seen, cookies, url } = await service(t);
    const services = { x: webPolicy(url, 'x'), y: webPolicy(url, 'y') };
    const gateway = await startGateway(t, { services, domain: 'gw.test', settings: tls });
    await gateway.issue({ service: 'x' });
    await gateway.issue({ service: 'y' });
    const port = gateway.ports.http;
    const [home, x, y] = [`https://gw.test:${port}`, `https://x.gw.test:${port}`, `https://y.gw.test:${port}`];
    const browser = await launch(t);
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();

    await page.goto(`${home}/login#${await linkFor(gateway)}`);
    t.equal(page.url(), `${home}/login`, 'the code is out of the address line');
    await page.click('button');
    await page.waitForURL(`${home}/`);
    t.match(await page.textContent('h1'), 'Logged in as alice');
    await page.goto(`${x}/orders?from=outside`);
    t.equal(page.url(), `${x}/orders?from=outside`);
    t.equal(await page.title(), 'GET /orders?from=outside');
    await page.click('button');
    await page.waitForURL(`${x}/done`);
    t.equal(await page.title(), 'POST /done', 'its own forms work');
    t.equal(await socketFrom(page, `wss://x.gw.test:${port}/live`), 'open', 'and its own WebSockets');
    const kept = await context.cookies([home, x]);
    const names = kept.map(({ name, domain, httpOnly, secure }) => `${domain} ${name} ${httpOnly} ${secure}`).sort();
    t.same(names, [
      'gw.test __Host-daypass true true',
      'x.gw.test __Host-daypass true true',
      'x.gw.test mine false false',
    ]);
    t.notOk(kept.some(({ value }) => value === 'tossed'));
    t.ok(
      cookies.every((cookie) => !cookie.includes('__Host-')),
      cookies.join(),
    );

    // A sibling host is same-site: its pages' requests carry the cookies of x, and are refused for that.
    await page.goto(`${y}/`);
    const before = seen.length;
    t.equal(await fetchFrom(page, `${x}/steal`, { mode: 'no-cors' }), 'opaque');
    t.equal(await fetchFrom(page, `${x}/change`, { mode: 'no-cors', method: 'POST', body: 'a=1' }), 'opaque');
    t.equal(await fetchFrom(page, `${home}/logout`, { mode: 'no-cors', method: 'POST' }), 'opaque');
    t.match(await socketFrom(page, `wss://x.gw.test:${port}/live`), /^1006/);
    await page.evaluate(`new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.onload = resolve;
      frame.src = '${x}/framed';
      document.body.append(frame);
    })`);
    t.same(seen.slice(before), [], 'nothing of it reached the service');
    await page.evaluate(`
      for (const domain of ['', '; Domain=gw.test', '; Domain=x.gw.test'])
        for (const name of ['__Host-daypass', '__host-daypass', '=__Host-daypass'])
          document.cookie = name + '=evil; Secure; Path=/' + domain;
      const form = document.createElement('form');
      [form.method, form.action] = ['post', '${x}/posted'];
      document.body.append(form);
      form.submit();
    `);
    await page.waitForURL(`${x}/posted`);
    t.match(await page.textContent('h1'), 'Forbidden');
    await page.goto(`${x}/after`);
    t.equal(await page.title(), 'GET /after', 'tossed cookies changed nothing');

    const other = await context.newPage();
    await other.goto(`${home}/`);
    const cut = socketFrom(page, `wss://x.gw.test:${port}/live`);
    t.equal(await cut, 'open');
    await other.click('button');
    // Not its address, which is the same before and after.
    await other.waitForSelector('h1:has-text("Not logged in")');
    await page.goto(`${x}/after`);
    t.match(await page.textContent('h1'), 'Not logged in');
    t.equal(page.url().startsWith(`${home}/handover`), true);
  },
);

t.test('a real browser keeps __Host- cookies of *.localhost without TLS', { skip }, async (t) => {
  const { url } = await service(t);
  const gateway = await startGateway(t, { services: { x: webPolicy(url, 'x') } });
  await gateway.issue({ service: 'x' });
  const home = `http://localhost:${gateway.ports.http}`;
  const context = await (await launch(t)).newContext();
  const page = await context.newPage();
  await page.goto(`${home}/login#${await linkFor(gateway)}`);
  await page.click('button');
  await page.waitForURL(`${home}/`);
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
