import t from 'tap';
import { decide } from '../../src/postgres/decide.js';
import { analyse, loadParser } from '../../src/postgres/sql/analyse.js';
import { throughGateway } from '../support/gateway.js';
import { gatewayToOrders } from './fixture.js';
import { compile, roleOf } from './role.js';

await loadParser();

const LIMITED = `{ statements: [select, explain, copy-out], relations: [public.orders], columns: [id, status] }
      - { statements: [select], relations: [public.order_items] }`;

t.test('a column that the rule names and the relation lacks allows nothing, least of all the whole row', async (t) => {
  const reader = '{ statements: [select], relations: [public.orders], columns: [id, ghost] }';
  const gateway = await gatewayToOrders(t, { policy: { reader } });
  const client = await throughGateway(
    t,
    gateway.ports.postgres,
    (await gateway.issue({ service: 'orders-db' })).handle,
  );
  for (const text of [
    'select ghost from orders ghost',
    'select row_to_json(ghost) from orders ghost',
    'select ghost.ghost from orders ghost',
    'select (ghost).customer from orders ghost',
    'select x from (select ghost as x from orders ghost) q',
  ]) {
    await t.rejects(client.query(text), { code: '42501', message: /^Daypass: / }, text);
  }
  await t.resolves(client.query('select ghost.id from orders ghost limit 1'));
});

t.test('a rule with columns lets these be read and no others, however they are reached', async (t) => {
  const gateway = await gatewayToOrders(t, { policy: { reader: LIMITED } });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  for (const text of [
    'select id, status from orders where id = 1',
    'select o.id, o.status from public.orders o order by o.status limit 1',
    'select count(*) from orders',
    'select public.orders.id from orders limit 1',
    'with q as (select id, status from orders) select * from q limit 1',
    'select i.sku, o.status from order_items i join orders o on o.id = i.order_id limit 1',
    'select * from order_items limit 1',
    'select status, count(*) from orders group by status',
    'select sku from order_items where order_id in (select id from orders) limit 1',
    'explain select id from orders',
    'explain (verbose) select status from orders',
    "update orders set amount = 5, customer = 'x' where id = 1 returning id, status",
    'declare c cursor with hold for select id from orders',
  ]) {
    await t.resolves(client.query(text), text);
  }
  for (const text of [
    'select * from orders',
    'table orders',
    'select o.* from orders o',
    'select customer from orders',
    'select o.customer from orders o',
    'select public.orders.customer from orders',
    'select o from orders o',
    'select orders from orders',
    'select row_to_json(o) from orders o',
    'select to_jsonb(orders) from orders',
    'select o.row_to_json from orders o',
    'select (o).customer from orders o',
    'select (o).id from orders o',
    'select (o.*)::text from orders o',
    'select count(o) from orders o',
    'select id from orders where customer = $$x$$',
    'select id from orders order by customer',
    'select id from orders order by amount',
    'select count(*) from orders group by amount',
    'select o.ctid from orders o',
    'select ctid from orders',
    'select q.* from (select * from orders) q',
    'with q as (select * from orders) select id from q',
    'select a from orders as o(a, b, c, d)',
    'select c from orders as o(a, b, c, d)',
    'select j.customer from (orders o join order_items i on true) as j',
    'select j.id from (orders o join order_items i on true) as j',
    'select 1 from orders o natural join order_items i',
    'select 1 from orders a join orders b using (customer)',
    'select (select o.customer) from orders o',
    'select (select customer from order_items limit 1) from orders',
    'select 1 from order_items i where exists (select 1 from orders o where o.customer = i.sku)',
    'select l.x from orders o, lateral (select o.customer as x) l',
    'select x from orders o, lateral row_to_json(o) x',
    'select id from orders union select order_id from order_items union select amount::int from orders',
    'update orders set status = customer',
    "update orders set status = 'x' where customer = 'y'",
    "update orders set status = 'x' returning *",
    "update orders set status = 'x' returning customer",
    "update orders set status = 'x' returning old.customer",
    "update orders o set status = 'x' returning with (old as before) before.customer",
    'insert into order_items select * from orders',
    'explain analyze select customer from orders',
    'prepare p as select customer from orders',
    'declare d cursor for select * from orders',
    'select sum(amount) over (partition by status) from orders',
    'select id from orders o where (o.*) is not null',
  ]) {
    await t.rejects(client.query(text), { code: '42501', message: /^Daypass: / }, text);
  }
  await t.rejects(client.query('select customer from orders'), {
    hint: /may be read: id, status/,
    message: /the column customer of public\.orders/,
  });
});

t.test('COPY reads the columns it names', async (t) => {
  const role = roleOf({
    search_path: ['public'],
    allow: [{ statements: ['copy-out'], relations: ['public.orders'], columns: ['id'] }],
  });
  const decided = (text: string) =>
    decide(role, { text, analysis: analyse(text), contained: [], via: 'query' }).outcome;
  t.equal(decided('copy orders (id) to stdout'), 'allow');
  t.equal(decided('copy orders to stdout'), 'deny');
  t.equal(decided('copy orders (id, customer) to stdout'), 'deny');
  t.equal(decided('copy (select id from orders) to stdout'), 'allow');
  t.equal(decided('copy (select customer from orders) to stdout'), 'deny');
});

t.test('rules for the same relation add up, and one without columns allows them all', async (t) => {
  const rule = (columns?: string[]) => ({
    statements: ['select'],
    relations: ['public.orders'],
    ...(columns ? { columns } : {}),
  });
  const decided = (text: string, ...allow: unknown[]) =>
    decide(roleOf({ allow }), { text, analysis: analyse(text), contained: [], via: 'query' }).outcome;
  t.equal(decided('select id, status from orders', rule(['id']), rule(['status'])), 'allow');
  t.equal(decided('select amount from orders', rule(['id']), rule(['status'])), 'deny');
  t.equal(decided('select * from orders', rule(['id']), rule()), 'allow');
});

t.test('columns: without relations, for writes or with a whole schema is refused in the policy', async (t) => {
  const problem = (rule: object) => {
    const compiled = compile({ allow: [rule] });
    return compiled.ok ? 'fine' : compiled.problems.map(({ message }) => message).join('; ');
  };
  t.equal(problem({ statements: ['select'], relations: ['public.orders'], columns: ['id'] }), 'fine');
  t.match(
    problem({ statements: ['select', 'update'], relations: ['public.orders'], columns: ['id'] }),
    /narrow what is read/,
  );
  t.match(problem({ statements: ['select'], relations: ['public.*'], columns: ['id'] }), /columns of public\.\*/);
  t.match(problem({ statements: ['show'], columns: ['id'] }), /which relations/);
  t.match(problem({ statements: ['any'], columns: ['id'] }), /stands alone/);
});
