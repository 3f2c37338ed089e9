import { connect } from 'node:net';
import t from 'tap';
import { passwordMessage, startupMessage } from '../../src/postgres/wire/frontend-writer.js';
import { gatewayToOrders, ordersDatabase } from '../postgres/fixture.js';
import { startGateway, type TestGateway, throughGateway } from '../support/gateway.js';

/** What a careless or hostile owner of the schema may have left behind; every one of them writes when it is run. */
const TRAPS = `
  create table touched (what text);
  grant insert, select on touched to public;
  create function danger(orders) returns text language sql as $$ insert into touched values ('danger') returning what $$;
  create function doubled(int) returns text language sql as $$ insert into touched values ('doubled') returning what $$;
  create function anything(anyelement) returns text language sql as $$ insert into touched values ('anything') returning what $$;
  create function lower(orders) returns text language sql as $$ insert into touched values ('lower') returning what $$;
  create function evil_plus(orders, int) returns text language sql as $$ insert into touched values ('plus') returning what $$;
  create operator + (leftarg = orders, rightarg = int, function = evil_plus);
  create function evil_equal(orders, int) returns boolean language sql as $$ insert into touched values ('equal') returning true $$;
  create operator = (leftarg = orders, rightarg = int, function = evil_equal);
  create function evil_text(orders) returns text language sql as $$ insert into touched values ('cast') returning what $$;
  create cast (orders as text) with function evil_text(orders);
  create function check_it(text) returns boolean language sql as $$ insert into touched values ('domain') returning true $$;
  create domain checked as text check (check_it(value));
  create domain host as text check (check_it(value));
  create function check_row(orders) returns boolean language sql as $$ insert into touched values ('row') returning true $$;
  create domain whole as orders check (check_row(value));
  create table version (id int, at date);
  create type state as enum ('open', 'paid');
  create type pair as (a checked, b int);
  create schema other;
  create function other.hidden(orders) returns text language sql as $$ insert into touched values ('hidden') returning what $$;
  create sequence numbers;
  grant usage on sequence numbers to public;
  grant execute on all functions in schema public to public`;

/** Calls that do not look like calls, by the rule that refuses them in the record. */
const DISGUISED: Readonly<Record<string, readonly string[]>> = {
  'no rule names public.checked': [
    "select 'x'::checked",
    "select 'x'::public.checked",
    "select '{x}'::checked[]",
    "select ('x').checked",
    "select ('x'::text).checked",
    'select (id).checked from orders',
    'select (o.status).checked from orders o',
    "select ('{x}')._checked",
    'prepare p as select ($1).checked',
    'prepare p (text) as select ($1).checked',
  ],
  'no rule names public.host': ["select host('x')", "select host('127.0.0.1'::inet)", "select ('x').host"],
  'no rule names public.whole': ['select o.whole from orders o', 'select (o).whole from orders o'],
  'no rule allows calling public.whole': ['select whole(o) from orders o'],
  'no rule allows calling pg_catalog.pg_input_is_valid': [
    "select pg_input_is_valid('x', 'checked')",
    "select pg_catalog.pg_input_is_valid('x', 'public.checked')",
  ],
  'no rule allows calling pg_catalog.pg_input_error_info': ["select * from pg_input_error_info('x', 'checked')"],
  'no rule names public.danger': [
    'select o.danger from orders o',
    'select orders.danger from orders',
    'select public.orders.danger from orders',
    'select (o).danger from orders o',
    'select (select o.danger) from orders o limit 1',
    'select q.danger from (select o from orders o) as x(q)',
    'select (q.o).danger from (select o from orders o) q',
    'with q as (select * from orders) select q.danger from q',
    'select (o.*).danger from orders o',
    'update orders set status = o.danger from orders o where o.id = orders.id',
    'update orders set status = status returning orders.danger',
    'update orders set status = status returning old.danger',
    'prepare p as select o.danger from orders o',
    'declare c cursor for select o.danger from orders o',
    'explain analyze select o.danger from orders o',
    'copy (select o.danger from orders o) to stdout',
  ],
  'no rule names public.anything': ['select o.anything from orders o', 'select (now()).anything'],
  'no rule names public.doubled': [
    'select (id).doubled from orders',
    'select (o.id).doubled from orders o',
    'select (1).doubled',
  ],
  'no rule names public.lower': ['select lower(o) from orders o', 'select o.lower from orders o'],
  'no rule names public.evil_plus': ['select o + 1 from orders o'],
  'no rule names public.evil_equal': [
    'select 1 from orders o where o = 1',
    'select 1 from orders o where o in (1)',
    'select case o when 1 then 2 end from orders o',
    'select 1 from orders o where o = any (select 1)',
    'select * from orders o where (o.*) = 1',
  ],
  'no rule names public.evil_text': [
    'select o::text from orders o',
    'select cast(o as text) from orders o',
    'select (o.*)::text from orders o',
    'select cast(o as character varying) || cast(o as text) from orders o',
  ],
  'no rule names public.pair': ["select '(x,1)'::pair", "select row('x', 1)::pair"],
  'no rule allows calling public.danger': ['select danger(o) from orders o'],
  'no rule allows calling other.hidden': ['select other.hidden(o) from orders o'],
  'no rule allows calling pg_catalog.nextval': ["select ('numbers'::regclass).nextval", "select ('numbers').nextval"],
  'no rule allows calling pg_catalog.pg_read_file': ["select ('/etc/passwd'::text).pg_read_file"],
  'no rule allows calling pg_catalog.ts_stat': ["select ('select 1').ts_stat"],
  'no rule allows calling pg_catalog.pg_advisory_lock': ['select (1).pg_advisory_lock'],
  'no rule allows ddl on pg_temp.orders': ['create temp table orders (id int)', 'select 1 into temp orders'],
  'what is not known is refused': ['select * from orders tablesample evil(1)'],
};

