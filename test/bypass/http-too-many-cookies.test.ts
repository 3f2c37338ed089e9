import t from 'tap';
import { linkFor, NAVIGATION, startBrowsing } from '../http/browser/fixture.js';
import { raw } from '../http/gateway.js';

const WEB = 'web.localhost';
const FORGET = '/.daypass/forget';
const LARGE = { cookie: Array.from({ length: 180 }, (_, at) => `large${at}=${'x'.repeat(4_080)}`).join('; ') };
const pathOf = (address: string) => address.replace(/^http:\/\/[^/]+/, '');

t.test('A16: a code that too many cookies kept from being used is used up, before anybody reads of it', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const unused = async () => (await gateway.ledger.query('select from daypass.handovers where used_at is null')).length;
  const codeFor = async () => {
    const begun = await alice.ask(WEB, '/', { headers: NAVIGATION });
    return pathOf((await alice.ask('localhost', pathOf(begun.location), { headers: NAVIGATION })).location);
  };
  for (const way of ['', '&code=x', '&y=z']) {
    const code = await codeFor();
    t.equal(await unused(), 1);
    const refused = await alice.ask(WEB, code + way, { headers: { ...LARGE, ...NAVIGATION } });
    t.equal(refused.status, 431);
    t.match(refused.headers, { 'referrer-policy': 'no-referrer', 'content-security-policy': /; sandbox$/ });
    t.equal(await unused(), 0, way);
  }
  const three = [await codeFor(), await codeFor(), await codeFor()].map((path) => path.split('code=')[1]);
  await alice.ask(WEB, `/.daypass/enter?code=${three.join('&code=')}`, { headers: { ...LARGE, ...NAVIGATION } });
  t.equal(await unused(), 1, 'nobody has the ledger asked about as many as fit');
  await gateway.ledger.query('update daypass.handovers set used_at = now()');
  // By itself it would be read by nobody; and its first line alone may be all that is read of it.
  const code = await codeFor();
  const bytes = `GET ${code} HTTP/1.1\r\nHost: ${WEB}:${gateway.ports.http}\r\nCookie: ${LARGE.cookie}\r\n\r\n`;
  t.match(await raw(t, gateway.ports.http, bytes).ended, /^HTTP\/1\.1 431 /);
  t.equal(await unused(), 0);
});

t.test('A8: of a request whose head is too long nothing but what deletes cookies is answered', async (t) => {
  const { gateway, service, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  const asked = { ...NAVIGATION, ...LARGE };
  for (const host of ['localhost', WEB]) {
    for (const path of ['/', '/login', '/handover', '/.daypass/begin', '/logout', '/api/v1/me']) {
      const { status, headers } = await alice.ask(host, path, { headers: asked });
      t.same([status, headers['set-cookie'], headers.location], [431, undefined, undefined], `${host} ${path}`);
    }
    const { body } = await alice.ask(host, '/', { headers: asked });
    t.match(body, `<a href="${FORGET}">`, 'a person is shown the way');
    t.match((await alice.ask(host, '/', { headers: LARGE })).headers['content-type'], 'application/problem+json');
  }
  t.equal((await alice.ask('evil.test', FORGET, { headers: asked })).status, 421);
  const { handle } = await gateway.issue({ service: 'web' });
  const tool = { 'daypass-handle': handle, ...LARGE };
  for (const method of ['GET', 'POST', 'OPTIONS'])
    t.equal((await alice.ask(WEB, '/x', { method, headers: tool })).status, 431);
  const opening = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
  const live = `GET /live HTTP/1.1\r\nHost: ${WEB}\r\n${opening}Daypass-Handle: ${handle}\r\nCookie: ${LARGE.cookie}\r\n\r\n`;
  t.match(await raw(t, gateway.ports.http, live).ended, /^HTTP\/1\.1 431 /);
  // What stands behind is not read as another request, wherever the first one is cut.
  const hidden = `GET ${FORGET} HTTP/1.1\r\nHost: ${WEB}\r\nCookie: ${LARGE.cookie}\r\n\r\nGET /hidden HTTP/1.1\r\nHost: ${WEB}\r\nDaypass-Handle: ${handle}\r\n\r\n`;
  t.equal((await raw(t, gateway.ports.http, hidden).ended).match(/HTTP\/1\.1 /g)?.length, 1);
  t.same(service.seen, []);
});

t.test('D29: cookies are deleted on the word of the gateway’s own page alone, never by a service’s', async (t) => {
  const { gateway, service, browser } = await startBrowsing(t);
  const alice = browser();
  const home = `localhost:${gateway.ports.http}`;
  const from = (host: string) => ({ ...NAVIGATION, 'sec-fetch-site': 'same-origin', origin: `http://${host}` });
  const foreign: Record<string, string>[] = [
    {},
    from('evil.test'),
    from(`web.${home}`),
    { ...from(home), 'sec-fetch-site': 'same-site' },
    { ...from(home), 'sec-fetch-site': 'none' },
    { origin: 'null' },
  ];
  for (const cookie of [{}, LARGE]) {
    const ask = (host: string, method: string, headers: Record<string, string>) =>
      alice.ask(host, FORGET, { method, headers: { ...headers, ...cookie } });
    for (const headers of foreign) {
      const refused = await ask('localhost', 'POST', headers);
      t.same([refused.status, refused.headers['clear-site-data']], [403, undefined], JSON.stringify(headers));
    }
    const page = await ask('localhost', 'GET', NAVIGATION);
    t.match(page.body, `<form method="post" action="${FORGET}">`);
    t.equal(page.headers['clear-site-data'], undefined, 'a look deletes nothing');
    t.match(page.headers['content-security-policy'], "frame-ancestors 'none'");
    t.equal((await ask('localhost', 'PUT', from(home))).status, 405);
    const done = await ask('localhost', 'POST', from(home));
    t.match(done, { status: 200, headers: { 'clear-site-data': '"cookies"' } });
    for (const headers of [...foreign, from(home)]) {
      const led = await ask(WEB, 'GET', headers);
      t.same([led.location, led.headers['clear-site-data']], [`http://${home}${FORGET}`, undefined]);
      const posted = await ask(WEB, 'POST', headers);
      t.same([posted.status, posted.headers['clear-site-data']], [405, undefined]);
    }
  }
  t.same(service.seen, []);
});
