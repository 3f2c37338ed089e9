import t from 'tap';
import { z } from 'zod';
import { standInSchemas, valueSchemas } from '../../src/config/values.js';
import { httpProtocol } from '../../src/http/protocol.js';
import { HttpUpstream } from '../../src/http/service/target.js';

const values = standInSchemas();
const upstream = httpProtocol.upstream(values).parse({ url: 'http://127.0.0.1:1' });
const compile = (...chain: (readonly string[])[]) =>
  httpProtocol.compileRole(
    'viewer',
    chain.map((allow) => httpProtocol.role(values).parse({ allow })),
    upstream,
  );

function may(allow: readonly string[], ...words: string[]) {
  const role = compile(allow);
  if (!role.ok) throw new Error(JSON.stringify(role.problems));
  return httpProtocol.decide(role.value, httpProtocol.actionFromWords(words));
}

t.test('a role allows what its routes say and nothing else', async (t) => {
  const allow = ['GET /', 'GET /orders/**', 'WS /live', 'POST /orders/:id/retry', 'GET /a/'];
  const cases: readonly (readonly [string, string, string | null])[] = [
    ['GET', '/', 'GET /'],
    ['HEAD', '/', 'GET /'],
    ['POST', '/', null],
    ['OPTIONS', '/', null],
    ['GET', '/orders', 'GET /orders/**'],
    ['GET', '/orders/', 'GET /orders/**'],
    ['GET', '/orders/7/items?x=/../', 'GET /orders/**'],
    ['GET', '/ordersx', null],
    ['GET', '/Orders', null],
    ['POST', '/orders/7/retry', 'POST /orders/:id/retry'],
    ['POST', '/orders//retry', null],
    ['POST', '/orders/7/8/retry', null],
    ['POST', '/orders/7/retry/', null],
    ['WS', '/live', 'WS /live'],
    ['GET', '/live', null],
    ['GET', '/a/', 'GET /a/'],
    ['GET', '/a', null],
  ];
  for (const [method, path, rule] of cases) {
    const decision = may(allow, method, path);
    t.equal(decision.outcome === 'allow' ? decision.rule : null, rule, `${method} ${path}`);
  }
  t.match(may(allow, 'POST', '/x'), {
    reason: 'out_of_scope',
    rule: 'no rule allows POST /x',
    message: /does not allow POST \/x/,
  });
  for (const path of ['/.daypass', '/.daypass/enter', '/%2edaypass/x'])
    t.match(may(['GET /**', 'WS /:a/:b'], 'GET', path), { outcome: 'deny', reason: 'out_of_scope' }, path);
  t.equal(may(['GET /**'], 'GET', '/.daypassed').outcome, 'allow');
  t.match(may(['GET /**'], 'GET', '/x/../y'), { outcome: 'deny', reason: 'ambiguous_target' });
});

t.test('of a request that asks for more than its first line says it is explained what is refused', (t) => {
  const role = compile(['POST /orders/:id', 'DELETE /orders/:id<int>']);
  if (!role.ok) throw new Error(JSON.stringify(role.problems));
  const explain = (path: string) =>
    httpProtocol.explain?.(role.value, httpProtocol.actionFromWords(['POST', path, 'x-http-method-override:DELETE']));
  t.match(explain('/orders/a'), [{ why: 'it is for POST' }, { why: 'a is no <int>' }]);
  t.match(explain('/orders/7'), [{ why: null }, { why: 'it is for DELETE' }], 'allowed');
  t.match(explain('/other'), [{ why: 'the path is another' }, { why: 'it is for DELETE' }]);
  t.end();
});

t.test("a client's Authorization is not both passed on and replaced", async (t) => {
  const read = (more: object) =>
    httpProtocol.upstream(values).safeParse({ url: 'http://127.0.0.1:1', pass_authorization: true, ...more });
  t.ok(read({ headers: { 'X-Token': { env: 'X' } } }).success);
  for (const name of ['authorization', 'Authorization']) {
    const { error } = read({ headers: { [name]: { env: 'X' } } });
    t.match(error?.issues, [{ path: ['pass_authorization'], message: /passed on and replaced/ }], name);
  }
});

t.test('a service may be given up to an hour to answer', (t) => {
  const given = (text: unknown) =>
    httpProtocol.upstream(values).safeParse({ url: 'http://127.0.0.1:1', response_timeout: text });
  for (const text of ['1s', '5m', '1h', undefined]) t.ok(given(text).success, String(text));
  for (const text of ['0s', '61m', '1d', 60, ''])
    t.match(given(text).error?.issues, [{ path: ['response_timeout'] }], String(text));
  t.end();
});

