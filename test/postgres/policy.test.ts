import t from 'tap';
import { standInSchemas, valueSchemas } from '../../src/config/values.js';
import { postgresConfig } from '../../src/postgres/policy.js';
import { compile, READER, roleOf, UPSTREAM } from './role.js';

const values = valueSchemas({ env: { PASSWORD: 'hunter2' }, directory: '.' });
const upstream = (block: unknown) => postgresConfig.upstream(values).safeParse(block);
const role = (block: unknown) => postgresConfig.role(values).safeParse(block);
const password = { env: 'PASSWORD' };

t.test(
  'an upstream is read with its secret; TLS is verified off the loopback unless the file says otherwise',
  async (t) => {
    const base = { database: 'orders', user: 'u', password };
    t.match(upstream({ ...base, address: '127.0.0.1:5433' }).data, {
      host: '127.0.0.1',
      port: 5433,
      password: 'hunter2',
      tls: { mode: 'disable' },
    });
    t.match(upstream({ ...base, address: 'db.example:5432' }).data?.tls, { mode: 'verify-full' });
    t.match(upstream({ ...base, address: 'db.example:5432', tls: 'require' }).data?.tls, { mode: 'require' });
    const ca = upstream({ ...base, address: 'db.example:5432', tls: { mode: 'verify-full', ca: password } });
    t.match(ca.data?.tls, { mode: 'verify-full', ca: 'hunter2' });
    t.notOk(upstream({ ...base, address: '127.0.0.1:5433', sslmode: 'x' }).success, 'an unknown key');
    t.notOk(upstream({ ...base, address: '127.0.0.1:5433', password: 'inline' }).success, 'a written password');
    t.notOk(upstream({ ...base, address: '127.0.0.1:5433', tls: 'prefer' }).success, 'a mode that could fall back');
    t.ok(postgresConfig.upstream(standInSchemas()).safeParse({ ...base, address: 'x:1' }).success);
  },
);

t.test('a role block is strict, and names relations and functions with their schema', async (t) => {
  t.ok(role(READER).success);
  t.ok(role({ ...READER, upstream: { user: 'x', password } }).success);
  for (const block of [
    { ...READER, allowed: [] },
    { allow: [] },
    { allow: [{ statements: [], relations: ['public.a'] }] },
    { allow: [{ statements: ['selekt'], relations: ['public.a'] }] },
    { allow: [{ statements: ['select'], relations: ['orders'] }] },
    { allow: [{ statements: ['select'], relations: ['*'] }] },
    { allow: [{ statements: ['select'], relations: ['*.orders'] }] },
    { allow: [{ statements: ['select'], relations: ['db.public.orders'] }] },
    { allow: [{ statements: ['select'], functions: ['f'] }] },
    { allow: [{ statements: ['select'], functions: ['pg_catalog.set_config'] }] },
    { allow: [{ statements: ['select'], functions: ['pg_catalog.query_to_xml'] }] },
    { ...READER, search_path: ['pg_catalog'] },
    { ...READER, search_path: [] },
    { ...READER, upstream: { user: 'x' } },
  ]) {
    t.notOk(role(block).success, JSON.stringify(block));
  }
});

t.test('an extending role adds rules; the last upstream and search path count', async (t) => {
  const editor = roleOf(READER, {
    upstream: { user: 'fixer', password: 'two' },
    allow: [{ statements: ['update'], relations: ['public.orders', 'work.*'] }],
  });
  t.match(editor, { searchPath: ['public'], any: false, readOnly: false });
  t.match(editor.upstream, { ...UPSTREAM, user: 'fixer', password: 'two' });
  t.same(
    editor.relations.map(({ name }) => name),
    ['order_items', 'order_summary', 'orders'],
  );
  t.equal(editor.rules.length, 2);
  t.match(roleOf(READER), { readOnly: true, upstream: UPSTREAM });
});

t.test('what a role cannot mean is a problem where it stands', async (t) => {
  const problem = (block: unknown) => {
    const compiled = compile(READER, block);
    return compiled.ok ? null : compiled.problems[0]?.path;
  };
  t.same(problem({ allow: [{ statements: ['any', 'select'] }] }), ['allow', 0, 'statements']);
  t.same(problem({ allow: [{ statements: ['any'], relations: ['public.a'] }] }), ['allow', 0, 'statements']);
  t.same(problem({ allow: [{ statements: ['show'] }, { statements: ['update'] }] }), ['allow', 1, 'statements']);
  t.same(problem({ allow: [{ statements: ['select'] }] }), ['allow', 0, 'statements']);
  t.same(problem({ allow: [{ statements: ['update'], relations: ['pg_catalog.pg_settings'] }] }), [
    'allow',
    0,
    'relations',
  ]);
  t.same(problem({ allow: [{ statements: ['select'], relations: ['pg_catalog.*'] }] }), ['allow', 0, 'relations']);
  t.same(problem({ search_path: ['a', 'b'], allow: [{ statements: ['show'] }] }), ['search_path']);
  t.equal(problem({ search_path: ['a', 'b'], allow: [{ statements: ['any'] }] }), null);
  t.equal(problem({ allow: [{ statements: ['select'], relations: ['pg_catalog.pg_stat_activity'] }] }), null);
});
