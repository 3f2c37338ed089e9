import t from 'tap';
import { z } from 'zod';
import { standInSchemas } from '../../src/config/values.js';
import { httpProtocol } from '../../src/http/protocol.js';

const values = standInSchemas();
const upstream = httpProtocol.upstream(values).parse({
  url: 'http://127.0.0.1:1',
  headers: { X_Tenant: { env: 'TENANT' } },
  identity_headers: { subject: 'X-User' },
});

const compile = (...blocks: readonly (readonly unknown[])[]) => {
  const chain = blocks.map((allow) => httpProtocol.role(values).parse({ allow }));
  return httpProtocol.compileRole('viewer', chain, upstream);
};

t.test('a rule that narrows what one before it allows is refused: it would never decide', async (t) => {
  const never: readonly (readonly [unknown, unknown])[] = [
    ['GET /**', { route: 'GET /x', rate: '1/h' }],
    ['POST /**', { route: 'POST /x/:id<int>', body: '1KiB' }],
    ['GET /x', { route: 'GET /x', query: { a: 'b' } }],
    ['GET /x', { route: 'GET /x', headers: { 'x-a': 'b' } }],
    ['GET /x', { route: 'HEAD /x', rate: '1/h' }],
    ['GET /x', { route: 'SSE /x', rate: '1/h' }],
    ['GET /:id', { route: 'GET /:id<int>', rate: '1/h' }],
    ['GET /:id<path>', { route: 'GET /:id', rate: '1/h' }],
    ['GET /:id<int>/**', { route: 'GET /7/x', rate: '1/h' }],
    [
      { route: 'GET /x', query: { a: ['b', 'c'] }, rate: '9/h' },
      { route: 'GET /x', query: { a: ['b', 'c'], d: 'e' }, rate: '1/h' },
    ],
    [
      { route: 'GET /x', query: { a: { one_of: ['b'], optional: true } } },
      { route: 'GET /x', query: { a: { absent: true } } },
    ],
    [
      { route: 'POST /:id', body: '2KiB' },
      { route: 'POST /x', body: '1KiB' },
    ],
  ];
  for (const [first, second] of never) {
    const words = JSON.stringify([first, second]);
    const problem = { message: /never decides/, hint: /before/ };
    t.match(compile([first, second]), { ok: false, problems: [{ path: ['allow', 1], ...problem }] }, words);
    t.match(
      compile([first], [second]),
      { ok: false, problems: [{ path: ['allow', 0], ...problem }] },
      `${words} apart`,
    );
    t.match(compile([second, first]), { ok: true }, `${words}, the narrow one first`);
  }
});

t.test('a rule whose path some services take for a shorter one needs a rule for that', (t) => {
  for (const [rule, shorter] of [
    ['GET /r&d/:id', 'GET /r'],
    ['GET /rooms/:id<int>/R%26D', 'GET /rooms/:p2<int>/R'],
    ['DELETE /x/a%3Fb/**', 'DELETE /x/a'],
    ['POST /c%23', 'POST /c'],
    ['WS /&live', 'WS /'],
  ] as const) {
    const compiled = compile([rule]);
    const [problem] = compiled.ok ? [] : compiled.problems;
    t.same(problem?.path, ['allow', 0], rule);
    t.equal(problem?.message, `${rule} allows nothing: some services take it for ${shorter}, which no rule is for`);
    t.match(compile([rule, shorter]), { ok: true }, `${rule}, and ${shorter}`);
    t.match(compile([shorter], [rule]), { ok: true }, `${shorter} of what it extends`);
    t.match(compile(['PUT /**'], [rule]), { ok: false }, `another method than ${rule}`);
  }
  t.match(compile(['GET /r&d%3Fx', 'GET /r']), { ok: false, problems: [{ message: /for GET \/r&d,/ }] });
  t.match(compile(['GET /wiki/:page', 'GET /wiki/R&D']), { ok: true });
  t.match(compile(['GET /r&d/c&d', 'GET /r']), { ok: true }, 'it ends at the first');
  t.match(compile(['GET /x/:id/r&d', 'GET /x/:id<int>/r']), { ok: true }, 'it allows that of numbers');
  t.match(compile(['GET /x/:id/r&d', 'GET /x/7/**']), { ok: true }, 'it allows that of one');
  t.match(compile(['GET /x/:id<int>/r&d', 'GET /x/y/**']), { ok: false }, 'no number is y');
  t.end();
});

