import t, { type Test } from 'tap';
import { z } from 'zod';
import { standInSchemas } from '../../src/config/values.js';
import type { RequestAction } from '../../src/http/action.js';
import { httpProtocol } from '../../src/http/protocol.js';
import { MessageFacts } from '../../src/http/record/message-facts.js';
import { readServiceTarget } from '../../src/http/rules/path.js';
import type { Decision } from '../../src/policy/decision.js';

const values = standInSchemas();
const upstream = httpProtocol.upstream(values).parse({ url: 'http://127.0.0.1:1' });

function roleOf(...allow: readonly unknown[]) {
  const compiled = httpProtocol.compileRole('viewer', [httpProtocol.role(values).parse({ allow })], upstream);
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  return compiled.value;
}

const asks = (line: string, ...headers: string[]) => httpProtocol.actionFromWords([...line.split(' '), ...headers]);
const judged = (rule: unknown, line: string, ...headers: string[]) =>
  httpProtocol.decide(roleOf(rule), asks(line, ...headers));

/** Each line: what is asked, and whether the rule allows it; a reason where it matters which. */
function cases(t: Tap, rule: unknown, expected: readonly (readonly [string, boolean | string, ...string[]])[]): void {
  for (const [line, allowed, ...headers] of expected) {
    const { outcome, reason } = judged(rule, line, ...headers);
    const words = `${JSON.stringify(rule)}: ${line} ${headers.join(' ')}`;
    if (typeof allowed === 'string') t.equal(reason, allowed, words);
    else t.equal(outcome, allowed ? 'allow' : 'deny', words);
  }
}
type Tap = Pick<typeof t, 'equal'>;

type Passes = (line: string) => Decision;

function allows(t: Tap, passes: Passes, lines: readonly string[]): void {
  for (const line of lines) t.equal(passes(line).outcome, 'allow', line);
}

function findsAmbiguous(t: Pick<Test, 'match'>, passes: Passes, lines: readonly string[]): void {
  for (const line of lines) t.match(passes(line), { outcome: 'deny', reason: 'ambiguous_target' }, line);
}

t.test('a parameter has the type it names, byte for byte', async (t) => {
  cases(t, 'GET /orders/:id<int>', [
    ['GET /orders/7', true],
    ['GET /orders/0', true],
    ['GET /orders/-7', true],
    ['GET /orders/07', false],
    ['GET /orders/+7', false],
    ['GET /orders/7.0', false],
    ['GET /orders/7e1', false],
    ['GET /orders/0x7', false],
    ['GET /orders/%37', true], // normalised before: 7 is what the service is sent
    ['GET /orders/%D9%A7', false],
    ['GET /orders/', false],
    [`GET /orders/${'9'.repeat(20)}`, false],
    ['GET /orders/7%0A', 'ambiguous_target'],
    ['GET /orders/7,8', false],
  ]);
  cases(t, 'GET /f/:id<uuid>', [
    ['GET /f/0198c0de-0000-7000-8000-00000000abcd', true],
    ['GET /f/0198C0DE-0000-7000-8000-00000000ABCD', true],
    ['GET /f/0198c0de000070008000000000000000', false],
    ['GET /f/{0198c0de-0000-7000-8000-00000000abcd}', 'ambiguous_target'],
  ]);
  cases(t, 'GET /p/:name<slug>/x', [
    ['GET /p/red-shoes_2/x', true],
    ['GET /p/red--shoes/x', false],
    ['GET /p/-red/x', false],
    ['GET /p/..%2e/x', false],
  ]);
  cases(t, 'GET /d/:day<date>', [
    ['GET /d/2026-11-26', true],
    ['GET /d/2026-13-01', false],
    ['GET /d/2026-02-29', false],
    ['GET /d/2028-02-29', true],
    ['GET /d/2026-02-30', false],
    ['GET /d/2026-04-31', false],
    ['GET /d/2026-01-00', false],
    ['GET /d/0001-01-01', true],
    ['GET /d/+26-01-01', false],
    ['GET /d/26-11-2026', false],
  ]);
});

