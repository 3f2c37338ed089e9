import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import t from 'tap';
import { WebSocket } from 'ws';
import { type Asked, startWithPeople } from '../api/ground.js';
import { linkFor, TestBrowser, webPolicy } from '../http/browser/fixture.js';
import { waitUntil } from '../support/wait.js';

const JSON_BODY = { 'content-type': 'application/json' };
const REASON = 'the contract is over';

/** A gateway, and a grant that an attack would end if it got through. */
async function target(t: Parameters<typeof startWithPeople>[0]) {
  const ground = await startWithPeople(t);
  const { id, handle } = await ground.gateway.issue({ service: 'web', principal: 'alice' });
  const own = `http://localhost:${ground.gateway.ports.http}`;
  const page = { origin: own, 'sec-fetch-site': 'same-origin', 'daypass-csrf': '1' };
  const body = JSON.stringify({ grant: id, reason: REASON });
  const isLive = async () => {
    const [row] = await ground.gateway.ledger.query<{ revoked_at: unknown }>(
      `select revoked_at from daypass.grants where id = '${id}'`,
    );
    return row?.revoked_at === null;
  };
  return { ...ground, id, handle, own, page, body, isLive };
}

t.test('A29: nothing is changed by a request that is not the idea of whoever is logged in', async (t) => {
  const { ask, login, own, page, body, isLive, id, gateway } = await target(t);
  const cookie = await login('lee');
  const { origin: _, ...without } = page;
  const path = '/api/v1/revocations';
  const post = (headers: Asked['headers']): Asked => ({
    method: 'POST',
    path,
    body,
    headers: { cookie, ...JSON_BODY, ...headers },
  });
  const sibling = `http://web.localhost:${gateway.ports.http}`;
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const attacks: readonly (readonly [string, Asked, number])[] = [
    ['by GET', { path: `${path}?grant=${id}&reason=x`, headers: { cookie, ...page } }, 404],
    [
      'by GET with a body',
      { path, body, headers: { cookie, ...page, ...JSON_BODY, 'content-length': `${body.length}` } },
      404,
    ],
    [
      'by a form of another site',
      post({ ...page, ...form, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }),
      403,
    ],
    ['by a form that calls itself JSON', post({ ...page, 'content-type': 'text/plain' }), 415],
    ['by a form of this site', post({ ...page, ...form }), 415],
    ['by a sibling host', post({ ...page, origin: sibling, 'sec-fetch-site': 'same-site' }), 403],
    ['by a sibling host, as the own origin', post({ ...page, 'sec-fetch-site': 'same-site' }), 403],
    ['by a sibling host, without Sec-Fetch-Site', post({ origin: sibling, 'daypass-csrf': '1' }), 403],
    ['by a sandboxed frame', post({ ...page, origin: 'null', 'sec-fetch-site': 'cross-site' }), 403],
    ['by something that says nothing of where it comes from', post({ 'daypass-csrf': '1' }), 403],
    ['by a navigation', post({ ...without, 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }), 403],
    ['with two origins', post({ ...page, origin: [own, own] }), 403],
    ['without the header of our own', post({ origin: own, 'sec-fetch-site': 'same-origin' }), 403],
    ['with another value in it', post({ ...page, 'daypass-csrf': 'true' }), 403],
    ['with two of it', post({ ...page, 'daypass-csrf': ['1', '1'] }), 403],
    ['with its underscore variant', post({ origin: own, 'sec-fetch-site': 'same-origin', daypass_csrf: '1' }), 403],
    ['with the origin of another port', post({ ...page, origin: 'http://localhost:1' }), 403],
  ];
  for (const [name, asked, status] of attacks) {
    t.equal((await ask(asked)).status, status, name);
    t.ok(await isLive(), `${name}: the grant lives`);
  }
  t.equal((await ask(post(page))).status, 200, 'and by a page of its own it is');
  t.notOk(await isLive());
});