/** Where a cast may be applied unasked, by the rule that refuses it. */
const UNASKED: Readonly<Record<string, readonly string[]>> = {
  'no rule names public.evil_json': [
    'select to_json(o) from orders o',
    'select jsonb_agg(o) from orders o',
    'select array_to_json(array_agg(o)) from orders o',
    'select json_build_object($$a$$, o) from orders o',
    'update orders set status = o from orders o',
    'select abs(o) from orders o',
    'select o + 1 from orders o',
    'select coalesce(1, o) from orders o',
    'select 1 from orders o where id = o',
    'select id from orders order by id using <, (select abs(o) from orders o limit 1)',
  ],
};

t.test(
  'a function that looks like a column, an operator, a cast or a type is refused, and nothing of it runs',
  async (t) => {
    const gateway = await trapped(t);
    const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    for (const text of Object.values(DISGUISED).flat()) {
      await t.rejects(client.query(text), { code: '42501', message: /^Daypass: / }, text);
    }
    t.same(await gateway.orders.database.query('select * from touched'), [], 'nothing ran');
    t.same(await gateway.orders.database.query('select is_called from numbers'), [{ is_called: false }]);
    await client.end();
    t.same(await denied(gateway), inTheRecord(DISGUISED), 'each is in the record with its rule');
  },
);