t.test('a route that is invalid or stands twice is refused with its place', async (t) => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['GET orders', /not a route/],
    ['get /orders', /not a route/],
    ['GET  /orders', /not a route/],
    ['FETCH /orders', /unknown method/],
    ['TRACE /orders', /unknown method/],
    ['CONNECT /orders', /unknown method/],
    ['GET /**/orders', /\*/],
    ['GET /or*', /\*/],
    ['GET /:', /parameter/],
    ['GET /x?y', /query/],
    ['GET /.daypass', /matches nothing/],
    ['GET /.daypass/**', /matches nothing/],
    ['POST /.daypass/:x', /matches nothing/],
    ['GET //x', /empty segment/],
    ['GET /x/../y', /dot segment/],
    ['GET /ad%6din', /not normalised/],
    ['GET /a;b', /parameters/],
  ];
  for (const [route, message] of refused)
    t.match(compile(['GET /', route]), { ok: false, problems: [{ path: ['allow', 1], message }] }, route);
  t.match(compile(['GET /:id', 'GET /:name']), {
    ok: false,
    problems: [{ path: ['allow', 1], message: /twice/, hint: /GET \/:id/ }],
  });
  t.match(
    compile(['GET /x'], ['POST /x', 'GET /x']),
    { ok: false, problems: [{ path: ['allow', 1] }] },
    'also across extends',
  );
  t.match(compile(['GET /x'], ['HEAD /x']), { ok: true });
  t.throws(() => httpProtocol.role(values).parse({ allow: ['GET /'], also: 1 }), z.ZodError, 'unknown keys');
});

t.test('of what a role says besides its rules the last block that names it counts', async (t) => {
  const settingsOfChain = (...chain: object[]) => {
    const blocks = chain.map((block) => httpProtocol.role(values).parse({ allow: ['GET /'], ...block }));
    const own = { ...Object(blocks.at(-1)), allow: ['GET /x'] };
    const compiled = httpProtocol.compileRole('viewer', [...blocks.slice(0, -1), own], upstream);
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    return compiled.value.settings;
  };
  t.same(settingsOfChain({}), { maxMessage: 16 * 1024 * 1024, warnings: null, bodies: null, basePath: '' });
  t.same(
    settingsOfChain(
      { websocket: { max_message: '2MiB', warnings: 'over' }, recording: { bodies: '64KiB' } },
      { websocket: { max_message: '64MiB' } },
    ),
    { maxMessage: 64 * 1024 * 1024, warnings: 'over', bodies: 64 * 1024, basePath: '' },
  );
  for (const block of [
    { websocket: { max_message: '65MiB' } },
    { websocket: { max_message: 5 } },
    { websocket: { warnings: '' } },
    { websocket: { also: 1 } },
    { recording: { bodies: '2MiB' } },
    { recording: { bodies: 'all' } },
    { recording: { results: 1 } },
  ])
    t.notOk(httpProtocol.role(values).safeParse({ allow: ['GET /'], ...block }).success, JSON.stringify(block));
});

t.test('an upstream names its address and the headers to inject, whose values are secrets', async (t) => {
  const real = valueSchemas({ env: { TOKEN: 'Bearer t', BAD: 'a\r\nX: y' }, directory: '/' });
  const parsed = httpProtocol
    .upstream(real)
    .parse({ url: 'http://127.0.0.1:1/base', headers: { Authorization: { env: 'TOKEN' } } });
  t.ok(parsed instanceof HttpUpstream);
  t.same([parsed.url.basePath, parsed.headers], ['/base', [['authorization', 'Bearer t']]]);
  const fails = (headers: unknown) =>
    t.notOk(
      httpProtocol.upstream(real).safeParse({ url: 'http://127.0.0.1:1', headers }).success,
      JSON.stringify(headers),
    );
  fails({ authorization: 'Bearer written' });
  fails({ authorization: { env: 'BAD' } });
  fails({ Host: { env: 'TOKEN' } });
  fails({ 'Content-Length': { env: 'TOKEN' } });
  fails({ 'Daypass-Handle': { env: 'TOKEN' } });
  fails({ 'X-A': { env: 'TOKEN' }, x_a: { env: 'TOKEN' } });
  fails({ 'bad name': { env: 'TOKEN' } });
});

t.test('identity headers have names of their own, which nothing else is sent under', async (t) => {
  const real = valueSchemas({ env: { TOKEN: 'Bearer t' }, directory: '/' });
  const read = (identity_headers: unknown, headers = {}) =>
    httpProtocol.upstream(real).safeParse({ url: 'http://127.0.0.1:1', headers, identity_headers });
  const { data } = read({ subject: 'X-User', role: 'X_Role' }, { 'X-Token': { env: 'TOKEN' } });
  t.same(data?.injected, ['x-token', 'x-user', 'x-role']);
  t.same(data?.headersFor({ principal: 'alice', role: 'viewer', groups: [] }), [
    ['x-token', 'Bearer t'],
    ['x-user', 'alice'],
    ['x_role', 'viewer'],
  ]);
  t.same(read({ role: 'X-Role' }).data?.headersFor({ principal: 'alice', role: 'viewer', groups: [] }), [
    ['x-role', 'viewer'],
  ]);
  const names = [
    'Host',
    'Connection',
    'Content-Type',
    'Daypass-User',
    'Authorization',
    'Cookie',
    'X_Forwarded_For',
    'a b',
  ];
  for (const name of names) t.notOk(read({ subject: name }).success, name);
  t.notOk(read({ subject: 'X-User', role: 'x_user' }).success, 'both under one name');
  t.notOk(read({ subject: 'X-Token' }, { x_token: { env: 'TOKEN' } }).success, 'one that is injected already');
  t.same(read({ groups: 'X-Groups' }).data?.headersFor({ principal: 'alice', role: 'viewer', groups: ['a', 'b'] }), [
    ['x-groups', 'a,b'],
  ]);
  t.notOk(read({ groups: 'X-User', subject: 'x_user' }).success, 'both under one name');
  t.notOk(read({ email: 'X-Email' }).success, 'grants have no e-mail address');
});