t.test('two logins in one request are none, whichever of them is good', async (t) => {
  const { ask, login, page, handle } = await target(t);
  const cookie = await login('lee');
  const token = `dpt_${'a'.repeat(43)}`;
  const path = '/api/v1/me';
  const attacks: readonly (readonly [string, NonNullable<Asked['headers']>, number])[] = [
    ['a login and a token', { cookie, authorization: `Bearer ${token}` }, 400],
    ['a login and an empty Authorization', { cookie, authorization: '' }, 400],
    ['a login and Basic', { cookie, authorization: 'Basic YTpi' }, 400],
    ['two logins', { cookie: `${cookie}; ${cookie}` }, 400],
    ['a login and a bad one', { cookie: `${cookie}; __Host-daypass=x` }, 400],
    ['a bad login and a good one', { cookie: `__Host-daypass=x; ${cookie}` }, 400],
    ['two tokens', { authorization: [`Bearer ${token}`, `Bearer ${token}`] }, 400],
    ['a bad login', { cookie: '__Host-daypass=x' }, 401],
    ['a login in another case', { cookie: cookie.replace('__Host-daypass', '__host-daypass') }, 401],
    ['an unknown token', { authorization: `Bearer ${token}` }, 401],
    ['two tokens in one header', { authorization: `Bearer ${token}, Bearer ${token}` }, 401],
    ['a handle', { authorization: `Bearer ${handle}` }, 401],
    ['a handle in its own header', { 'daypass-handle': handle }, 401],
    ["a login's secret as a token", { authorization: `Bearer ${cookie.split('=')[1]}` }, 401],
    ['nothing', {}, 401],
  ];
  for (const [name, headers, status] of attacks) {
    const answer = await ask({ path, headers: { ...page, ...headers } });
    t.equal(answer.status, status, name);
    t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8', name);
    if (status === 401) t.match(answer.headers['www-authenticate'], /^Bearer realm="daypass"/, name);
  }
  const query = await ask({ path: `${path}?access_token=${token}`, headers: { cookie, ...page } });
  t.equal(query.status, 200, 'a token in an address is no login, and changes nothing about who asks');
});

t.test('whose account is closed, over or not there asks nothing', async (t) => {
  const { as, gateway } = await target(t);
  const [lee, alice, nobody] = [await as('lee'), await as('alice'), await as('nobody')];
  t.match(await nobody('GET', '/me'), {
    status: 403,
    body: { code: 'no_account', detail: /no account "nobody" here/ },
  });
  t.equal((await lee('GET', '/me')).status, 200);
  await gateway.ledger.query("update daypass.people set closed_at = now() where subject = 'lee'");
  await gateway.ledger.query("update daypass.people set ends_at = now() where subject = 'alice'");
  for (const person of [lee, alice]) {
    t.match(
      await person('GET', '/me'),
      { status: 401, body: { code: 'login_over' } },
      'their login ended with the account',
    );
    t.match(await person('POST', '/revocations', { service: 'web', reason: REASON }), { status: 401 });
  }
});

t.test('a group that somebody has left counts no more, from the next request on', async (t) => {
  const { as, gateway, id, isLive } = await target(t);
  const lee = await as('lee');
  t.equal((await lee('GET', `/grants/${id}`)).status, 200);
  await gateway.ledger.query("update daypass.people set groups = '{}' where subject = 'lee'");
  t.equal((await lee('GET', `/grants/${id}`)).status, 403);
  t.equal((await lee('POST', '/revocations', { grant: id, reason: REASON })).status, 403);
  t.ok(await isLive());
});