t.test('the same through prepared statements of the protocol', async (t) => {
  const gateway = await trapped(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await t.rejects(client.query({ name: 'p', text: 'select o.danger from orders o where id = $1', values: [1] }), {
    code: '42501',
  });
  await t.rejects(client.query({ name: 'r', text: 'select ($1).checked', values: ['x'] }), { code: '42501' });
  t.equal(
    (await client.query({ name: 'q', text: 'select o.status from orders o where id = $1', values: [3] })).rows[0]
      .status,
    'paid',
  );
  await client.end();
  t.same(await denied(gateway), [
    ['select o.danger from orders o where id = $1', 'no rule names public.danger', 'unknown_effect'],
    ['select ($1).checked', 'no rule names public.checked', 'unknown_effect'],
  ]);
});

t.test('a parameter that is declared to be of a trap type is refused', async (t) => {
  const gateway = await trapped(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await connectRaw(gateway.ports.postgres, handle);
  t.teardown(() => client.socket.destroy());
  const types = await gateway.orders.database.query<{ typname: string; oid: string }>(
    "select typname, oid::text from pg_type where typname in ('orders', 'checked', 'pair', 'state', '_checked')",
  );
  for (const { typname, oid } of types) {
    client.socket.write(Buffer.concat([parseOf('select $1 + 1', [Number(oid)]), SYNC]));
    const answer = await client.untilReady();
    t.match(answer, typname === 'state' ? /C42883/ : /C42501.*Daypass: a parameter of the type public\./, typname);
  }
  client.socket.write(Buffer.concat([parseOf('select $1 + 1', [23]), SYNC]));
  t.notMatch(await client.untilReady(), /C42/);
  client.socket.destroy();
  t.same(
    await denied(gateway),
    types
      .filter(({ typname }) => typname !== 'state')
      .map(() => ['select $1 + 1', 'types of parameters', 'unknown_effect']),
  );
});

t.test('what an extension brings is the database own: its operators, casts and types pass', async (t) => {
  const orders = await ordersDatabase(t);
  await orders.database.query(`
    create extension citext;
    create extension hstore;
    alter table orders add column email citext, add column tags hstore;
    update orders set email = 'A@B', tags = 'a=>1'`);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const client = await throughGateway(
    t,
    gateway.ports.postgres,
    (await gateway.issue({ service: 'orders-db' })).handle,
  );
  for (const text of [
    "select count(*) from orders where email = 'a@b' and id = 1",
    "select tags -> 'a', tags ? 'a', email || 'x', tags::json, email::text from orders where status = 'open' limit 1",
    "select 'x'::citext = 'X'::citext, replace('x', 'y', 'z'), lower(email) from orders limit 1",
    'select o from orders o limit 1',
    'select to_json(o) from orders o limit 1',
  ]) {
    await t.resolves(client.query(text), text);
  }
  await t.rejects(
    client.query('select (tags).akeys from orders'),
    { code: '42501' },
    'its functions are named as any other',
  );
  await t.rejects(client.query('select akeys(tags) from orders'), { code: '42501' });
  await client.end();
  t.same(await denied(gateway), [
    ['select (tags).akeys from orders', 'no rule names public.akeys', 'unknown_effect'],
    ['select akeys(tags) from orders', 'no rule allows calling public.akeys', 'out_of_scope'],
  ]);
});

t.test('a cast that is applied unasked is refused where its type can occur', async (t) => {
  const orders = await ordersDatabase(t);
  await orders.database.query(`
    create table touched (what text);
    grant insert, select on touched to public;
    create function evil_json(orders) returns json language sql as $$ insert into touched values ('json') returning '1'::json $$;
    create cast (orders as json) with function evil_json(orders);
    create function evil_text(orders) returns text language sql as $$ insert into touched values ('text') returning what $$;
    create cast (orders as text) with function evil_text(orders) as assignment;
    create function evil_int(orders) returns int language sql as $$ insert into touched values ('int') returning 1 $$;
    create cast (orders as int) with function evil_int(orders) as implicit;
    grant execute on all functions in schema public to public`);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  for (const text of Object.values(UNASKED).flat()) {
    await t.rejects(client.query(text), { code: '42501', message: /^Daypass: / }, text);
  }
  t.same(await orders.database.query('select * from touched'), []);
  await t.resolves(client.query('select to_json(status), id + 1 from orders limit 1'));
  await client.end();
  t.same(await denied(gateway), inTheRecord(UNASKED), 'each is in the record with its rule');
});

t.test('what is PostgreSQL own, an enum or a plain column passes beside the traps', async (t) => {
  const gateway = await trapped(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  for (const text of [
    'select o.status, orders.id from orders o, orders limit 1',
    'select public.orders.status from public.orders limit 1',
    'select o.* from orders o limit 1',
    'select (o).status from orders o limit 1',
    "select 'open'::state, 'paid'::public.state, array['open']::state[]",
    "select 1::text, '1'::int, 'orders'::regclass, '2024-01-01'::date, '{1}'::int[], 'x'::\"char\"",
    "select customer || 'x', amount * 2, upper(status), amount - 1 from orders limit 1",
    'select s.status from (select status from orders) s limit 1',
    'select exists (select from order_items i where i.order_id is not null)',
    'select n.n from generate_series(1, 2) as n(n)',
    'select version(), (1).text, (now()).date',
    "select ('open').state, (status).state from orders limit 1",
    'select s.version from (select 1 as version) s',
    'select (information_schema._pg_expandarray(array[1])).n',
  ]) {
    await t.resolves(client.query(text), text);
  }
});

t.test('a rule that names the function behind it allows it', async (t) => {
  const rules = `{ statements: [select], relations: [public.orders], functions: [public.doubled, public.evil_plus, public.evil_equal, public.evil_text, public.lower, public.checked, public.check_it] }`;
  const gateway = await trapped(t, `{ statements: [select, update], relations: [public.orders] }\n      - ${rules}`);
  await gateway.orders.database.query('grant insert on touched to public');
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  t.same((await client.query('select (id).doubled from orders limit 1')).rows, [{ doubled: 'doubled' }]);
  t.same((await client.query('select lower(o) as l from orders o limit 1')).rows, [{ l: 'lower' }]);
  t.same((await client.query('select o + 1 as p from orders o limit 1')).rows, [{ p: 'plus' }]);
  t.same((await client.query("select o::text as c, 'x'::checked from orders o limit 1")).rows, [
    { c: 'cast', checked: 'x' },
  ]);
  await t.rejects(client.query('select o.danger from orders o'), {
    code: '42501',
    hint: /functions: \[public\.danger\]/,
  });
  await client.end();
  t.same(await denied(gateway), [['select o.danger from orders o', 'no rule names public.danger', 'unknown_effect']]);
});

/** What the record of a gateway, which is stopped for it, says was refused: text, rule and reason. */
async function denied(gateway: TestGateway): Promise<(readonly unknown[])[]> {
  await gateway.stop();
  const events = (await gateway.events()).filter(({ facts }) => facts.outcome === 'deny');
  return events.map(({ facts, payload }) => [payload?.text, facts.rule, facts.reason]);
}

/** What it must say after the texts were tried in their order. */
function inTheRecord(attempts: Readonly<Record<string, readonly string[]>>): (readonly unknown[])[] {
  return Object.entries(attempts).flatMap(([rule, texts]) =>
    texts.map((text) => [text, rule, rule.startsWith('no rule allows') ? 'out_of_scope' : 'unknown_effect']),
  );
}

async function trapped(t: Parameters<typeof ordersDatabase>[0], reader?: string) {
  const orders = await ordersDatabase(t);
  await orders.database.query(TRAPS);
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy(reader === undefined ? {} : { reader }) },
    env: orders.env,
  });
  return { ...gateway, orders };
}

