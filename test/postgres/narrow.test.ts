import fc from 'fast-check';
import t from 'tap';
import { decide } from '../../src/postgres/decide.js';
import { postgresConfig } from '../../src/postgres/policy.js';
import type { PostgresRole } from '../../src/postgres/role.js';
import { analyse } from '../../src/postgres/sql/analyse.js';
import { loadParser } from '../../src/postgres/sql/parser.js';
import { roleOf } from './role.js';

await loadParser();

const EDITOR = {
  search_path: ['public'],
  allow: [
    { statements: ['select', 'explain', 'copy-out'], relations: ['public.orders', 'public.order_items'] },
    { statements: ['select'], relations: ['public.customers'], columns: ['id', 'name'] },
    { statements: ['update'], relations: ['public.orders'] },
    { statements: ['insert', 'delete'], relations: ['public.order_items'] },
    { statements: ['select'], functions: ['public.total'] },
    { statements: ['select'], relations: ['public.a', 'public.b', 'public.c', 'public.d', 'public.e'] },
  ],
};
const STATEMENTS = [
  'select id from orders',
  'select id, name from customers',
  'select * from customers',
  'update orders set status = $1 where id = 1',
  'insert into order_items values (1)',
  'delete from order_items where order_id = 1',
  'select public.total(1)',
  'select e.n from e join orders on true',
  'copy orders to stdout',
  'select 1',
  'begin',
  'drop table orders',
  'explain select id from orders',
];
const { rulesOf, narrow } = postgresConfig;
const outcome = (role: PostgresRole, text: string) =>
  decide(role, { text, analysis: analyse(text), contained: [], via: 'query' }).outcome;

t.test(
  'a narrowed role allows what its remaining rules allow, and all that follows from rules is made anew',
  async (t) => {
    const role = roleOf(EDITOR);
    const rules = rulesOf(role);
    t.same(rules.slice(0, 3), [
      'select, explain, copy-out on public.orders, public.order_items',
      'select on public.customers (id, name)',
      'update on public.orders',
    ]);
    t.match([role.readOnly, role.any], [false, false]);
    const reading = narrow(role, new Set(rules.slice(0, 1)));
    t.match(reading, { name: 'tested', readOnly: true, any: false, searchPath: ['public'], upstream: role.upstream });
    t.same(
      reading.relations.map(({ name }) => name),
      ['order_items', 'orders'],
    );
    t.equal(outcome(reading, 'select id from orders'), 'allow');
    t.equal(outcome(reading, 'update orders set status = $1'), 'deny');
    t.equal(narrow(role, new Set(rules.slice(2, 3))).readOnly, false);
  },
);

t.test('without a rule nothing is allowed, not even what every role may do', async (t) => {
  const nothing = narrow(roleOf(EDITOR), new Set(['drop on public.orders']));
  t.match(nothing, { rules: [], readOnly: true, any: false, relations: [] });
  for (const text of STATEMENTS) t.equal(outcome(nothing, text), 'deny', text);
});

t.test('a role that loses its `any` is judged again', async (t) => {
  const more = { statements: ['select'], relations: ['public.orders'] };
  const role = roleOf({ search_path: ['public'], allow: [{ statements: ['any'] }, more] });
  t.match(role, { any: true, readOnly: false });
  t.equal(outcome(role, 'drop table orders'), 'allow');
  const judged = narrow(role, new Set(['select on public.orders']));
  t.match(judged, { any: false, readOnly: true });
  t.equal(outcome(judged, 'drop table orders'), 'deny');
  t.equal(outcome(judged, 'select id from orders'), 'allow');
  t.match(narrow(role, new Set(['any'])), { any: true });
  const wide = roleOf({ search_path: ['public', 'other'], allow: [{ statements: ['any'] }, more] });
  const lost = narrow(wide, new Set(['select on public.orders']));
  t.match(lost, { any: false, rules: [] }, 'restricted roles search exactly one schema');
  for (const text of STATEMENTS) t.equal(outcome(lost, text), 'deny', text);
});

t.test('the text of a rule names what it leaves out: another list of relations is another text', async (t) => {
  const textOf = (...relations: string[]) => rulesOf(roleOf({ allow: [{ statements: ['select'], relations }] }))[0];
  const five = ['public.a', 'public.b', 'public.c', 'public.d', 'public.e'];
  t.match(textOf(...five), /^select on public\.a, public\.b, public\.c and 2 more \([0-9a-f]{8}\)$/);
  t.equal(textOf(...five), textOf(...five));
  t.not(textOf(...five), textOf(...five.slice(0, 4), 'public.payment_methods'));
});

t.test('whatever texts are given, a narrowed role allows nothing that the whole role does not allow', async (t) => {
  const role = roleOf(EDITOR);
  const text = fc.oneof(
    fc.constantFrom(...rulesOf(role)),
    fc.constantFrom('any', '', 'drop on public.orders'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 6 }), fc.constantFrom(...STATEMENTS), (texts, statement) => {
      const less = narrow(role, new Set(texts));
      const within = less.rules.every((rule) => role.rules.includes(rule) && texts.includes(rule.text));
      return within && (outcome(less, statement) === 'deny' || outcome(role, statement) === 'allow');
    }),
  );
  t.pass();
});

t.test('a role gives more than another where a limit is larger or less is recorded', async (t) => {
  const allow = [{ statements: ['select'], relations: ['public.orders'] }];
  const role = (limits: object) => roleOf({ allow, ...limits });
  const { looser } = postgresConfig;
  const tight = { max_rows: 10, max_bytes: 1_024, statement_timeout: 5, recording: { results: 5 } };
  t.same(looser(role({}), role(tight)), ['max_rows', 'max_bytes', 'statement_timeout', 'recording.results']);
  t.same(looser(role({ ...tight, max_rows: 11 }), role(tight)), ['max_rows']);
  t.same(looser(role(tight), role({})), []);
  t.same(looser(role(tight), role(tight)), []);
  const shown = (parameters: string) => role({ recording: { parameters } });
  t.same(looser(shown('off'), shown('hashed')), ['recording.parameters']);
  t.same(looser(shown('hashed'), role({})), ['recording.parameters']);
  t.same(looser(role({}), shown('off')), []);
});

t.test('where everything is allowed, another account may be a wider one', async (t) => {
  const any = [{ statements: ['any'] }];
  const [own, other] = [roleOf({ allow: any }), roleOf({ allow: any })];
  const elsewhere = { ...own, upstream: { ...own.upstream, user: 'another' } };
  t.same(postgresConfig.looser(own, other), []);
  t.same(postgresConfig.looser(own, elsewhere), ['upstream.user']);
});