t.test(
  'A14: past all requests operators give in their own name, within what holds for all access, never to themselves',
  async (t) => {
    const { as, gateway } = await startWithPeople(t);
    const { ledger } = gateway;
    const olga = await as('olga');
    const asked = {
      principal: 'alice',
      service: 'web',
      durationSeconds: 600,
      sponsor: 'dana',
      reason: 'she is on call',
    };
    for (const person of ['lee', 'rita', 'dana', 'alice'])
      t.match(
        await (await as(person))('POST', '/grants', asked),
        { status: 403, body: { code: 'not_allowed' } },
        person,
      );
    await gateway.policy('shop', `${webPolicy('http://127.0.0.1:9', 'shop')}access: { nda: required }\n`);
    await ledger.query("update daypass.people set sponsor = 'olga' where subject = 'bob'");
    const refusals: readonly (readonly [object, string])[] = [
      [{ principal: 'olga' }, 'own_request'],
      [{ principal: 'olga', sponsor: 'olga' }, 'own_request'],
      [{ sponsor: 'olga' }, 'sponsored_by_you'],
      [{ principal: 'bob' }, 'sponsored_by_you'],
      [{ principal: 'mallory' }, 'unknown_person'],
      [{ sponsor: 'mallory' }, 'unknown_person'],
      [{ sponsor: 'alice' }, 'not_allowed'],
      [{ sponsor: 'bob' }, 'not_allowed'],
      [{ service: 'shop' }, 'nda_required'],
      [{ service: 'none' }, 'unknown_service'],
      [{ role: 'admin' }, 'unknown_role'],
      [{ durationSeconds: 999_999 }, 'duration_exceeds_policy'],
      [{ by: 'lee' }, 'invalid_request'],
      [{ only: ['GET /**'] }, 'invalid_request'],
    ];
    for (const [change, code] of refusals) {
      const { body } = await olga('POST', '/grants', { ...asked, ...change });
      t.equal(body.code, code, JSON.stringify(change));
    }
    await ledger.query("update daypass.people set ends_at = now() + interval '5 minutes' where subject = 'alice'");
    t.match((await olga('POST', '/grants', asked)).body, { code: 'account_ended', hint: /or less/ });
    t.same(await ledger.query('select id from daypass.grants'), [], 'nothing was given');
    const noted = await ledger.query(
      "select actor, via from daypass.audit where act = 'grant.issue' and result = 'refused' and actor = 'olga'",
    );
    t.equal(noted.length, refusals.length - 1, 'and all that was well-formed is noted');
    const given = await olga('POST', '/grants', { ...asked, durationSeconds: 60 });
    t.match(given, { status: 201, body: { principal: 'alice', role: 'viewer', handle: /^dp_/ } });
    const id = String(given.body.id);
    const done = () =>
      ledger.query("select act, actor, via from daypass.audit where target = $1 and result = 'done' order by seq", [
        `grant:${id}`,
      ]);
    t.same(await done(), [{ act: 'grant.issue', actor: 'olga', via: 'browser' }]);
    await waitUntil('the alert of an operator’s issue', async () => {
      const rows = await ledger.query("select grant_id from daypass.alerts where kind = 'direct_issue'");
      return rows.some((row) => row.grant_id === id);
    });
    const more = { durationSeconds: 60, reason: 'the pager again' };
    for (const person of ['lee', 'alice'])
      t.match(await (await as(person))('POST', `/grants/${id}/renew`, more), { status: 403 }, person);
    t.match(await olga('POST', `/grants/${id}/renew`, { ...more, durationSeconds: 600 }), {
      body: { code: 'end_too_late' },
    });
    await ledger.query("update daypass.people set sponsor = 'olga' where subject = 'alice'");
    t.match(await olga('POST', `/grants/${id}/renew`, more), { body: { code: 'sponsored_by_you' } });
    await ledger.query("update daypass.people set sponsor = 'dana' where subject = 'alice'");
    t.match(await olga('POST', `/grants/${id}/renew`, more), { status: 200, body: { renewals: 1 } });
    t.match(await (await as('rita'))('POST', `/grants/${id}/revoke`, { reason: 'over' }), { status: 403 });
    t.match(await olga('POST', `/grants/${id}/revoke`, { reason: 'over' }), {
      status: 200,
      body: { state: 'revoked' },
    });
    t.same((await done()).map(({ act, actor }) => [act, actor]).slice(1), [
      ['grant.renew', 'olga'],
      ['grant.revoke', 'olga'],
    ]);
  },
);