t.test('a query parameter that a rule names stands once, and fits', async (t) => {
  const rule = {
    route: 'GET /orders',
    query: { status: ['open', 'closed'], page: { type: 'int', optional: true }, big: true },
  };
  cases(t, rule, [
    ['GET /orders?status=open&big=true', true],
    ['HEAD /orders?big=true&status=closed&page=3', true],
    ['GET /orders?status=open&big=true&other=1', true],
    ['GET /orders?%73tatus=%6fpen&big=true', true],
    ['GET /orders?status=Open&big=true', false],
    ['GET /orders?status=open', false],
    ['GET /orders', false],
    ['GET /orders?status=open&big=true&page=x', false],
    ['GET /orders?status=open&big=true&page=', false],
    ['GET /orders?status=open%20&big=true', false],
    ['GET /orders?status=open+&big=true', false],
  ]);
  for (const query of [
    'status=open&status=all&big=true',
    'status=all&status=open&big=true',
    'status=open&STATUS=all&big=true',
    'status=open&status[]=all&big=true',
    'status=open&%73tatus=all&big=true',
    'status=open&status%5B0%5D=all&big=true',
    'status=open&+status=all&big=true',
    'status=open;status=all&big=true',
    'status=open&big=true;x',
    'status=open&big=true&x=%ff',
    'status=open%00&big=true',
    'x&x&status=open&big=true',
    'status=open&[status]=all&big=true',
    'status=open&big=true&Page=3',
    'status=open&big=true&page[]=3',
    'status=open&big=true&[page]=3',
    'status=open&big=true&%20page=3',
    'status=open&big=true&page%00=3',
    '[status]=open&big=true',
  ])
    t.equal(judged(rule, `GET /orders?${query}`).reason, 'ambiguous_target', query);
  t.equal(
    httpProtocol.decide(roleOf(rule, 'GET /orders'), asks('GET /orders?status=1&status=2')).outcome,
    'allow',
    'where another rule looks at no query, nothing is ambiguous',
  );
});

t.test('a header that a rule names stands once, fits, and reaches the service', async (t) => {
  const rule = { route: 'GET /x', headers: { 'x-tenant': ['a', 'b'] } };
  cases(t, rule, [
    ['GET /x', true, 'x-tenant:a'],
    ['GET /x', true, 'X-Tenant: b'],
    ['GET /x', false, 'x-tenant:c'],
    ['GET /x', false],
    ['GET /x', 'ambiguous_target', 'x_tenant:a'],
    ['GET /x', 'ambiguous_target', 'x-tenant:a', 'X_Tenant:b'],
    ['GET /x', 'ambiguous_target', 'x-tenant:a', 'x-tenant:b'],
    ['GET /x', false, 'x-tenant:a', 'connection:x-tenant'],
    ['GET /x', false, 'x-tenant:a', 'Connection:close, X-Tenant'],
  ]);
  cases(t, { route: 'GET /x', headers: { 'x-tenant': { one_of: ['a'], optional: true } } }, [
    ['GET /x', true],
    ['GET /x', false, 'x-tenant:b'],
    ['GET /x', 'ambiguous_target', 'connection:x-tenant', 'x_tenant:b'],
  ]);
  cases(t, { route: 'GET /x', headers: { 'x-tenant': { absent: true } }, query: { sudo: { absent: true } } }, [
    ['GET /x', true],
    ['GET /x?page=2', true],
    ['GET /x', true, 'x-tenant:a', 'Connection:x-tenant'],
    ['GET /x', false, 'x-tenant:'],
    ['GET /x', 'ambiguous_target', 'x_tenant:a'],
    ['GET /x?sudo=root', false],
    ['GET /x?sudo', false],
    ['GET /x?SUDO=root', 'ambiguous_target'],
    ['GET /x?sudo[]=root', 'ambiguous_target'],
    ['GET /x', 'ambiguous_target', 'content-length:3'],
  ]);
  const dotted = { route: 'GET /x', query: { user_id: '1' } };
  for (const query of ['user_id=1&user.id=2', 'user_id=1&user%20id=2', 'user.id=1'])
    t.equal(judged(dotted, `GET /x?${query}`).reason, 'ambiguous_target', query);
  for (const name of [
    'host',
    'authorization',
    'x-forwarded-for',
    'daypass-handle',
    'connection',
    'X-Tenant',
    'te',
    'x_a',
  ])
    t.throws(() => roleOf({ route: 'GET /x', headers: { [name]: 'a' } }), z.ZodError, name);
});

