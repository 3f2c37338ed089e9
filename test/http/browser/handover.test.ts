import { once } from 'node:events';
import t from 'tap';
import { gatewayToOrders } from '../../postgres/fixture.js';
import { waitUntil } from '../../support/wait.js';
import { raw } from '../gateway.js';
import { linkFor, NAVIGATION, openingOf, SAME_ORIGIN, startBrowsing, TestBrowser } from './fixture.js';

const WEB = 'web.localhost';

t.test('a browser with a login comes to the page it wanted, and its requests are those of its grant', async (t) => {
  const { gateway, service, browser } = await startBrowsing(t);
  const { id } = await gateway.issue({ service: 'web' });
  const alice = browser();
  const first = await alice.visit(WEB, '/orders/7?x=1');
  t.equal(first.status, 401, 'nobody is logged in yet');
  t.match(first.body, /To open web, log in\..*login link/s);
  t.match(first.way[1], /^http:\/\/localhost:\d+\/handover\?service=web&bind=[\w-]{43}$/);
  t.equal((await alice.logIn(await linkFor(gateway))).status, 303);
  const page = await alice.visit(WEB, '/orders/7?x=1');
  t.equal(page.status, 200);
  t.match(page.way.at(-1), /^http:\/\/web\.localhost:\d+\/orders\/7\?x=1$/);
  t.same(service.seen, ['GET /orders/7?x=1'], 'nothing of the way reached the service');
  t.notOk(JSON.parse(page.body).cookie, 'nor did the cookie');
  t.equal(
    (await alice.ask(WEB, '/more', { headers: { ...NAVIGATION, cookie: `${alice.cookies(WEB)}; a=b` } })).status,
    200,
  );
  const sessions = await gateway.ledger.query('select grant_id, principal from daypass.sessions');
  t.same(sessions, [{ grant_id: id, principal: 'alice' }], 'one session for the browser');
  const open = (await gateway.events()).find(({ kind }) => kind === 'open');
  t.match(open?.facts.browser, /^[0-9a-f-]{36}$/, 'the record says that it was a browser');
});

t.test('the cookies are host-only, and out of reach of scripts', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  const login = await alice.logIn(await linkFor(gateway));
  const begun = await alice.ask(WEB, '/', { headers: NAVIGATION });
  const code = (await alice.ask('localhost', begun.location.replace(/^http:\/\/[^/]+/, ''), { headers: NAVIGATION }))
    .location;
  const entered = await alice.ask(WEB, code.replace(/^http:\/\/[^/]+/, ''), { headers: NAVIGATION });
  for (const answer of [login, begun, entered]) {
    const set = answer.headers['set-cookie'] ?? [];
    t.ok(set.length > 0);
    for (const cookie of set) {
      t.match(cookie, /^__Host-(?:daypass|dp-state-[\w-]{8})=/);
      for (const wanted of ['Path=/', 'Secure', 'HttpOnly', 'SameSite=Lax']) t.match(cookie, `; ${wanted}`);
      t.notMatch(cookie, /domain/i);
    }
    t.equal(answer.headers['cache-control'], 'no-store');
  }
  for (const answer of [begun, entered]) t.equal(answer.headers['referrer-policy'], 'no-referrer');
  const lasts = Number(/Max-Age=(\d+)/.exec(login.headers['set-cookie']?.[0] ?? '')?.[1]);
  t.ok(lasts > 43_000 && lasts <= 43_200, 'twelve hours at most');
});

t.test('the page shows who is logged in and what is open to them', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const alice = browser();
  t.match((await alice.visit('localhost', '/')).body, /Not logged in/);
  await gateway.issue({ service: 'web' });
  await gateway.issue({ service: 'shop', principal: 'bob' });
  await alice.logIn(await linkFor(gateway));
  const home = await alice.visit('localhost', '/');
  t.match(home.body, /Logged in as alice/);
  t.match(home.body, `http://web.localhost:${gateway.ports.http}/.daypass/begin`);
  t.notMatch(home.body, 'shop', 'what others may do is not shown');
  t.equal((await alice.visit(WEB, '/.daypass/begin')).status, 200, 'and the link there leads in');
  const login = await alice.ask('localhost', '/login', { headers: NAVIGATION });
  t.match(login.headers['content-security-policy'], /default-src 'none'.*script-src 'sha256-/);
  const tool = await alice.ask('localhost', '/', { headers: { accept: '*/*', cookie: '' } });
  t.equal(tool.status, 404, 'tools are told what they always were');
});