t.test('what is no JSON of the schema is refused before anything is done', async (t) => {
  const { ask, login, page, id, isLive } = await target(t);
  const cookie = await login('lee');
  const good = `"grant":"${id}","reason":"${REASON}"`;
  const post = (body: string | Buffer, more: Asked['headers'] = {}) =>
    ask({ method: 'POST', path: '/api/v1/revocations', body, headers: { cookie, ...page, ...JSON_BODY, ...more } });
  const attacks: readonly (readonly [string, string | Buffer, number, Asked['headers']?])[] = [
    ['an unknown key', `{${good},"force":true}`, 400],
    ['__proto__', `{${good},"__proto__":{"service":"web"}}`, 400],
    ['__proto__, escaped', `{${good},"\\u005f_proto__":{"service":"web"}}`, 400],
    ['constructor.prototype', `{${good},"constructor":{"prototype":{}}}`, 400],
    ['two things at once', `{${good},"service":"web"}`, 400],
    ['an array', `[{${good}}]`, 400],
    ['a text', '"x"', 400],
    ['null', 'null', 400],
    ['nothing', '', 400],
    ['half of it', `{${good}`, 400],
    ['two', `{${good}}{}`, 400],
    ['a byte order mark', `\ufeff{${good}}`, 400],
    ['no UTF-8', Buffer.concat([Buffer.from(`{${good},"x":"`), Buffer.from([0xc0, 0xae]), Buffer.from('"}')]), 400],
    ['UTF-16', Buffer.from(`{${good}}`, 'utf16le'), 400],
    ['deep', `${'['.repeat(30_000)}${']'.repeat(30_000)}`, 400],
    ['large', `{${good},"x":"${'x'.repeat(70_000)}"}`, 413],
    ['a list in place of a text', `{"grant":["${id}"],"reason":"${REASON}"}`, 400],
    ['a reason of two lines', `{"grant":"${id}","reason":"a\\nb"}`, 400],
    ['another charset', `{${good}}`, 415, { 'content-type': 'application/json; charset=utf-7' }],
    ['two charsets', `{${good}}`, 415, { 'content-type': 'application/json; charset=utf-8; charset=utf-7' }],
    ['a parameter more', `{${good}}`, 415, { 'content-type': 'application/json; boundary=x' }],
    ['two types', `{${good}}`, 415, { 'content-type': 'application/json, text/plain' }],
    ['a type that ends in +json', `{${good}}`, 415, { 'content-type': 'application/merge-patch+json' }],
    ['a coding', `{${good}}`, 415, { 'content-encoding': 'gzip' }],
  ];
  for (const [name, body, status, more] of attacks) {
    const answer = await post(body, more);
    t.equal(answer.status, status, `${name}: ${answer.text}`);
    t.match(answer.headers['content-type'], /^application\/problem\+json/, name);
    t.ok(await isLive(), name);
  }
  t.equal((await post(`{${good}}`, { 'content-type': 'Application/JSON;charset="UTF-8"' })).status, 200);
});

t.test('a method is the one of the request line, and there are two of them', async (t) => {
  const { ask, login, page, body, isLive } = await target(t);
  const cookie = await login('lee');
  for (const header of ['x-http-method-override', 'x-method-override', 'x-http-method'])
    t.equal((await ask({ path: '/api/v1/revocations', headers: { cookie, ...page, [header]: 'POST' } })).status, 404);
  t.not((await ask({ path: '/api/v1/me?_method=POST', headers: { cookie, ...page } })).status, 200);
  for (const method of ['HEAD', 'OPTIONS', 'TRACE', 'PUT', 'PATCH', 'DELETE']) {
    const headers = { cookie, ...page, 'access-control-request-method': 'POST', ...JSON_BODY };
    const answer = await ask({ method, path: '/api/v1/revocations', headers, ...(method === 'PUT' ? { body } : {}) });
    t.equal(answer.status, 405, method);
    t.equal(answer.headers.allow, 'GET, POST', method);
    t.same(
      Object.keys(answer.headers).filter((name) => name.startsWith('access-control-')),
      [],
      method,
    );
    t.notMatch(answer.text, cookie.split('=')[1] ?? '', 'no TRACE tells a login back');
  }
  t.ok(await isLive());
});

