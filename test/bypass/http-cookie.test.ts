import { once } from 'node:events';
import t from 'tap';
import { linkFor, NAVIGATION, openingOf, SAME_ORIGIN, startBrowsing, TestBrowser } from '../http/browser/fixture.js';

const WEB = 'web.localhost';

async function loggedIn(t: Parameters<typeof startBrowsing>[0], options: Parameters<typeof startBrowsing>[1] = {}) {
  const all = await startBrowsing(t, options);
  for (const service of ['web', 'shop']) await all.gateway.issue({ service });
  const alice = all.browser();
  await alice.logIn(await linkFor(all.gateway));
  await alice.visit(WEB, '/');
  all.service.seen.length = 0;
  const [cookie = ''] = /__Host-daypass=[\w-]{43}/.exec(alice.cookies(WEB)) ?? [];
  return { ...all, alice, cookie };
}

t.test('A3: a cookie that somebody else set under our name is refused, or nobody’s', async (t) => {
  const { alice, cookie, service } = await loggedIn(t);
  const evil = '__Host-daypass=evil';
  const refused = [
    `${cookie}; ${evil}`,
    `${evil}; ${cookie}`,
    `${cookie}; ${cookie}`,
    `${cookie};${evil}`,
    `a=1; __Host-daypass =evil; ${cookie}`,
  ];
  for (const sent of refused)
    t.equal((await alice.ask(WEB, '/', { headers: { ...NAVIGATION, cookie: sent } })).status, 400, sent);
  const secret = cookie.split('=')[1] ?? '';
  const nobodys = [
    evil,
    '__Host-daypass=',
    '__Host-daypass',
    `__host-daypass=${secret}`,
    `__Secure-daypass=${secret}`,
    `daypass=${secret}`,
    `__Host-daypass="${secret}"`,
    `__Host-daypass=${secret}x`,
    `__Host-daypass=${secret}%00`,
    `a="b, __Host-daypass=${secret}`,
  ];
  for (const sent of nobodys)
    t.equal((await alice.ask(WEB, '/', { headers: { ...SAME_ORIGIN, cookie: sent } })).status, 401, sent);
  t.equal(
    (await alice.ask(WEB, '/', { headers: { ...SAME_ORIGIN, cookie: `${cookie}; __host-daypass=evil` } })).status,
    200,
  );
  t.same(service.seen, ['GET /']);
});

/** What browsers do not take for a blank, and programs do: before a name, it hides `__Host-` from browsers alone. */
const BLANKS = ['\u00a0', '\u0085', '\u00e2\u0080\u0080', '\u00c2\u00a0', '\u00ef\u00bb\u00bf', '\u00a0 '];

t.test('A3: what a sibling hides from browsers behind a blank that is none is not our cookie', async (t) => {
  const { alice, browser, cookie, service, gateway } = await loggedIn(t);
  const mallory = browser();
  await gateway.issue({ service: 'web', principal: 'mallory' });
  await mallory.logIn(await linkFor(gateway, 'mallory'));
  const begun = await mallory.ask(WEB, '/', { headers: NAVIGATION });
  for (const blank of BLANKS) {
    const posing = (held: string) => ({ ...NAVIGATION, cookie: `a=1; ${blank}${held}` });
    const home = await mallory.ask('localhost', '/', { headers: posing(mallory.cookies('localhost')) });
    t.match(home.body, 'Not logged in', 'nobody is logged in as somebody else');
    const beside = `${alice.cookies('localhost')}; ${blank}__Host-daypass=evil`;
    t.match(
      (await alice.ask('localhost', '/', { headers: { ...NAVIGATION, cookie: beside } })).body,
      'Logged in as alice',
    );
    t.equal((await alice.ask(WEB, '/', { headers: { ...posing(cookie), ...SAME_ORIGIN } })).status, 401);
    const handed = await mallory.ask('localhost', begun.location.replace(/^http:\/\/[^/]+/, ''), {
      headers: NAVIGATION,
    });
    const entry = handed.location.replace(/^http:\/\/[^/]+/, '');
    t.equal(
      (await mallory.ask(WEB, entry, { headers: posing(mallory.cookies(WEB)) })).status,
      400,
      'nor brought along',
    );
    const sent = `${blank}__Host-daypass=x; b=2; ${blank}__Secure-own=x; ${blank}__HOST-own=x; __Host-own=1; ${blank}c=3; ${cookie}`;
    const own = await alice.ask(WEB, '/', { headers: { ...SAME_ORIGIN, cookie: sent } });
    t.equal(Buffer.from(JSON.parse(own.body).cookie, 'utf8').toString('utf8'), `b=2; __Host-own=1; ${blank}c=3`);
  }
  t.equal(service.seen.length, BLANKS.length);
});