t.test('words that are no method and path are a usage error', async (t) => {
  for (const words of [[], [''], ['GET'], ['NOPE', '/'], ['NOPE /'], ['GET', '/', 'x'], ['GET /', 'x:y']])
    t.throws(() => httpProtocol.actionFromWords(words), { code: 'usage' }, JSON.stringify(words));
  const asked = httpProtocol.actionFromWords(['GET', '/x', 'accept:text/html']);
  t.same(httpProtocol.actionFromWords([' GET /x  accept:text/html']), asked, 'in quotes as without');
  const stream = httpProtocol.actionFromWords(['GET', '/x', 'accept:text/event-stream']);
  t.same(httpProtocol.actionFromWords(['SSE', '/x']), stream, 'as rules name it');
  const blank = httpProtocol.actionFromWords(['GET', '/x', 'accept: \ttext/html\t ']);
  t.same(blank, asked, 'blanks around a value are none of it, as on the wire');
  for (const header of ['a b:c', ':c', 'a:b\r\nc:d', 'a:\u20ac'])
    t.throws(() => httpProtocol.actionFromWords(['GET', '/', header]), { code: 'usage' }, JSON.stringify(header));
});

t.test('events read as a person would tell them', async (t) => {
  const event = { seq: 2, at: 0, payload: null };
  const asked = {
    ...event,
    kind: 'action',
    facts: { verb: 'POST', on: ['/x'], outcome: 'deny', rule: 'no rule allows POST /x', reason: 'out_of_scope' },
    payload: { text: 'POST /x?y' },
  } as const;
  t.equal(httpProtocol.render(asked), 'POST /x?y  [refused, out_of_scope: no rule allows POST /x]');
  const instead = {
    ...asked,
    facts: { verb: 'DELETE', of: 1, outcome: 'allow' },
    payload: { text: 'DELETE /x' },
  } as const;
  t.equal(httpProtocol.render(instead), 'DELETE /x (event 1 asks for it)');
  const came = { ...event, kind: 'result', facts: { of: 1, status: '200', bytesIn: 0, bytesOut: 5, ms: 3 } } as const;
  t.equal(httpProtocol.render(came), '→ 200, 0 bytes in, 5 bytes out, 3 ms');
  const parted = { ...came, facts: { ...came.facts, status: '1014', messages: 4, unsent: 3 } };
  t.equal(
    httpProtocol.render(parted),
    '→ 1014, 0 bytes in, 3 of its 4 allowed messages not sent on, 5 bytes out, 3 ms',
  );
  const broken = { ...came, facts: { ...came.facts, status: '1014', messages: 4, unsent: 1, unconfirmed: 2 } };
  t.equal(
    httpProtocol.render(broken),
    '→ 1014, 0 bytes in, 1 of its 4 allowed messages not sent on, 2 of its 4 allowed messages perhaps not sent on, 5 bytes out, 3 ms',
  );
  const timed = { ...came, facts: { ...came.facts, queueMs: 2, firstByteMs: 1 } };
  const bodies = { text: 'a=1', whole: true, response: { text: '{"b":', whole: false } };
  t.equal(
    httpProtocol.render({ ...timed, payload: bodies }),
    '→ 200, 0 bytes in, 5 bytes out, 3 ms (2 before, first byte after 1)\na=1\n→ {"b": …',
  );
  const said = { verb: 'message', on: ['/live'], from: 'service', bytes: 5 };
  const text = { ...event, kind: 'result', facts: said, payload: { text: 'hello' } } as const;
  t.equal(httpProtocol.render(text), '← message on /live: hello');
  const close = { ...text, facts: { ...said, frame: 'close' }, payload: { text: 'done' } } as const;
  t.equal(httpProtocol.render(close), '← close on /live: done');
  const coded = { ...close, facts: { ...close.facts, code: 4001 } };
  t.equal(httpProtocol.render(coded), '← close 4001 on /live: done');
  const binary = { ...event, kind: 'action', facts: { ...said, outcome: 'allow', sha256: 'ab12' } } as const;
  t.equal(httpProtocol.render(binary), 'message on /live: (5 bytes, sha256 ab12)');
});