t.test('the API is at the host of the gateway alone, under paths of one meaning', async (t) => {
  const { ask, login, page, handle, gateway } = await target(t);
  const cookie = await login('lee');
  const headers = { cookie, ...page };
  const atService = await ask({ path: '/api/v1/me', host: 'web.localhost', headers });
  t.match(atService.body, { reason: 'foreign_origin' }, 'at the host of a service it is a path of the service');
  const bearer = { authorization: `Bearer ${handle}` };
  t.match(await ask({ path: '/api/v1/me', host: 'web.localhost', headers: bearer }), { status: 200, text: /"host"/ });
  t.not((await ask({ path: '/.daypass/../api/v1/me', host: 'web.localhost', headers })).status, 200);
  t.equal((await ask({ path: '/api/v1/me', host: 'evil.example', headers })).status, 421);
  const others = [
    '//api/v1/me',
    '/API/v1/me',
    '/x/../api/v1/me',
    '/api//v1/me',
    '/api/v1/me/',
    '/api/v1;x/me',
    '/api/v1/m%2565',
  ];
  const more = [
    '/api/v1/me%00',
    '/api/v1/%2e%2e/v1/me',
    '/api\\v1\\me',
    '/apiv1/me',
    '/api',
    '/api/',
    '/api/v1',
    '/api/v2/me',
  ];
  for (const path of [...others, ...more]) {
    const { status } = await ask({ path, headers });
    t.ok(status === 400 || status === 404, `${path}: ${status}`);
  }
  t.equal(
    (await ask({ path: '/%61pi/v1/%6de', headers })).status,
    200,
    'an escape that means nothing else is that path',
  );
  const absolute = connect(gateway.ports.http, '127.0.0.1');
  absolute.end(`GET http://localhost/api/v1/me HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  t.notMatch(await text(absolute), /^HTTP\/1.1 200/);
});

t.test('nothing of the API is a WebSocket', async (t) => {
  const { login, page, gateway } = await target(t);
  const cookie = await login('lee');
  for (const path of ['/api/v1/me', '/api/v1/openapi.json']) {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.http}${path}`, {
      headers: { host: `localhost:${gateway.ports.http}`, cookie, ...page },
    });
    const status = await new Promise((resolve) => {
      socket.once('unexpected-response', (_req, res) => resolve(res.statusCode));
      socket.once('open', () => resolve(101));
      socket.once('error', () => resolve('error'));
    });
    t.not(status, 101, path);
    socket.terminate();
  }
});