t.test('somebody without a grant is told so, and a newer grant takes the place of one that ended', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  await gateway.issue({ service: 'web', principal: 'bob' });
  const none = await alice.visit(WEB, '/');
  t.equal(none.status, 403);
  t.match(none.body, /no access to web/);
  const { id } = await gateway.issue({ service: 'web' });
  t.equal((await alice.visit(WEB, '/')).status, 200);
  await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'done', by: 'ops' });
  // The answer says that it is revoked; what is live hears of it a moment later.
  await waitUntil('it is cut', async () => (await gateway.operator('GET', '/v1/status')).body.liveSessions === 0);
  const script = await alice.ask(WEB, '/data', { headers: SAME_ORIGIN });
  t.equal(script.status, 401, 'what is no navigation is not led anywhere');
  t.equal((await alice.visit(WEB, '/')).status, 403);
  await gateway.issue({ service: 'web' });
  t.equal((await alice.visit(WEB, '/')).status, 200);
});

t.test('of several grants for a service the newest counts', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  await new Promise((resolve) => setTimeout(resolve, 1_100)); // grants are issued at whole seconds
  const { id } = await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  await alice.visit(WEB, '/');
  t.same(await gateway.ledger.query('select grant_id from daypass.sessions'), [{ grant_id: id }]);
});

t.test('of several grants the page leads to the one that its line names, and to nobody else’s', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const older = await gateway.issue({ service: 'web' });
  const bobs = await gateway.issue({ service: 'web', principal: 'bob' });
  await new Promise((resolve) => setTimeout(resolve, 1_100)); // grants are issued at whole seconds
  const newer = await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const { body } = await alice.visit('localhost', '/');
  const links = [...body.matchAll(/href="http:\/\/web\.localhost:\d+(\/[^"]+)"/g)].map(([, path = '']) => path);
  t.same(
    links,
    [newer, older].map(({ id }) => `/.daypass/begin?grant=${id}`),
  );
  for (const path of [...links, `/.daypass/begin?grant=${bobs.id}`])
    t.equal((await alice.visit(WEB, path)).status, 200);
  const held = 'select grant_id from daypass.sessions order by id';
  t.same(
    (await gateway.ledger.query(held)).map(({ grant_id: id }) => id),
    [newer.id, older.id, newer.id],
    'of a grant that is not hers her own newest is taken',
  );
  await gateway.operator('POST', `/v1/grants/${older.id}/suspend`, { reason: 'a question', by: 'ops' });
  t.equal((await alice.visit(WEB, `/.daypass/begin?grant=${older.id}`)).status, 200);
});