t.test(
  'without its catalog a restricted role is refused, what ends its transaction passes, and `any` goes on',
  async (t) => {
    const gateway = await gatewayToOrders(t, { policy: { more: '  admin:\n    allow: [{ statements: [any] }]' } });
    const reader = gateway.orders.policy().match(/user: (reader_\w+)/)![1]!;
    // Its account may log in, and may not look at what there is.
    await gateway.orders.database.query(
      `revoke select on pg_catalog.pg_proc from public; grant select on pg_catalog.pg_proc to ${gateway.orders.database.config.user}`,
    );
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    await client.query('begin');
    await t.rejects(client.query('select 1'), { code: '57P03', message: /catalog .* cannot be read/ });
    await client.query('rollback');
    t.match(
      gateway.lines.find((line) => line.msg === 'the catalog cannot be read'),
      { user: reader, err: /permission denied/ },
    );
    const admin = await throughGateway(
      t,
      gateway.ports.postgres,
      (await gateway.issue({ service: 'orders-db', role: 'admin' })).handle,
    );
    t.equal((await admin.query('select 1 as one')).rows[0].one, 1);
  },
);

t.test('what a definition through the gateway changes counts from its end on', async (t) => {
  const orders = await ordersDatabase(t);
  const { config } = orders.database;
  const more = `  admin:\n    upstream: { user: ${config.user}, password: { env: ADMIN_PASSWORD } }\n    allow: [{ statements: [any] }]`;
  const services = { 'orders-db': orders.policy({ more }) };
  const gateway = await startGateway(t, { services, env: { ...orders.env, ADMIN_PASSWORD: config.password } });
  const client = await throughGateway(
    t,
    gateway.ports.postgres,
    (await gateway.issue({ service: 'orders-db' })).handle,
  );
  const admin = await throughGateway(
    t,
    gateway.ports.postgres,
    (await gateway.issue({ service: 'orders-db', role: 'admin' })).handle,
  );
  await t.rejects(
    client.query('select o.surprise from orders o'),
    { code: '42703' },
    "PostgreSQL's own answer: no such column",
  );
  await admin.query('begin; create function surprise(orders) returns int language sql as $$ select 1 $$; commit');
  await t.rejects(until(client, 'select o.surprise from orders o', '42501'), {
    code: '42501',
    message: /public\.surprise/,
  });
});

const SYNC = Buffer.from([0x53, 0, 0, 0, 4]);