t.test('an event stream is a kind of its own', async (t) => {
  cases(t, 'SSE /events', [
    ['GET /events', true, 'accept:text/event-stream'],
    ['GET /events', true, 'accept:application/json, text/event-stream;q=0.5'],
    ['GET /events', false, 'accept:text/event-streamx'],
    ['GET /events', false, 'accept:*/*'],
    ['GET /events', false],
    ['HEAD /events', false, 'accept:text/event-stream'],
    ['POST /events', false, 'accept:text/event-stream'],
    ['GET /events', false, 'accept:text/event-stream', 'connection:accept'],
  ]);
  t.match(judged('SSE /events', 'GET /events', 'accept:text/event-stream'), { obligations: { eventStream: true } });
  cases(t, 'SSE /rooms/:name', [
    ['GET /rooms/R%26D', true, 'accept:text/event-stream'],
    ['GET /rooms/C%23', true, 'accept:text/event-stream'],
    ['GET /rooms/%3Fx', false, 'accept:text/event-stream'],
    ['GET /rooms/C%23', false],
  ]);
  const room = judged('SSE /rooms/:name', 'GET /rooms/C%23', 'accept:text/event-stream');
  t.match(room, { obligations: { eventStream: true } }, 'whichever it is of, it is held to be one');
});

t.test(
  'an escaped slash passes where a rule has a <path>, and with a slash in its place is still a path',
  async (t) => {
    const slashed = [
      'GET /:name<path>',
      'GET /projects/:id<path>/issues/:n<int>',
      'GET /files/:file<path>/**',
      'GET /o/a%2Fb',
    ];
    const passes = (line: string) =>
      httpProtocol.decide(roleOf(...slashed, 'GET /plain/**', 'GET /one/:x'), asks(line));
    allows(t, passes, [
      'GET /@scope%2fpkg',
      'GET /pkg',
      'GET /projects/group%2Fsub%2Fproject/issues/7',
      'HEAD /projects/7/issues/7',
      'GET /files/src%2Fmain.ts/raw/x',
      'GET /o/a%2Fb',
    ]);
    findsAmbiguous(t, passes, [
      'GET /plain/a%2Fb',
      'GET /plain/a/b%2Fc/d',
      'GET /one/a%2Fb',
      'GET /projects%2Fx/issues/7',
      'GET /projects/x/issues/7%2F8',
      'GET /files/a/b%2Fc',
      'GET /o/a%2Fc',
      'GET /a%2F..%2Fb',
      'GET /..%2Fb',
      'GET /a%2F.%2Fb',
      'GET /a%2F%2e%2e',
      'GET /%2Fa',
      'GET /a%2F',
      'GET /a%2F%2Fb',
      'GET /a%252Fb',
      'GET /a%5Cb',
      'GET /files/a%2F/x',
      'GET /a%2F;b',
      'GET /a%2F..%3Fb',
      'GET /a%2F..%20',
      'GET /a%2F%23b',
    ]);
    for (const [path, why] of [
      ['/a%2F..%2Fb', 'a dot segment'],
      ['/a%2F', 'an empty segment'],
      ['/a%2F%2Fb', 'an empty segment'],
      ['/plain/a%2Fb', 'an escaped slash'],
    ] as const)
      t.match(passes(`GET ${path}`).message, `the path holds ${why}`);
    t.match(passes('POST /@scope%2Fpkg'), { reason: 'out_of_scope', message: /does not allow POST \/@scope%2Fpkg/ });
    cases(t, { route: 'GET /:name<path>', query: { write: false } }, [
      ['GET /@scope%2Fpkg?write=false', true],
      ['GET /@scope%2Fpkg?write=true', 'out_of_scope'],
      ['GET /@scope%2Fpkg', 'out_of_scope'],
      ['GET /@scope%2Fpkg?write=false&Write=true', 'ambiguous_target'],
      ['GET /@scope%2Fpkg/x?write=false', 'ambiguous_target'],
    ]);
    for (const line of ['GET /.daypass%2Fenter', 'GET /.daypass'])
      t.match(passes(line), { reason: /out_of_scope|ambiguous_target/, outcome: 'deny' }, line);
    t.match(passes('GET /one/a%2Fb').hint, /<path>/);
    t.match(httpProtocol.explain?.(roleOf(...slashed), asks('GET /a%2Fb')), [{ why: null }, {}, {}, {}]);
    t.throws(() => roleOf({ route: 'GET /x', query: { a: { type: 'path' } } }), z.ZodError, 'values are unescaped');
  },
);