t.test(
  'who is handed over again keeps what is open in other tabs; a newer grant or login gives a new secret',
  async (t) => {
    const { gateway, browser } = await startBrowsing(t);
    await gateway.issue({ service: 'web' });
    const alice = browser();
    await alice.logIn(await linkFor(gateway));
    await alice.visit(WEB, '/');
    const socket = alice.socket(WEB, '/live', `http://${WEB}:${gateway.ports.http}`);
    t.equal(await openingOf(t, socket), 101);
    const left = once(socket, 'close');
    const first = alice.cookies(WEB);
    t.equal((await alice.visit(WEB, '/.daypass/begin')).status, 200);
    t.equal(alice.cookies(WEB), first);
    socket.ping();
    const heard = once(socket, 'pong').then(() => 'open still');
    t.equal(await Promise.race([heard, left.then(([code, reason]) => `${code} ${reason}`)]), 'open still');

    const worthless = async (before: string) => {
      t.not(alice.cookies(WEB), before);
      const old = new TestBrowser(gateway.ports.http).ask(WEB, '/', { headers: { cookie: before } });
      t.equal((await old).status, 401);
      t.equal((await alice.ask(WEB, '/', { headers: NAVIGATION })).status, 200);
    };
    await new Promise((resolve) => setTimeout(resolve, 1_100)); // grants are issued at whole seconds
    await gateway.issue({ service: 'web' });
    await alice.visit(WEB, '/.daypass/begin');
    await worthless(first);
    const [code, reason] = await left;
    t.match([code, String(reason)], [4001, /opened the service anew/]);
    const ends = "select count(*)::int as n from daypass.sessions where end_reason = 'replaced'";
    t.same(await gateway.ledger.query(ends), [{ n: 1 }], 'and nobody is said to have logged out');
    const second = alice.cookies(WEB);
    const login = alice.cookies('localhost');
    await alice.logIn(await linkFor(gateway));
    await alice.visit(WEB, '/.daypass/begin');
    await worthless(second);
    t.not(alice.cookies('localhost'), login);
    const old = await alice.ask('localhost', '/', { headers: { ...NAVIGATION, cookie: login } });
    t.match(old.body, /Not logged in/, 'the same holds for logins');
  },
);

t.test('a page whose session ends under it, as another tab enters, is asked for again and comes', async (t) => {
  const { gateway, service, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  await alice.visit(WEB, '/');
  const page = alice.visit(WEB, '/slow');
  await waitUntil('the page is under way', () => service.seen.includes('GET /slow'));
  await new Promise((resolve) => setTimeout(resolve, 1_100)); // grants are issued at whole seconds
  await gateway.issue({ service: 'web' });
  t.equal((await alice.visit(WEB, '/.daypass/begin')).status, 200);
  const { status, way } = await page;
  t.equal(status, 200);
  t.same(
    way.map((one) => new URL(one).pathname),
    ['/slow', '/slow'],
  );
});

t.test('logging out ends every login of the person, live WebSockets too, and nobody else’s', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  await gateway.issue({ service: 'web', principal: 'bob' });
  const [one, two, bob] = [browser(), browser(), browser()];
  const sockets = [];
  for (const [who, name] of [
    [one, 'alice'],
    [two, 'alice'],
    [bob, 'bob'],
  ] as const) {
    await who.logIn(await linkFor(gateway, name));
    t.equal((await who.visit(WEB, '/')).status, 200);
    const socket = who.socket(WEB, '/live', `http://${WEB}:${gateway.ports.http}`);
    t.equal(await openingOf(t, socket), 101);
    sockets.push(socket);
  }
  const unused = await linkFor(gateway);
  const closes = sockets.slice(0, 2).map((socket) => once(socket, 'close'));
  t.equal((await one.logOut()).status, 303);
  for (const [code, reason] of await Promise.all(closes)) {
    t.equal(code, 4001);
    t.match(String(reason), /logged out/);
  }
  for (const who of [one, two]) t.equal((await who.ask(WEB, '/', { headers: SAME_ORIGIN })).status, 401, 'at once');
  t.match((await two.visit('localhost', '/')).body, /Not logged in/);
  t.equal((await two.logIn(unused)).status, 401, 'a link that was not used yet is taken back');
  t.equal(sockets[2]?.readyState, 1);
  t.equal((await bob.ask(WEB, '/', { headers: SAME_ORIGIN })).status, 200);
  const acts = await gateway.ledger.query(
    `select act, by from daypass.login_acts where principal = 'alice' order by seq`,
  );
  t.same(
    acts.map(({ act, by }) => `${act} by ${by}`),
    ['link by ops', 'login by alice', 'link by ops', 'login by alice', 'link by ops', 'logout by alice'],
  );
  const left = once(sockets[2]!, 'close');
  const out = await gateway.operator('POST', '/v1/logouts', { principal: 'bob', reason: 'left', by: 'ops' });
  t.match(out, { status: 200, body: { principal: 'bob', logins: 1 } });
  await left;
});