t.test('A3: a session counts at its own service alone, and a login at none', async (t) => {
  const { alice, cookie, service } = await loggedIn(t);
  const login = alice.cookies('localhost');
  for (const [host, sent] of [
    ['shop.localhost', cookie],
    [WEB, login],
  ] as const)
    t.equal((await alice.ask(host, '/', { headers: { ...SAME_ORIGIN, cookie: sent } })).status, 401);
  const home = await alice.ask('localhost', '/', { headers: { ...NAVIGATION, cookie } });
  t.match(home.body, /Not logged in/, "a service's session is no login");
  t.same(service.seen, []);
});

t.test('A3, A16: a service sees neither cookie, in no spelling, and sets none under our names', async (t) => {
  const ours = [
    '__Host-daypass=evil; Path=/; Secure',
    '__host-DAYPASS=evil',
    '=__Host-daypass=evil',
    ' __Host-dp-state=evil',
    '__Host-dp-state-a b=evil; Path=/; Secure',
    '__Host-dp-state-\u00a0=evil; Path=/; Secure',
    '__Host-daypass',
  ];
  const { gateway, alice, cookie } = await loggedIn(t, {
    setCookies: ['own=1; Path=/', ...ours, '__Host-daypass-of-the-service=1'],
  });
  const sent = `a=1; ${cookie}; __host-daypass=x; __Host-dp-state=y;__HOST-DP-STATE=z; __Host-dp-state-\u00a0=u; __Host-dp-state-a b=v; b=2`;
  const answer = await alice.ask(WEB, '/', { headers: { ...SAME_ORIGIN, cookie: sent } });
  t.equal(JSON.parse(answer.body).cookie, 'a=1; b=2');
  t.same(answer.headers['set-cookie'], ['own=1; Path=/', '__Host-daypass-of-the-service=1']);
  t.equal(answer.headers['clear-site-data'], undefined, 'it would clear the cookies of siblings');
  t.equal(answer.headers.nel, undefined, 'it would have every address reported, those with a code, too');
  const { handle } = await gateway.issue({ service: 'web' });
  const tool = new TestBrowser(gateway.ports.http);
  const byHandle = await tool.ask(WEB, '/', { headers: { 'daypass-handle': handle, cookie: sent } });
  t.equal(JSON.parse(byHandle.body).cookie, 'a=1; b=2', 'nor does it with a handle');
  const socket = alice.socket(WEB, '/live', `http://${WEB}:${gateway.ports.http}`, { cookie: sent });
  const [said] = await Promise.all([once(socket, 'message'), openingOf(t, socket)]);
  t.equal(JSON.parse(String(said[0])).cookie, 'a=1; b=2');
});

t.test('A1: what is under /.daypass reaches no service, however it is spelled and whoever asks', async (t) => {
  const { gateway, service } = await loggedIn(t);
  const { handle } = await gateway.issue({ service: 'web' });
  const tool = new TestBrowser(gateway.ports.http);
  const paths = [
    '/.daypass',
    '/.daypass/',
    '/.daypass/enter',
    '/.daypass/x',
    '/%2edaypass/x',
    '/.%64aypass/x',
    '/%2E%64%61ypass/enter?code=x',
  ];
  for (const path of paths) {
    for (const method of ['GET', 'POST', 'OPTIONS'])
      t.not((await tool.ask(WEB, path, { method, headers: { 'daypass-handle': handle } })).status, 200, path);
    t.equal(await openingOf(t, tool.socket(WEB, path, undefined, { 'daypass-handle': handle, cookie: '' })), 404, path);
  }
  t.same(service.seen, []);
});

t.test('A13: whoever logs in where somebody else was acts as themselves at once', async (t) => {
  const { gateway, alice: browser, service } = await loggedIn(t);
  await gateway.issue({ service: 'web', principal: 'bob' });
  const socket = browser.socket(WEB, '/live', `http://${WEB}:${gateway.ports.http}`);
  const closed = once(socket, 'close');
  t.equal(await openingOf(t, socket), 101);
  await browser.logIn(await linkFor(gateway, 'bob'));
  await closed;
  t.equal((await browser.ask(WEB, '/', { headers: SAME_ORIGIN })).status, 401, 'what alice had opened is over');
  t.equal((await browser.visit(WEB, '/as-bob')).status, 200);
  t.notOk(service.seen.includes('GET /'));
  const [event] = (await gateway.events()).filter(({ payload }) => JSON.stringify(payload).includes('/as-bob'));
  t.match(await gateway.ledger.query(`select principal from daypass.sessions where id = '${event?.session}'`), [
    { principal: 'bob' },
  ]);
});

t.test('A13: a session whose grant is another person’s opens nothing', async (t) => {
  const { gateway, alice, service } = await loggedIn(t);
  const { id } = await gateway.issue({ service: 'web', principal: 'bob' });
  await gateway.ledger.query(`update daypass.browser_sessions set grant_id = '${id}'`);
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  t.equal((await alice.ask(WEB, '/', { headers: SAME_ORIGIN })).status, 401);
  t.same(service.seen, []);
});