t.test('a segment that is nothing but an escaped slash passes where the route has that very text', async (t) => {
  const named = ['GET /api/queues/%2F/:queue', 'GET /api/vhosts/%2F', 'GET /api/bindings/%2F/**', 'GET /two/%2F/%2F'];
  const others = ['GET /plain/**', 'GET /one/:x/y', 'GET /typed/:x<path>/y', 'GET /api/queues/x/:queue'];
  const passes = (line: string) => httpProtocol.decide(roleOf(...named, ...others), asks(line));
  allows(t, passes, [
    'GET /api/queues/%2F/orders',
    'GET /api/queues/%2f/orders?columns=name',
    'HEAD /api/vhosts/%2F',
    'GET /api/bindings/%2F',
    'GET /api/bindings/%2F/e/x/q/y',
    'GET /two/%2F/%2F',
  ]);
  findsAmbiguous(t, passes, [
    'GET /plain/%2F',
    'GET /plain/%2F/x',
    'GET /one/%2F/y',
    'GET /typed/%2F/y',
    'GET /api/queues/%2F%2F/orders',
    'GET /api/queues/%2Fx/orders',
    'GET /api/queues/%2F/a%2Fb',
    'GET /api/queues/%2F/..',
    'GET /api/queues/%2F/%2e%2e',
    'GET /api/queues/%2F/..%2Fx',
    'GET /api/queues/%2F/x%2F..',
    'GET /api/queues/%252F/orders',
    'GET /api/vhosts/%2F%20',
    'GET /api/vhosts/%2F%3Fx',
    'GET /api/vhosts/%2F%23',
    'GET /api/vhosts/%2F/',
    'GET /api/queues//orders',
    'GET /%2F/api/queues/x/orders',
    'GET /%2F',
  ]);
  t.match(
    passes('GET /api/queues/orders'),
    { reason: 'out_of_scope' },
    'what one that unescapes first may take it for',
  );
  t.throws(() => roleOf('GET /%2F/x'), /empty segment/, 'who unescapes first takes the next for a host');
});

t.test('limits are obligations; a body that says it is larger is refused as such', async (t) => {
  const rule = { route: 'POST /upload', body: '64KiB', rate: '20/m' };
  const { obligations } = judged(rule, 'POST /upload');
  t.same(obligations, {
    maxBody: 65_536,
    rates: [{ rule: 'POST /upload, body 64KiB, 20/m', rate: { count: 20, seconds: 60 } }],
  });
  cases(t, rule, [
    ['POST /upload', true, 'content-length:65536'],
    ['POST /upload', 'too_large', 'content-length:65537'],
    ['POST /other', 'out_of_scope', 'content-length:65537'],
  ]);
  t.equal(judged(rule, 'POST /upload').rule, 'POST /upload, body 64KiB, 20/m');
});

t.test('the opening of a WebSocket is a GET to whoever looks for its method in a query', async (t) => {
  const outcome = (query: string) => httpProtocol.decide(roleOf('WS /live'), asks(`WS /live?${query}`)).outcome;
  t.equal(outcome('method=GET'), 'allow');
  t.equal(outcome('method=DELETE'), 'deny');
});

t.test('what is asked for besides has the smaller body of both rules, and the rates of each', async (t) => {
  const obligations = (post: string | undefined, patch: string | undefined) => {
    const role = roleOf(
      { route: 'POST /orders/:id', body: post, rate: '3/m' },
      { route: 'PATCH /orders/:id', body: patch, rate: '2/m' },
    );
    return httpProtocol.decide(role, asks('POST /orders/7?method=PATCH')).obligations;
  };
  t.equal(obligations('8KiB', '4KiB').maxBody, 4_096);
  t.equal(obligations('4KiB', '8KiB').maxBody, 4_096);
  t.equal(obligations(undefined, '4KiB').maxBody, 4_096, 'also of chunks, which say no length');
  t.equal(obligations('4KiB', undefined).maxBody, 4_096);
  t.same(
    obligations(undefined, undefined).rates?.map(({ rate }) => rate.count),
    [3, 2],
  );
});

