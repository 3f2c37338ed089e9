import fc from 'fast-check';
import t from 'tap';
import { valueSchemas } from '../../src/config/values.js';
import type { HttpAction } from '../../src/http/action.js';
import { httpProtocol } from '../../src/http/protocol.js';
import type { HttpRole } from '../../src/http/rules/decide.js';

const { rulesOf, narrow, decide, actionFromWords } = httpProtocol;
const values = valueSchemas({ env: {}, directory: '/' });
const upstream = httpProtocol.upstream(values).parse({ url: 'http://127.0.0.1:1' });

function editor(): HttpRole {
  const allow = [
    'GET /orders/**',
    'GET /orders/:id',
    'POST /orders/:id/retry',
    'WS /live',
    { route: 'PUT /orders/:id', body: '1KiB' },
    'GET /packages/:name<path>',
  ];
  const block = { allow, websocket: { max_message: '2MiB' } };
  const compiled = httpProtocol.compileRole('editor', [httpProtocol.role(values).parse(block)], upstream);
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  return compiled.value;
}

const REQUESTS = [
  'GET /orders/7',
  'GET /orders',
  'HEAD /orders/7',
  'POST /orders/7/retry',
  'WS /live',
  'PUT /orders/7',
  'GET /',
  'DELETE /orders/7',
  'GET /packages/@scope%2Fpkg',
  'GET /orders/7%2F8',
];
const asked = (words: string): HttpAction => actionFromWords(words.split(' '));

t.test('a narrowed role keeps its settings and those rules alone whose texts are given', async (t) => {
  const role = editor();
  const less = narrow(role, new Set(['GET /orders/**', 'GET /nowhere']));
  t.same(rulesOf(less), ['GET /orders/**']);
  t.match(less, { name: 'editor', settings: { maxMessage: 2 * 1024 * 1024 } });
  t.equal(decide(less, asked('GET /orders/7')).outcome, 'allow');
  t.match(decide(less, asked('POST /orders/7/retry')), { outcome: 'deny', reason: 'out_of_scope' });
  const nothing = narrow(role, new Set());
  for (const words of REQUESTS) t.equal(decide(nothing, asked(words)).outcome, 'deny', words);
});

t.test(
  'an escaped slash that only a rule beyond the grant takes is out of scope, and no <path> is asked for',
  async (t) => {
    const role = editor();
    const slashed = asked('GET /packages/@scope%2Fpkg');
    const less = narrow(role, new Set(['GET /orders/**']));
    t.match(decide(less, slashed), { outcome: 'deny', reason: 'out_of_scope' });
    t.notMatch(decide(less, slashed).hint, '<path>');
    t.match(
      decide(narrow(less, new Set()), slashed),
      { outcome: 'deny', reason: 'out_of_scope' },
      'and narrowed again',
    );
    t.equal(decide(narrow(role, new Set(['GET /packages/:name<path>'])), slashed).outcome, 'allow');
    for (const one of [role, less]) {
      const refused = decide(one, asked('GET /orders/7%2F8'));
      t.match(refused, { outcome: 'deny', reason: 'ambiguous_target', hint: '<path>' }, 'no rule of the role takes it');
    }
  },
);

t.test('a role gives more than another where its messages may be larger or less of bodies is kept', async (t) => {
  const role = (settings: object) => {
    const block = httpProtocol.role(values).parse({ allow: ['GET /'], ...settings });
    const compiled = httpProtocol.compileRole('viewer', [block], upstream);
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    return compiled.value;
  };
  const messages = (size: string) => role({ websocket: { max_message: size } });
  const bodies = (size: string) => role({ recording: { bodies: size } });
  const { looser } = httpProtocol;
  t.same(looser(messages('32MiB'), role({})), ['websocket.max_message']);
  t.same(looser(role({}), messages('32MiB')), []);
  t.same(looser(role({}), bodies('64KiB')), ['recording.bodies']);
  t.same(looser(bodies('1KiB'), role({})), ['recording.bodies'], 'less of requests than without a size');
  t.same(looser(bodies('64KiB'), role({})), []);
  t.same(looser(bodies('64KiB'), bodies('64KiB')), []);
});

t.test('whatever texts are given, a narrowed role allows nothing that the whole role does not allow', async (t) => {
  const role = editor();
  const text = fc.oneof(
    fc.constantFrom(...rulesOf(role)),
    fc.constantFrom('GET /**', 'DELETE /orders/:id'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 6 }), fc.constantFrom(...REQUESTS), (texts, words) => {
      const less = narrow(role, new Set(texts));
      const within = less.rules.every((rule) => role.rules.includes(rule) && texts.includes(rule.text));
      return (
        within && (decide(less, asked(words)).outcome === 'deny' || decide(role, asked(words)).outcome === 'allow')
      );
    }),
  );
  t.pass();
});