t.test('tabs that are opened at once come in each where it wanted to go, in whatever order', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const pathOf = (address: string) => address.replace(/^http:\/\/[^/]+/, '');
  const codes = new Map<string, string>();
  for (const target of ['/one?a=1', '/two', '/three']) {
    const begun = await alice.ask(WEB, target, { headers: NAVIGATION });
    const handed = await alice.ask('localhost', pathOf(begun.location), { headers: NAVIGATION });
    codes.set(target, pathOf(handed.location));
  }
  for (const target of ['/two', '/three', '/one?a=1']) {
    const entered = await alice.ask(WEB, codes.get(target) ?? '', { headers: NAVIGATION });
    t.equal(pathOf(entered.location), target);
    t.equal((await alice.ask(WEB, target, { headers: NAVIGATION })).status, 200);
  }
  t.notMatch(alice.cookies(WEB), /dp-state/, 'nothing is left of the way');
});

t.test('what tabs keep on their way stays small: the oldest goes', async (t) => {
  const { browser } = await startBrowsing(t);
  const alice = browser();
  const sizes: number[] = [];
  for (let number = 0; number < 30; number += 1) {
    const { status } = await alice.ask(WEB, `/${number}?${'q'.repeat(900)}`, { headers: NAVIGATION });
    t.equal(status, 303);
    sizes.push(alice.cookies(WEB).length);
  }
  t.ok(Math.max(...sizes) < 7_000, sizes.join());
  const newest = Buffer.from(alice.cookies(WEB).split('.').at(-1) ?? '', 'base64url').toString();
  t.match(newest, /^\/29\?/);
});

const pathOf = (address: string) => address.replace(/^http:\/\/[^/]+/, '');

/** Opens these pages in as many tabs at once, and answers where each of them came in. */
async function tabsAtOnce(t: Parameters<typeof startBrowsing>[0], targets: readonly string[]) {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const begun = await Promise.all(targets.map((target) => alice.ask(WEB, target, { headers: NAVIGATION })));
  t.ok(begun.every(({ status }) => status === 303));
  const most = alice.cookies(WEB).length;
  const pages: string[] = [];
  for (const { location } of begun) {
    const { location: code } = await alice.ask('localhost', pathOf(location), { headers: NAVIGATION });
    const page = await alice.visit(WEB, pathOf(code));
    t.equal(page.status, 200);
    pages.push(pathOf(page.way.at(-1) ?? ''));
  }
  t.notMatch(alice.cookies(WEB), /dp-state/, 'nothing is left of the way');
  return { most, pages };
}

t.test('thirty tabs with long addresses that are opened at once lock nobody out: each comes in', async (t) => {
  const targets = Array.from({ length: 30 }, (_, n) => `/${n}/`.padEnd(1_000, 'x'));
  const { most, pages } = await tabsAtOnce(t, targets);
  t.ok(most < 12_000, `${most} bytes of cookies leave room in a head of 16 KiB`);
  const elsewhere = pages.filter((page, n) => page !== targets[n]);
  t.same(new Set(elsewhere), new Set(['/']), 'those whose address found no room at the first page');
  t.equal(elsewhere.length, 24);
});

t.test('some tabs with long addresses, and any with short ones, come in where they wanted to go', async (t) => {
  const long = Array.from({ length: 5 }, (_, n) => `/long/${n}?`.padEnd(900, 'y'));
  const short = Array.from({ length: 30 }, (_, n) => `/short/${n}?${'z'.repeat(60)}`);
  const { most, pages } = await tabsAtOnce(t, [...long, ...short]);
  t.ok(most < 14_000, `${most} bytes of cookies`);
  t.ok(pages.every((page, n) => page === [...long, ...short][n]));
});

