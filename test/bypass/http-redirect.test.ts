import t from 'tap';
import { linkFor, NAVIGATION, startBrowsing } from '../http/browser/fixture.js';
import { raw } from '../http/gateway.js';

const WEB = 'web.localhost';
const pathOf = (address: string) => address.replace(/^http:\/\/[^/]+/, '');

t.test('D29: after a login a browser comes back to this very host, whatever address it began with', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const targets = [
    '//evil.test/',
    '///evil.test/',
    '/\\evil.test/',
    '\\\\evil.test/',
    '/%5cevil.test/',
    '/%2fevil.test/',
    '/%2f%2fevil.test/',
    '/.//evil.test/',
    '/..//evil.test',
    '/x//evil.test/',
    '/%09/evil.test/',
    '/%0d%0aLocation:%20https://evil.test/',
    'http://evil.test/',
    'https://evil.test/',
    'http://web.localhost@evil.test/',
    '/;@evil.test/',
    '/@evil.test/',
    '/https://evil.test/',
    '/?next=//evil.test/',
    `/${'a'.repeat(3_000)}`,
  ];
  for (const target of targets) {
    alice.jars.delete(WEB);
    const begun = await alice.ask(WEB, target, { headers: NAVIGATION });
    // What has no single meaning may be refused at once; nothing of it may lead away.
    if (begun.status !== 303) continue;
    t.match(begun.location, new RegExp(`^http://localhost:${gateway.ports.http}/handover\\?`), target);
    const handed = await alice.ask('localhost', pathOf(begun.location), { headers: NAVIGATION });
    t.match(
      handed.location,
      new RegExp(`^http://web\\.localhost:${gateway.ports.http}/\\.daypass/enter\\?code=[\\w-]{43}$`),
    );
    const entered = await alice.ask(WEB, pathOf(handed.location), { headers: NAVIGATION });
    t.equal(entered.status, 303, target);
    const to = new URL(entered.location);
    t.equal(to.origin, `http://web.localhost:${gateway.ports.http}`, `${target} → ${entered.location}`);
    t.notMatch(to.pathname, /^\/[/\\]/, target);
  }
});

/** Spellings from public lists of open redirects: `E` stands for the host they lead to. */
const LISTED: readonly string[] = [
  '/%09/E',
  '/%5cE',
  '//%0aE',
  '/%0d/E',
  '/%2f%2fE',
  '/%2f%5c%2f%67%6f%6f%67%6c%65%2e%63%6f%6d/',
  '/%5cE/%2e%2e',
  '/%68%74%74%70%3a%2f%2fE',
  '/.E',
  '/..//E',
  '/.%00E',
  '//%5cE',
  '///%09/E',
  '///%5c;@E',
  '///%5tE',
  '////E/%2e%2e%2f',
  '///E/%2f..',
  '///E@web.localhost/%2f%2e%2e',
  '//E//',
  '//E:80/',
  '//E%00.web.localhost/',
  '//web.localhost@E/%2f..',
  '//web.localhost%ff@E/',
  '//\\/E/',
  '/<>//E',
  '/?url=//E',
  '/?next=https:E',
  '/?redir=/\\E&x',
  '/\\/\\/E/',
  '/\\/E/%2f%2e%2e',
  '/\tE',
  '/x/..//E',
  '/x;//E',
  '/〱E',
  '//E〵',
  '/ｅｖｉｌ.test',
  '/%E3%80%B1E',
  '/%EF%BC%8FE',
  '/%ef%bc%8f%ef%bc%8fE/',
  '/javascript:alert(1)',
  '/http:E',
  '/https:/E',
  '/http:/\\E',
  '/http:%5c%5cE',
  '/https:///E/%2e%2e',
  '/data:text/html;base64,PHg+',
  'https:E',
  '@E',
  ':80@E/',
  '.E',
];

t.test('D29: no spelling from public lists leads a browser to another host', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const own = new Set([`http://web.localhost:${gateway.ports.http}`, `http://localhost:${gateway.ports.http}`]);
  for (const listed of LISTED) {
    const target = Buffer.from(listed.replaceAll('E', 'evil.test'), 'utf8').toString('latin1');
    alice.jars.delete(WEB);
    const bytes = `GET ${target} HTTP/1.1\r\nHost: ${WEB}:${gateway.ports.http}\r\nAccept: text/html\r\nConnection: close\r\n\r\n`;
    const answer = await raw(t, gateway.ports.http, Buffer.from(bytes, 'latin1')).ended;
    const begun = /^location: (.*)\r$/im.exec(answer)?.[1];
    if (begun === undefined) {
      t.match(answer, /^HTTP\/1\.1 40\d /, listed);
      continue;
    }
    t.ok(own.has(new URL(begun).origin), begun);
    const [, name = '', value = ''] = /^set-cookie: ([^=]*)=([^;]*)/im.exec(answer) ?? [];
    const handed = await alice.ask('localhost', pathOf(begun), { headers: NAVIGATION });
    const headers = { ...NAVIGATION, cookie: `${name}=${value}` };
    const entered = await alice.ask(WEB, pathOf(handed.location), { headers });
    t.equal(entered.status, 303, listed);
    // As a browser reads it, relative to where it is.
    const to = new URL(entered.location, `http://${WEB}:${gateway.ports.http}/.daypass/enter`);
    t.equal(to.origin, `http://web.localhost:${gateway.ports.http}`, `${listed} → ${entered.location}`);
    t.notMatch(entered.location.replace(/^http:\/\/[^/]+/, ''), /^\/[/\\]/, listed);
  }
});