t.test('a message is judged as the request that opened its socket', async (t) => {
  const role = roleOf({ route: 'WS /live', query: { room: 'a' } });
  const opening = (target: string): RequestAction => {
    const words = { method: 'WS', rawTarget: target, client: '', headers: [], injected: [] };
    return { kind: 'request', ...words, target: readServiceTarget(target) };
  };
  const message = (target: string) =>
    httpProtocol.decide(role, {
      kind: 'message',
      opening: opening(target),
      facts: new MessageFacts('/live', undefined),
      frame: 'text',
      data: Buffer.alloc(0),
    });
  t.equal(message('/live?room=a').outcome, 'allow');
  t.equal(message('/live?room=b').outcome, 'deny');
});

t.test('what is wrong with a rule is said, and limits make no second rule of it', async (t) => {
  const problems = (...allow: readonly unknown[]) =>
    httpProtocol.compileRole('viewer', [httpProtocol.role(values).parse({ allow })], upstream);
  t.match(problems('GET /:id<float>'), { ok: false, problems: [{ message: /no parameter/, hint: /uuid/ }] });
  t.match(problems('GET /:id<int'), { ok: false });
  t.match(problems('GET /:id<constructor>'), { ok: false });
  t.match(problems('GET /:a<int>', 'GET /:b<int>'), { ok: false, problems: [{ message: /twice/ }] });
  t.match(problems('GET /:a<int>', 'GET /:b<slug>'), { ok: true });
  t.match(problems('POST /x', { route: 'POST /x', body: '1KiB' }), { ok: false, problems: [{ message: /twice/ }] });
  t.match(problems({ route: 'GET /x', query: { a: 1 } }, { route: 'GET /x', query: { a: '1' } }), { ok: false });
  t.match(problems({ route: 'GET /x', query: { a: 1 } }, 'GET /x'), { ok: true });
  for (const bad of [
    { rate: '0/s' },
    { rate: '5' },
    { body: '1kb' },
    { body: 5 },
    { querry: {} },
    { query: { a: [] } },
  ])
    t.throws(() => roleOf({ route: 'GET /x', ...bad }), z.ZodError, JSON.stringify(bad));
});

t.test('who asks about a policy learns why each rule does not apply', async (t) => {
  const role = roleOf(
    'POST /x',
    'GET /y',
    { route: 'GET /x', query: { a: '1' } },
    'SSE /x',
    'SSE /y',
    'GET /:id<int>',
    'GET /:id<int>/:day<date>',
    'GET /x',
  );
  t.same(httpProtocol.explain?.(role, asks('GET /x?a=2')), [
    { rule: 'POST /x', why: 'it is for POST' },
    { rule: 'GET /y', why: 'the path is another' },
    { rule: 'GET /x, query a=1', why: 'the query parameter a is not 1' },
    { rule: 'SSE /x', why: 'Accept does not name text/event-stream' },
    { rule: 'SSE /y', why: 'the path is another' },
    { rule: 'GET /:id<int>', why: 'x is no <int>' },
    { rule: 'GET /:id<int>/:day<date>', why: 'the path is another' },
    { rule: 'GET /x', why: null },
  ]);
});

t.test('of a rule for this method and path it is said what it takes besides', async (t) => {
  const role = roleOf(
    { route: 'GET /q', query: { a: { type: 'int' } } },
    { route: 'GET /h', headers: { 'x-tenant': ['acme', 'globex'] } },
    'SSE /events',
  );
  const refused = (request: string, message: RegExp, hint: string) =>
    t.match(httpProtocol.decide(role, asks(request)), { reason: 'out_of_scope', message, hint }, request);
  refused('GET /q', /not allow GET \/q: the query parameter a is missing\.$/, 'it takes GET /q, query a=<int>');
  refused('GET /q?a=x', /: the query parameter a is not <int>\.$/, 'it takes GET /q, query a=<int>');
  refused('GET /h', /: the header x-tenant is missing\.$/, 'it takes GET /h, header x-tenant=acme|globex');
  refused('GET /events', /: Accept does not name text\/event-stream\.$/, 'it takes SSE /events');
  refused('GET /other', /not allow GET \/other\.$/, 'ask the owner of the service for a role with GET /other');
  t.match(httpProtocol.decide(role, asks('GET /q?a=1&a=2')), { reason: 'ambiguous_target' });
});