/** A Parse message of the unnamed statement that declares the types of its parameters. */
function parseOf(text: string, types: readonly number[]): Buffer {
  const body = Buffer.alloc(1 + Buffer.byteLength(text) + 1 + 2 + 4 * types.length);
  body.write(text, 1);
  body.writeInt16BE(types.length, 2 + Buffer.byteLength(text));
  for (const [i, type] of types.entries()) body.writeInt32BE(type, 4 + Buffer.byteLength(text) + 4 * i);
  const head = Buffer.from([0x50, 0, 0, 0, 0]);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** A connection of bare bytes that is let in. */
async function connectRaw(port: number, handle: string) {
  const socket = connect(port, '127.0.0.1');
  let seen = '';
  let waiting = () => {};
  socket.setEncoding('latin1').on('data', (text: string) => {
    seen += text;
    waiting();
  });
  const untilReady = async () => {
    while (!/Z\0\0\0\x05[ITE]$/.test(seen))
      await new Promise<void>((resolve) => {
        waiting = resolve;
      });
    const answer = seen.replaceAll('\0', ' ');
    seen = '';
    return answer;
  };
  socket.write(
    startupMessage(
      new Map([
        ['user', 'alice'],
        ['database', 'orders-db'],
      ]),
    ),
  );
  await new Promise((resolve) => socket.once('data', resolve));
  socket.write(passwordMessage(handle));
  await untilReady();
  return { socket, untilReady };
}

/** Asks until the answer has this code: the catalog is read beside the session. Bounded. */
async function until(client: { query(text: string): Promise<unknown> }, text: string, code: string): Promise<unknown> {
  for (let round = 0; round < 200; round += 1) {
    const failure = await client.query(text).then(
      () => null,
      (thrown: { code?: string }) => thrown,
    );
    if (failure?.code === code) throw failure;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return 'never';
}

t.test('a live session is cut when its role stops being any, or its names get another meaning', async (t) => {
  const orders = await ordersDatabase(t);
  await orders.database.query('create schema other; create table other.orders (secret text)');
  const policy = (reader: string) => orders.policy({ reader });
  const narrow = '{ statements: [select], relations: [public.orders] }';
  const gateway = await startGateway(t, {
    services: { 'orders-db': policy('{ statements: [any] }') },
    env: orders.env,
  });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const first = await throughGateway(t, gateway.ports.postgres, handle);
  await first.query('set search_path = other');
  const ended = new Promise<Error>((resolve) => first.on('error', resolve));
  await gateway.policy('orders-db', policy(narrow));
  t.match((await ended).message, /policy no longer allows/);
  const second = await throughGateway(t, gateway.ports.postgres, handle);
  t.equal((await second.query('select id from orders limit 1')).rowCount, 1);
  const endedToo = new Promise<Error>((resolve) => second.on('error', resolve));
  await gateway.policy('orders-db', policy(narrow).replace('search_path: [public]', 'search_path: [other]'));
  t.match((await endedToo).message, /policy no longer allows/);
});

t.test('a partition is covered by a rule on its parent only through the parent; a view by its own name', async (t) => {
  const orders = await ordersDatabase(t);
  await orders.database.query(`
    create table events (id int, at date) partition by range (at);
    create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
    create table base (id int);
    create table derived (secret text) inherits (base);
    insert into events values (1, '2026-05-05');
    insert into derived values (1, 'x');
    create view cards as select card from payment_methods;
    grant select on all tables in schema public to public`);
  const rule = '{ statements: [select], relations: [public.events, public.base, public.cards] }';
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy({ reader: rule }) },
    env: orders.env,
  });
  const client = await throughGateway(
    t,
    gateway.ports.postgres,
    (await gateway.issue({ service: 'orders-db' })).handle,
  );
  t.equal((await client.query('select * from events')).rowCount, 1);
  t.equal((await client.query('select * from base')).rowCount, 1);
  t.equal((await client.query('select card from cards limit 1')).rowCount, 1);
  for (const text of ['select * from events_2026', 'select * from derived', 'select * from payment_methods']) {
    await t.rejects(client.query(text), { code: '42501', message: /^Daypass/ }, text);
  }
  await client.end();
  t.same(
    await denied(gateway),
    ['events_2026', 'derived', 'payment_methods'].map((name) => [
      `select * from ${name}`,
      `no rule allows select on public.${name}`,
      'out_of_scope',
    ]),
  );
});

t.test('a name that does not exist is refused without a rule, and with one PostgreSQL says so', async (t) => {
  const rule = '{ statements: [select], relations: [public.*] }';
  const gateway = await gatewayToOrders(t, { policy: { reader: rule } });
  const client = await throughGateway(
    t,
    gateway.ports.postgres,
    (await gateway.issue({ service: 'orders-db' })).handle,
  );
  await t.rejects(client.query('select * from nothing_here'), { code: '42P01' });
  await t.rejects(client.query('select * from elsewhere.nothing'), { code: '42501' });
  await t.rejects(client.query('select 1::nothing'), { code: '42501', message: /nobody knows the type/ });
  await gateway.orders.database.query('create table made_since (id int); grant select on made_since to public');
  t.equal((await client.query('select * from made_since')).rowCount, 0);
});