t.test('a rule that decides in some case may stand behind another', async (t) => {
  const reached: readonly (readonly [unknown, unknown])[] = [
    ['GET /**', 'GET /x'], // a grant can be narrowed to it
    ['GET /x', { route: 'GET /:id', rate: '1/h' }],
    ['HEAD /x', { route: 'GET /x', rate: '1/h' }],
    ['GET /x', { route: 'WS /x', rate: '1/h' }],
    ['GET /:id<int>', { route: 'GET /x', rate: '1/h' }],
    ['GET /**', { route: 'GET /:id<path>', rate: '1/h' }],
    ['GET /**', { route: 'GET /a%2Fb', rate: '1/h' }],
    ['GET /:id', { route: 'GET /**', rate: '1/h' }],
    ['GET /x/y/**', { route: 'GET /x', rate: '1/h' }],
    [
      { route: 'GET /x', query: { a: 'b' } },
      { route: 'GET /x', query: { c: 'd' } },
    ],
    [
      { route: 'GET /x', query: { a: { one_of: ['b'] } } },
      { route: 'GET /x', query: { a: { one_of: ['b'], optional: true } } },
    ],
    [
      { route: 'GET /x', query: { a: { absent: true } } },
      { route: 'GET /x', query: { a: { one_of: ['b'], optional: true } } },
    ],
    [
      { route: 'GET /x', query: { a: 'b' } },
      { route: 'GET /x', query: { a: { absent: true } } },
    ],
    [
      { route: 'POST /x', body: '1KiB' },
      { route: 'POST /:id', body: '2KiB' },
    ],
  ];
  for (const pair of reached) t.match(compile(pair), { ok: true }, JSON.stringify(pair));
});

t.test('a condition that nothing can meet is refused', async (t) => {
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ query: { a: '1', A: '2' } }, /twice/],
    [{ query: { 'f[a]': '1', 'f[b]': '2' } }, /twice/],
    [{ query: { user_id: '1', 'user.id': '2' } }, /twice/],
    [{ query: { a: 'x\ny' } }, /no query/],
    [{ query: { 'a\n': 'x' } }, /no query/],
    [{ headers: { 'x-a': 'größe' } }, /no header/], // a header holds bytes, which one reads so and another so
    [{ headers: { 'x-a': { one_of: ['x\r\ny'] } } }, /no header/],
    [{ headers: { 'x-a': [' x'] } }, /no header/],
  ];
  for (const [conditions, message] of refused) {
    const thrown = t.throws(
      () => compile([{ route: 'GET /x', ...conditions }]),
      z.ZodError,
      JSON.stringify(conditions),
    );
    t.match(JSON.stringify(thrown), message, JSON.stringify(conditions));
  }
  t.match(compile([{ route: 'WS /x', body: '1KiB' }]), {
    problems: [{ path: ['allow', 0], message: /no body/, hint: /websocket/ }],
  });
  for (const name of ['x-tenant', 'x-user'])
    t.match(
      compile(['GET /', { route: 'GET /x', headers: { [name]: 'a' } }]),
      { ok: false, problems: [{ path: ['allow', 1], message: new RegExp(name) }] },
      'the service is sent another one in its place',
    );
});

t.test('rules that differ are worded differently', async (t) => {
  const compiled = compile([
    { route: 'GET /x', query: { a: 'b|c' } },
    { route: 'GET /x', query: { a: ['b', 'c'] } },
    { route: 'GET /x', query: { a: '<int>' } },
    { route: 'GET /x', query: { a: { type: 'int' } } },
    { route: 'GET /x', query: { a: 'd, body 1KiB' } },
    { route: 'GET /x', query: { a: 'd' }, body: '1KiB' },
  ]);
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  const texts = httpProtocol.rulesOf(compiled.value);
  t.equal(new Set(texts).size, 6, 'by its text a grant is narrowed to a rule');
});
