import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { NAVIGATION, SAME_ORIGIN, startBrowsing, TestBrowser } from '../http/browser/fixture.js';
import { TestAuthenticator } from '../identity/authenticator.js';
import type { TestGateway } from '../support/gateway.js';
import { startProxy } from '../support/passing-proxy.js';

const DANA = { subject: 'dana', name: 'Dana', kind: 'employee', by: 'ops' };

async function invited(gateway: TestGateway, asked: object = DANA): Promise<string> {
  const { body } = await gateway.operator('POST', '/v1/invitations', asked);
  return String(body.url).split('#')[1] ?? '';
}

function post(browser: TestBrowser, path: string, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const sent = {
    ...{
      'content-type': 'application/json',
      accept: 'application/json',
      'content-length': `${Buffer.byteLength(text)}`,
    },
    ...{ ...SAME_ORIGIN, origin: `http://localhost:${browser.port}`, ...headers },
  };
  return browser.ask('localhost', path, { method: 'POST', headers: sent, body: text });
}

/** Makes the first passkey over HTTP. */
async function join(browser: TestBrowser, secret: string) {
  const authenticator = new TestAuthenticator(`http://localhost:${browser.port}`);
  const { options } = JSON.parse((await post(browser, '/invite/begin', { secret })).body);
  const answer = authenticator.create(options);
  return { authenticator, joined: await post(browser, '/invite/finish', { secret, answer }) };
}

t.test('passkeys over HTTP: cookies of the own host alone, and answers that nobody stores', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const dana = browser();
  const secret = await invited(gateway);
  const shown = await post(dana, '/invite/show', { secret });
  t.match(JSON.parse(shown.body), { subject: 'dana', name: 'Dana', by: 'ops', endsAt: null });
  const begun = await post(dana, '/invite/begin', { secret });
  const { joined } = await join(dana, secret);
  t.equal(joined.status, 200);
  for (const answer of [begun, joined]) {
    t.equal(answer.headers['cache-control'], 'no-store');
    for (const cookie of answer.headers['set-cookie'] ?? []) {
      t.match(cookie, /^__Host-(?:daypass|dp-ceremony)=/);
      for (const wanted of ['Path=/', 'Secure', 'HttpOnly', 'SameSite=Lax']) t.match(cookie, `; ${wanted}`);
      t.notMatch(cookie, /domain/i);
    }
  }
  t.match((await dana.visit('localhost', '/')).body, /Logged in as dana.*Your passkeys/);
  const page = await dana.visit('localhost', '/passkeys');
  t.match(page.headers['content-security-policy'], /default-src 'none'.*script-src 'sha256-[^']+'; connect-src 'self'/);
  t.notMatch(page.headers['content-security-policy'], /unsafe/);
});

t.test('D29: behind a mapping of ports, passkeys, links and lines are those of the public address alone', async (t) => {
  const mapped: { gateway?: TestGateway } = {};
  const port = await startProxy(t, () => mapped.gateway?.ports.http ?? 0, '');
  const settings = `public: { url: "http://localhost:${port}", postgres: "db.example.com:15432" }\ndrain: 0s`;
  const { gateway, browser } = await startBrowsing(t, { settings });
  mapped.gateway = gateway;
  const { body } = await gateway.operator('POST', '/v1/invitations', DANA);
  t.match(body.url, new RegExp(`^http://localhost:${port}/invite#`));
  const secret = String(body.url).split('#')[1] ?? '';
  const { joined: refused } = await join(browser(), secret);
  t.notMatch(refused.status, 200, 'the port that it listens on is not where people come to');
  const dana = new TestBrowser(port);
  const { joined } = await join(dana, secret);
  t.equal(joined.status, 200);
  t.match((await dana.visit('localhost', '/')).body, /Logged in as dana/);
  t.match((await dana.visit('web.localhost', '/')).way.at(-1), `http://localhost:${port}/handover`);
  const { body: issued } = await gateway.operator('POST', '/v1/grants', {
    ...{ principal: 'dana', service: 'web', durationSeconds: 600, sponsor: 'lee', reason: 'a test', by: 'ops' },
  });
  t.match(issued.connect, [/^daypass connect web$/, new RegExp(` http://web\\.localhost:${port}/$`)]);
  t.match((await gateway.operator('GET', '/v1/status')).body, { public: { url: `http://localhost:${port}` } });
});

t.test('D29: who opens a service without a login is led back to it by the button, and to nowhere else', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const toOf = (body: string) => /id="use" data-to="([^"]*)"/.exec(body)?.[1]?.replaceAll('&#38;', '&');
  const { authenticator } = await join(browser(), await invited(gateway));
  await gateway.issue({ service: 'web', principal: 'dana' });
  const stranger = browser();
  const shown = await stranger.visit('web.localhost', '/orders/7?x=1');
  t.equal(shown.status, 401, 'nobody is logged in yet');
  const back = toOf(shown.body) ?? '';
  t.match(back, /^\/handover\?service=web&bind=[\w-]{43}$/);
  const { options } = JSON.parse((await post(stranger, '/login/begin', {})).body);
  t.equal((await post(stranger, '/login/finish', { answer: authenticator.get(options) })).status, 200);
  const arrived = await stranger.visit('localhost', back);
  t.match(arrived.way.at(-1), /^http:\/\/web\.localhost:\d+\/orders\/7\?x=1$/);
  t.equal(arrived.status, 200);

  const bind = 'b'.repeat(43);
  const own = `/handover?service=web&bind=${bind}`;
  const asked = [
    '&to=https://evil.test/',
    '&to=//evil.test',
    '&service=evil.test',
    '%22%3E%3Cscript%3E',
    '#//evil.test',
  ];
  for (const more of asked) {
    const { status, body } = await browser().ask('localhost', own + more, { headers: NAVIGATION });
    if (status !== 401) continue;
    t.match(toOf(body), /^\/handover\?service=web&bind=/, more);
    t.notMatch(body, '"><script>', more);
  }
  for (const target of [`//evil.test${own}`, `/%5Cevil.test${own}`, '/handover?service=evil.test&bind=x', `${own}x`]) {
    const { body } = await browser().ask('localhost', target, { headers: NAVIGATION });
    t.equal(toOf(body), undefined, target);
  }
});