t.test('D29: nobody chooses where the gateway leads a browser', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const bind = 'A'.repeat(43);
  const services = [
    'evil.test',
    'evil.test/',
    'evil.test#',
    'evil.test?',
    'web@evil.test',
    'web.evil',
    '',
    'orders',
    '../web',
    'WEB',
  ];
  for (const service of services) {
    const path = `/handover?service=${encodeURIComponent(service)}&bind=${bind}`;
    const answer = await alice.ask('localhost', path, { headers: NAVIGATION });
    t.equal(answer.status, 404, service);
    t.equal(answer.location, '');
  }
  for (const bad of ['', 'short', `${bind}A`, '%0d%0a'.repeat(10)])
    t.equal((await alice.ask('localhost', `/handover?service=web&bind=${bad}`, { headers: NAVIGATION })).status, 404);
  for (const host of ['localhost.evil.test', 'evil.test', 'web.localhost.evil.test', 'a.web.localhost'])
    t.equal((await alice.ask(host, '/', { headers: NAVIGATION })).location, '', host);
  t.equal((await alice.logOut()).location, '/');
});

t.test('A3: a code works once, for its own service, in the browser that began, while its login stands', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  for (const service of ['web', 'shop']) await gateway.issue({ service });
  const [alice, mallory] = [browser(), browser()];
  await alice.logIn(await linkFor(gateway));
  const codeFor = async (host: string) => {
    alice.jars.delete(host);
    const begun = await alice.ask(host, '/', { headers: NAVIGATION });
    return pathOf((await alice.ask('localhost', pathOf(begun.location), { headers: NAVIGATION })).location);
  };
  const entry = async (who: typeof alice, host: string, path: string) =>
    (await who.ask(host, path, { headers: NAVIGATION })).status;
  const stolen = await codeFor(WEB);
  t.equal(await entry(mallory, WEB, stolen), 400, 'stolen, without the cookie of the browser');
  await mallory.ask(WEB, '/', { headers: NAVIGATION });
  t.equal(await entry(mallory, WEB, stolen), 400, 'nor with a cookie of the own browser');
  t.equal(await entry(alice, WEB, stolen), 400, 'and whoever brought it first has used it up');
  const code = await codeFor(WEB);
  t.equal(await entry(alice, 'shop.localhost', code), 400, 'another service');
  t.equal(await entry(alice, WEB, `${code}&code=${code.slice(-43)}`), 400, 'twice in one address');
  const elsewhere = await codeFor(WEB);
  await alice.ask('shop.localhost', '/', { headers: NAVIGATION });
  t.equal(await entry(alice, 'shop.localhost', elsewhere), 400, 'another service that was begun, too');
  const { location } = await alice.ask('shop.localhost', '/', { headers: NAVIGATION });
  const led = await alice.ask('localhost', pathOf(location).replace('=shop', '=web'), { headers: NAVIGATION });
  t.match(led.location, /^http:\/\/web\.localhost/);
  t.equal(await entry(alice, 'shop.localhost', pathOf(led.location)), 400, 'a code for another, bound to this one');
  const fresh = await codeFor(WEB);
  const state = alice.cookies(WEB);
  t.equal(await entry(alice, WEB, fresh), 303);
  const again = await alice.ask(WEB, fresh, { headers: { ...NAVIGATION, cookie: state } });
  t.equal(again.status, 400, 'a second time');
  const late = await codeFor(WEB);
  await gateway.operator('POST', '/v1/logouts', { principal: 'alice', reason: 'left', by: 'ops' });
  t.equal(await entry(alice, WEB, late), 400, 'after the logout');
  const old = await gateway.ledger.query(`select count(*)::int as n from daypass.browser_sessions`);
  t.same(old, [{ n: 1 }]);
});

t.test(
  'A3: what a page of a service had somebody else’s browser bring is used up, and stands in no history',
  async (t) => {
    const { gateway, browser } = await startBrowsing(t);
    await gateway.issue({ service: 'web' });
    const [alice, mallory] = [browser(), browser()];
    await alice.logIn(await linkFor(gateway));
    await alice.visit(WEB, '/');
    const codeFor = async (who: typeof alice) => {
      const begun = await who.ask(WEB, '/', { headers: NAVIGATION });
      return pathOf((await alice.ask('localhost', pathOf(begun.location), { headers: NAVIGATION })).location);
    };
    const code = await codeFor(mallory);
    const brought = await alice.ask(WEB, code, { headers: NAVIGATION });
    t.equal(brought.status, 400, 'her browser has begun nothing, and has a session');
    const hidden = { 'referrer-policy': 'no-referrer', 'content-security-policy': /; sandbox$/ };
    t.match(
      brought.headers,
      hidden,
      'pages of the service do not see its address in the history, nor their workers in a list',
    );
    t.equal((await mallory.ask(WEB, code, { headers: NAVIGATION })).status, 400, 'who had it asked for comes too late');
    const unheard = await codeFor(mallory);
    const cookie = `${alice.cookies(WEB)}; large=${'x'.repeat(16_384)}`;
    const refused = await alice.ask(WEB, unheard, { headers: { ...NAVIGATION, cookie } });
    t.equal(refused.status, 431);
    t.match(refused.headers, hidden, 'nor what never came to be used');
  },
);

t.test('D29: a login link works once, and not after its time', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const code = await linkFor(gateway);
  const first = await Promise.all([1, 2, 3, 4].map(() => browser().logIn(code)));
  t.same(first.map(({ status }) => status).sort(), [303, 401, 401, 401], 'of several at once one has it');
  const late = await linkFor(gateway);
  await gateway.ledger.query(`update daypass.login_links set expires_at = now() where used_at is null`);
  t.equal((await browser().logIn(late)).status, 401);
  for (const bad of ['', 'x', `${late}x`, late.slice(1), '%00'.repeat(5)])
    t.match(await browser().logIn(bad), { status: 401, body: /whole link.*link_over/s }, bad);
});