t.test('whoever waits for a word before they send a form or an object is given it', async (t) => {
  const { gateway } = await startBrowsing(t);
  const own = `Host: localhost:${gateway.ports.http}\r\nExpect: 100-continue\r\nConnection: close\r\n`;
  const asked: readonly (readonly [path: string, body: string, headers: string, answer: RegExp])[] = [
    ['/login', `code=${await linkFor(gateway)}`, 'Sec-Fetch-Site: same-origin\r\n', /^HTTP\/1\.1 303 /m],
    [
      '/api/v1/tokens',
      '{"code":"x","verifier":"y"}',
      'Content-Type: application/json\r\n',
      /^HTTP\/1\.1 400 [\s\S]*code_over/m,
    ],
  ];
  for (const [path, body, headers, answer] of asked) {
    const client = raw(
      t,
      gateway.ports.http,
      `POST ${path} HTTP/1.1\r\n${own}${headers}Content-Length: ${body.length}\r\n\r\n`,
    );
    await client.sees(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    client.socket.write(body);
    t.match(await client.ended, answer, path);
  }
});

t.test('one person is not handed over without end, since each time leaves a row in the ledger', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  for (const principal of ['alice', 'bob']) await gateway.issue({ service: 'web', principal });
  const [alice, bob] = [browser(), browser()];
  await alice.logIn(await linkFor(gateway));
  await bob.logIn(await linkFor(gateway, 'bob'));
  const way = `/handover?service=web&bind=${'A'.repeat(43)}`;
  const hand = (who: typeof alice) => who.ask('localhost', way, { headers: NAVIGATION });
  let last = await hand(alice);
  for (let times = 1; last.status === 303 && times < 2_000; times += 1) last = await hand(alice);
  t.match(last, { status: 429, headers: { 'retry-after': /^[1-9]/ }, body: /opened services too often/ });
  t.equal((await hand(bob)).status, 303);
});

t.test(
  'what somebody has of a database stands on their page, and how it is reached; at its host nothing is',
  async (t) => {
    const gateway = await gatewayToOrders(t);
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const alice = new TestBrowser(gateway.ports.http);
    await alice.logIn(await linkFor(gateway));
    const { body } = await alice.visit('localhost', '/');
    t.match(body, /<p>orders-db as reader, until [^<]*: <code>daypass connect orders-db<\/code><\/p>/);
    t.match(await alice.visit('orders-db.localhost', '/'), {
      status: 421,
      body: /no service named .*orders-db.* here/,
    });
    const told = await alice.ask('orders-db.localhost', '/', { headers: { 'daypass-handle': handle } });
    t.match(told, { status: 421, body: /orders-db is reached by postgres, not by http/ });
  },
);

t.test(
  'what a page sends when its cookie is over, and gone from the browser, is said not to have reached the service',
  async (t) => {
    const { gateway, service, browser } = await startBrowsing(t);
    await gateway.issue({ service: 'web' });
    const own = `http://${WEB}:${gateway.ports.http}`;
    const form = { ...NAVIGATION, 'sec-fetch-site': 'same-origin', origin: own };
    const posted = await browser().ask(WEB, '/done', { method: 'POST', headers: form });
    t.equal(posted.status, 401);
    t.match(posted.body, 'What you sent did not reach the service.');
    const old = { accept: NAVIGATION.accept, origin: own };
    t.match((await browser().ask(WEB, '/done', { method: 'POST', headers: old })).body, 'What you sent did not reach');
    t.match((await browser().ask(WEB, '/data', { headers: SAME_ORIGIN })).body, 'You are not logged in here.');
    const elsewhere = { ...form, 'sec-fetch-site': 'cross-site', origin: 'https://id.example.com' };
    const foreign = await browser().ask(WEB, '/saml', { method: 'POST', headers: elsewhere });
    t.equal(foreign.status, 401, 'another site has a browser post');
    t.match(foreign.body, /A page of another site had your browser send this.*It did not reach the service/);
    t.match((await browser().ask(WEB, '/')).body, 'no handle was presented', 'and tools are told what they lack');
    t.same(service.seen, []);
  },
);