t.test('another site, and a sibling host, cannot begin or finish anything', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const dana = browser();
  const secret = await invited(gateway);
  const { joined } = await join(dana, secret);
  t.equal(joined.status, 200);
  const foreign: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' },
    { 'sec-fetch-site': 'same-site', origin: `http://web.localhost:${dana.port}` },
    { 'sec-fetch-site': 'same-origin', origin: 'https://evil.test' },
    { 'sec-fetch-site': 'none' },
  ];
  const paths = ['/invite/show', '/invite/begin', '/invite/finish', '/login/begin', '/login/finish'];
  for (const path of [...paths, '/passkeys/begin', '/passkeys/finish', '/passkeys/remove']) {
    for (const headers of foreign) {
      const { status, body } = await post(dana, path, { secret }, headers);
      t.equal(status, 403, `${path} ${JSON.stringify(headers)}`);
      t.match(body, 'foreign_origin');
    }
    t.equal((await dana.ask('localhost', path, { headers: NAVIGATION })).status, 405, 'nor by GET');
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    t.equal((await post(dana, path, 'secret=x', form)).status, 415, 'nor does a form');
  }
});

t.test('what is too long, no JSON, or never comes costs one answer', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const dana = browser();
  t.equal((await post(dana, '/login/finish', { answer: 'x'.repeat(16 * 1024) })).status, 413);
  const chunked = { 'transfer-encoding': 'chunked', 'content-length': '' };
  const { 'content-length': _, ...rest } = { ...chunked };
  const headers = {
    ...SAME_ORIGIN,
    origin: `http://localhost:${dana.port}`,
    'content-type': 'application/json',
    ...rest,
  };
  t.equal(
    (await dana.ask('localhost', '/login/finish', { method: 'POST', headers, body: '{}' })).status,
    413,
    'of no length',
  );
  for (const body of ['', '{', '[]', '"x"', 'null', '7'])
    t.equal((await post(dana, '/login/finish', body)).status, 415, JSON.stringify(body));
  t.equal((await post(dana, '/login/finish', {})).status, 400);
  t.equal((await post(dana, '/invite/begin', { secret: { $ne: '' } })).status, 400);
  t.equal((await post(dana, '/passkeys/begin', {})).status, 403, 'without a login');
  const socket = connect(gateway.ports.http, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const head = [
    ...['POST /login/finish HTTP/1.1', `host: localhost:${dana.port}`, 'content-type: application/json'],
    ...[`origin: http://localhost:${dana.port}`, 'sec-fetch-site: same-origin', 'content-length: 100', '', '{'],
  ];
  socket.write(head.join('\r\n'));
  const [answer] = await once(socket, 'data');
  t.match(String(answer), /^HTTP\/1\.1 408 /);
});

t.test('a ceremony belongs to one browser, and two cookies of its name to nobody', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const [dana, mallory] = [browser(), browser()];
  const { authenticator } = await join(dana, await invited(gateway));
  const { options } = JSON.parse((await post(dana, '/login/begin', {})).body);
  await post(mallory, '/login/begin', {});
  const answer = authenticator.get(options);
  t.equal((await post(mallory, '/login/finish', { answer })).status, 403, "with mallory's own challenge");
  const mine = dana.cookies('localhost');
  const twice = `${mine}; __Host-dp-ceremony=${'x'.repeat(43)}`;
  t.equal((await post(dana, '/login/finish', { answer }, { cookie: twice })).status, 400);
  const done = await post(dana, '/login/finish', { answer });
  t.equal(done.status, 200, 'neither used it up');
  t.equal((await post(dana, '/login/finish', { answer }, { cookie: mine })).status, 400, 'a replay');
});

t.test('whoever has a closed account is told so, and gets no link either', async (t) => {
  const { gateway, browser } = await startBrowsing(t);
  const dana = browser();
  await join(dana, await invited(gateway));
  await gateway.issue({ service: 'web', principal: 'dana' });
  t.equal((await dana.visit('web.localhost', '/')).status, 200);
  await gateway.operator('POST', '/v1/people/dana/close', { reason: 'left', by: 'ops' });
  t.equal(
    (await dana.ask('web.localhost', '/', { headers: SAME_ORIGIN })).status,
    401,
    'what was open is over at once',
  );
  t.match((await dana.visit('localhost', '/')).body, /Not logged in/);
  const link = { principal: 'dana', reason: 'x', by: 'ops' };
  t.match(await gateway.operator('POST', '/v1/login-links', link), {
    status: 409,
    body: { error: { code: 'account_over' } },
  });
});

t.test('one address does not fill the ledger with beginnings', async (t) => {
  const { browser } = await startBrowsing(t);
  const mallory = browser();
  // At once: on a busy machine as many as are allowed come back while they are sent one by one.
  const asked = Array.from({ length: 450 }, async () => (await post(mallory, '/login/begin', {})).status);
  const statuses = await Promise.all(asked);
  t.ok(statuses.includes(200));
  t.ok(statuses.includes(429));
});