t.test('a body that does not come ends its connection, and none behind it is read as a request', async (t) => {
  const { gateway, login } = await target(t);
  const cookie = await login('lee');
  const head = (length: number) =>
    `POST /api/v1/revocations HTTP/1.1\r\nhost: localhost:${gateway.ports.http}\r\ncookie: ${cookie}\r\n` +
    `origin: http://localhost:${gateway.ports.http}\r\ndaypass-csrf: 1\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
  const slow = connect(gateway.ports.http, '127.0.0.1');
  slow.write(`${head(100)}{`);
  t.equal(await text(slow), '', 'ended without an answer');
  t.ok(gateway.lines.some(({ status, rule }) => status === 408 && /within 10 s/.test(String(rule))));
  const refused = connect(gateway.ports.http, '127.0.0.1');
  const inner = 'GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n';
  refused.write(`${head(inner.length).replace('daypass-csrf: 1\r\n', 'connection: close\r\n')}${inner}`);
  const answered = await text(refused);
  t.match(answered, /^HTTP\/1.1 403/);
  t.equal(answered.split('HTTP/1.1 ').length, 2, 'one answer');
});

t.test(
  'no line of the audit log says that an act came by the socket, where anyone is whom they say, when it did not',
  async (t) => {
    const { gateway, as, ask, handle, id: loose } = await target(t);
    const [lee, rita, dana] = [await as('lee'), await as('rita'), await as('dana')];
    await ask({ path: '/x', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
    const [{ id: session = '' } = {}] = await gateway.ledger.query<{ id: string }>('select id from daypass.sessions');
    t.equal((await rita('GET', `/sessions/${session}/events`)).status, 200);
    t.equal((await lee('POST', '/revocations', { grant: loose, reason: REASON })).status, 200);
    await gateway.policy('web', `${webPolicy('http://127.0.0.1:1')}access: { pre_approved: [viewer] }\n`);
    const alice = await as('alice');
    const begin = async () => {
      const asked = { service: 'web', task: 'Find out why order 4711 was charged twice', seconds: 600 };
      const path = `/requests/${(await alice('POST', '/requests', asked)).body.id}`;
      for (const _ of ['first', 'again']) t.equal((await alice('POST', `${path}/activate`, {})).status, 201);
      return path;
    };
    const path = await begin();
    t.equal((await alice('POST', `${path}/renew`, { seconds: 60, reason: 'not done yet' })).status, 200);
    t.equal((await alice('POST', `${path}/return`, { reason: 'done' })).status, 200);
    await begin();
    t.equal((await dana('POST', '/people/alice/close', { reason: REASON })).status, 200);
    const olga = new TestBrowser(gateway.ports.http);
    await olga.logIn(await linkFor(gateway, 'olga'));
    await olga.logOut();
    const lines = await gateway.ledger.query<{ actor: string; via: string; act: string }>(
      "select actor, via, act from daypass.audit where actor not in ('ops', 'operator', 'gateway') order by seq",
    );
    const acts = new Set(lines.map(({ actor, act }) => `${actor} ${act}`));
    for (const act of ['rita recording.export', 'lee grant.revoke', 'alice grant.issue', 'alice grant.replace'])
      t.ok(acts.has(act), act);
    for (const act of [
      'alice grant.renew',
      'alice grant.revoke',
      'dana grant.revoke',
      'dana login.logout',
      'olga login.logout',
    ])
      t.ok(acts.has(act), act);
    t.same(
      lines.filter(({ via }) => via !== 'browser'),
      [],
    );
  },
);

t.test('nobody keeps a refused act out of the audit log by what they put into it', async (t) => {
  const { as } = await target(t);
  const [alice, rita] = [await as('alice'), await as('rita')];
  const unsafe = ['\u0000', '\ud800', '\n', '\u0085', '\u2028'];
  const request = '/requests/0190a000-0000-7000-8000-000000000000/approve';
  for (const text of unsafe) {
    const name = text === '\ud800' ? '%00' : encodeURIComponent(text);
    const approved = await alice('POST', request, { comment: 'mine', role: `viewer${text}` });
    t.match(approved, { status: 400, body: { code: 'invalid_request' } }, `${name} is no act at all`);
    const invited = { subject: `mallory${text}`, kind: 'contractor', sponsor: 'dana' };
    t.equal((await alice('POST', '/invitations', invited)).status, 400, name);
    const moved = { sponsor: 'dana', reason: REASON, role: text, principal: text };
    t.equal((await alice('POST', '/people/bob/reassign', moved)).status, 403, name);
    for (const asked of [
      '/audit?actor=',
      '/requests?person=',
      '/sessions?person=',
      '/grants?principal=',
      '/people?cursor=',
    ])
      t.equal((await rita('GET', asked + name)).status, 400, `${asked}${name} is no fault of the ledger`);
  }
  t.equal((await alice('POST', '/offboardings', { subject: 'lee', reason: REASON })).status, 403);
  const lines = await rita('GET', '/audit?actor=alice&result=refused');
  t.match(lines.body, {
    entries: [
      { act: 'offboard', target: 'person:lee', reason: REASON },
      ...unsafe.map(() => ({ act: 'person.reassign', target: 'person:bob', detail: { code: 'not_allowed' } })),
    ],
  });
});

t.test('whoever answers for nobody does not learn who there is from what they may not do', async (t) => {
  const { as } = await startWithPeople(t);
  const alice = await as('alice');
  const tried: readonly (readonly [string, object])[] = [
    ['/close', { reason: REASON }],
    ['/extend', { endsAt: '2030-01-01T00:00:00Z', reason: REASON }],
    ['/reassign', { sponsor: 'dana', reason: REASON }],
    ['/groups', { groups: [], reason: REASON }],
  ];
  for (const [act, body] of tried) {
    const [there, nobody] = [
      await alice('POST', `/people/lee${act}`, body),
      await alice('POST', `/people/zed${act}`, body),
    ];
    t.equal(there.status, 403, act);
    t.equal(nobody.text, there.text, act);
  }
  const [there, nobody] = [
    await alice('POST', '/invitations', { subject: 'lee', reason: REASON }),
    await alice('POST', '/invitations', { subject: 'zed', reason: REASON }),
  ];
  t.equal(there.status, 403);
  t.equal(nobody.text, there.text);
  t.equal((await alice('GET', '/people/lee')).status, 404);
});

t.test('no access outlasts the account it is for, whoever gives it', async (t) => {
  const { gateway } = await startWithPeople(t);
  const issue = (durationSeconds: number, principal = 'alice') =>
    gateway.operator('POST', '/v1/grants', {
      ...{ principal, service: 'web', durationSeconds, sponsor: 'dana', reason: 'order 7', by: 'ops' },
    });
  await gateway.ledger.query("update daypass.people set ends_at = now() + interval '300 s' where subject = 'alice'");
  const ended = {
    status: 403,
    body: { error: { code: 'account_ended', message: /ends at 20.*Z, and access no later/ } },
  };
  t.match(await issue(600), ended);
  const short = await issue(200);
  t.equal(short.status, 201);
  const renewal = { durationSeconds: 200, reason: 'not done yet', by: 'ops' };
  t.match(await gateway.operator('POST', `/v1/grants/${short.body.id}/renew`, renewal), ended);
  await gateway.ledger.query("update daypass.people set ends_at = now() - interval '1 s' where subject = 'alice'");
  t.match(await issue(1), ended);
  t.equal((await issue(600, 'nobody')).status, 201, 'whoever has no account has no end');
});

t.test(
  'B13: whoever searches recordings or the audit log, however long that takes, keeps nobody from being let in',
  async (t) => {
    const { as, ask, gateway } = await target(t);
    const [rita, olga, lee] = [await as('rita'), await as('olga'), await as('lee')];
    const lock = new pg.Client(gateway.ledger.url);
    await lock.connect();
    t.teardown(() => lock.end().catch(() => {}));
    const letIn = async (table: string, looks: () => Promise<{ status: number }>[]) => {
      const { handle } = await gateway.issue({ service: 'web' });
      await lock.query(`begin; lock table daypass.${table} in access exclusive mode`);
      const looking = looks();
      await waitUntil('looks that wait', async () => {
        const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%${table}%'`;
        return (await gateway.ledger.query(waiting)).length >= 4;
      });
      await pause(200); // those that find a connection have it
      const asked = await ask({ path: '/a', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
      t.equal(asked.status, 200, table);
      await lock.query('rollback');
      const answers = (await Promise.all(looking)).map(({ status }) => status);
      t.ok(
        answers.every((status) => [200, 429, 503].includes(status)),
        answers.join(' '),
      );
      return answers;
    };
    const six = (look: () => Promise<{ status: number }>) => Array.from({ length: 6 }, look);
    const searches = await letIn('block_index', () =>
      [rita, olga, lee].flatMap((person) => six(() => person('GET', '/search?text=anything'))),
    );
    t.ok(searches.includes(429), 'of one person two at once');
    await letIn('audit', () => [rita, olga].flatMap((person) => six(() => person('GET', '/audit?target=nothing'))));
  },
);
