import t, { type Test } from 'tap';
import { linkFor, NAVIGATION, openingOf, SAME_ORIGIN, startBrowsing } from '../http/browser/fixture.js';

const WEB = 'web.localhost';

async function loggedIn(t: Test) {
  const all = await startBrowsing(t);
  await all.gateway.issue({ service: 'web' });
  const alice = all.browser();
  await alice.logIn(await linkFor(all.gateway));
  await alice.visit(WEB, '/');
  all.service.seen.length = 0;
  return { ...all, alice, own: `http://${WEB}:${all.gateway.ports.http}` };
}

/** What pages elsewhere make a browser send along. */
const foreignOrigins = (own: string) => [
  'https://evil.test',
  'null',
  'http://localhost',
  own.replace('web', 'shop'),
  own.replace('http:', 'https:'),
  own.replace(/:\d+$/, ''),
  own.replace(/:\d+$/, ':1'),
  `${own}.evil.test`,
  `${own}/`,
  own.toUpperCase(),
  '',
];

t.test('D29: what another page asks for with a login is refused before it is recorded as the person’s', async (t) => {
  const { alice, own, service } = await loggedIn(t);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const refused: Record<string, string>[] = [
      {},
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'none' },
      { 'sec-fetch-site': 'same-site', origin: own },
      { ...NAVIGATION, 'sec-fetch-site': 'same-site' },
      { ...NAVIGATION, 'sec-fetch-site': 'cross-site', origin: own },
      { 'sec-fetch-site': 'same-origin', origin: 'https://evil.test' },
      ...foreignOrigins(own).map((origin) => ({ origin })),
    ];
    for (const headers of refused)
      t.equal((await alice.ask(WEB, '/x', { method, headers })).status, 403, `${method} ${JSON.stringify(headers)}`);
  }
  t.same(service.seen, []);
  for (const headers of [
    { origin: own },
    SAME_ORIGIN,
    { ...SAME_ORIGIN, origin: own },
    { ...SAME_ORIGIN, origin: 'null' },
  ])
    t.equal((await alice.ask(WEB, '/x', { method: 'POST', headers })).status, 200, JSON.stringify(headers));
  t.equal(service.seen.length, 4);
});

t.test('D29: other sites may link to a page, and include nothing of it', async (t) => {
  const { alice, own, service } = await loggedIn(t);
  for (const site of ['same-site', 'cross-site', 'twisted']) {
    const subresources: Record<string, string>[] = [
      { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
      { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' },
      { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', origin: own.replace('web', 'shop') },
      { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe', accept: 'text/html' },
      { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'object', accept: 'text/html' },
      { 'sec-fetch-mode': 'navigate' },
      {},
    ];
    for (const headers of subresources)
      t.equal((await alice.ask(WEB, '/x', { headers: { ...headers, 'sec-fetch-site': site } })).status, 403, site);
  }
  for (const origin of foreignOrigins(own))
    t.equal((await alice.ask(WEB, '/x', { headers: { origin } })).status, 403, origin);
  t.same(service.seen, []);
  for (const site of ['none', 'same-origin', 'same-site', 'cross-site'])
    t.equal((await alice.ask(WEB, '/x', { headers: { ...NAVIGATION, 'sec-fetch-site': site } })).status, 200, site);
});

t.test(
  'D29: what a browser fetches ahead of anybody’s wish is nobody’s, though it says that no page asked',
  async (t) => {
    const { alice, browser, service, gateway } = await loggedIn(t);
    for (const purpose of ['prefetch', 'prefetch;prerender', 'prefetch;anonymous-client-ip', 'else', '']) {
      for (const site of ['none', 'same-site', 'cross-site']) {
        const headers = { ...NAVIGATION, 'sec-fetch-site': site, 'sec-purpose': purpose };
        t.equal((await alice.ask(WEB, '/x', { headers })).status, 403, `${site} ${purpose}`);
        for (const path of ['/.daypass/begin', '/.daypass/enter?code=x'])
          t.equal((await alice.ask(WEB, path, { headers })).status, 404, 'no session is replaced');
        const way = `/handover?service=web&bind=${'A'.repeat(43)}`;
        t.equal((await alice.ask('localhost', way, { headers })).status, 404, 'and no code made');
        t.equal((await browser().ask(WEB, '/x', { headers })).status, 401, 'nor a login begun');
      }
    }
    t.same(service.seen, []);
    t.match(await gateway.ledger.query('select count(*)::int as n from daypass.handovers'), [{ n: 1 }]);
    const own = { 'sec-fetch-site': 'same-origin', 'sec-purpose': 'prefetch' };
    t.equal((await alice.ask(WEB, '/x', { headers: own })).status, 200, 'a page may load its own ahead');
  },
);

t.test('D29: a WebSocket with a login opens for pages of its own host alone', async (t) => {
  const { alice, own, gateway } = await loggedIn(t);
  for (const origin of [undefined, ...foreignOrigins(own)])
    t.equal(await openingOf(t, alice.socket(WEB, '/live', origin)), 403, `${origin}`);
  for (const site of ['same-site', 'cross-site', 'none'])
    t.equal(await openingOf(t, alice.socket(WEB, '/live', own, { 'sec-fetch-site': site })), 403, site);
  t.equal(await openingOf(t, alice.socket(WEB, '/live', own)), 101);
  t.equal(await openingOf(t, alice.socket(WEB, '/live', own, { 'sec-fetch-site': 'same-origin' })), 101);
  const { handle } = await gateway.issue({ service: 'web' });
  const tool = alice.socket(WEB, '/live', 'https://evil.test', { cookie: '', 'daypass-handle': handle });
  t.equal(await openingOf(t, tool), 101, 'a handle in a header is no cookie: nothing of it is asked');
});

t.test('D29: nobody but the gateway’s own pages logs a browser in or out', async (t) => {
  const { gateway, alice, own } = await loggedIn(t);
  const home = own.replace('web.', '');
  const code = await linkFor(gateway, 'mallory');
  const foreign: Record<string, string>[] = [
    {},
    { 'sec-fetch-site': 'same-site', origin: own },
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' },
    { 'sec-fetch-site': 'none' },
    { origin: own },
    { origin: 'null' },
    { origin: `${home}/` },
    { 'sec-fetch-site': 'same-site', origin: home },
  ];
  for (const headers of foreign) {
    for (const path of ['/logout', '/login']) {
      const length = { 'content-length': String(code.length + 5) };
      const answer = await alice.ask('localhost', path, {
        method: 'POST',
        headers: { ...headers, ...length },
        body: `code=${code}`,
      });
      t.equal(answer.status, 403, `${path} ${JSON.stringify(headers)}`);
      t.equal(answer.headers['set-cookie'], undefined);
    }
  }
  t.match((await alice.visit('localhost', '/')).body, /Logged in as alice/);
  t.equal((await alice.ask('localhost', '/logout', { headers: NAVIGATION })).status, 405, 'a link logs nobody out');
  t.equal((await alice.visit(WEB, '/')).status, 200);
  t.equal((await alice.logOut()).status, 303);
});
