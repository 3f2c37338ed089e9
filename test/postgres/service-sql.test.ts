import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { check } from '../../src/cli/check.js';
import { sqlOf } from '../../src/cli/service.js';
import { loadProtocols } from '../../src/protocols.js';
import { command } from '../support/commands.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { connected, type Database, freshDatabase } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';
import { gatewayToOrders } from './fixture.js';

const SCHEMA = `
  create table orders (id serial primary key, customer text not null, status text not null);
  create table payment_methods (id int, card text);
  create schema billing;
  create table billing.invoices (id int, amount int);
  create function total() returns bigint language sql stable as 'select count(*) from orders';
  create function cancel_everything() returns void language sql security definer as 'update orders set status = ''gone''';
  insert into orders (customer, status) values ('ann', 'open'), ('bob', 'paid')`;

/** A policy with two accounts, their names made for this database: roles are the server's. */
function policyFor({ name, config }: Database): string {
  return `
service: shop
protocol: postgres
lane: production
owner: group:shop
upstream: { address: "${config.host}:${config.port}", database: ${name}, user: "Reader-${name}", password: { env: READER_PASSWORD } }
roles:
  reader:
    search_path: [public]
    allow:
      - { statements: [select, explain], relations: [public.orders], columns: [id, status] }
      - { statements: [show] }
      - { statements: [select], relations: [billing.*] }
      - { statements: [select], functions: [public.total] }
  writer:
    extends: reader
    upstream: { user: writer_${name}, password: { env: WRITER_PASSWORD } }
    allow:
      - { statements: [select, insert, update], relations: [public.orders] }
grants: { max_duration: 4h, max_renewals: 1 }
`;
}

const SETTINGS = 'domain: localhost\nlisten: { http: 127.0.0.1:0, postgres: 127.0.0.1:0, health: 127.0.0.1:0 }\n';
const env = { READER_PASSWORD: "it's \\ a secret", WRITER_PASSWORD: 'writer-secret' };

/** What the command prints for the policy. */
async function printed(t: Test, database: Database, policy = policyFor(database)): Promise<string> {
  const config = t.testdir({
    'daypass.yaml': SETTINGS,
    services: { 'shop.yaml': policy },
    'samples.env': '',
  });
  Object.assign(process.env, env);
  const answer = await sqlOf('shop', { config }, { loadProtocols, dataDirectory: () => config });
  t.equal(answer.exitCode, 0, answer.text);
  return answer.text;
}

/** The accounts that the printed SQL makes, and the passwords it asks for. */
function accountsOf(t: Test, database: Database) {
  const reader = `Reader-${database.name}`;
  const writer = `writer_${database.name}`;
  t.teardown(() =>
    database.query(`drop owned by "${reader}", ${writer}; drop role "${reader}", ${writer}`).catch(() => {}),
  );
  const passwords = {
    [`${reader.replace('-', '_')}_password`]: env.READER_PASSWORD,
    [`${writer}_password`]: env.WRITER_PASSWORD,
  };
  return { reader, writer, passwords };
}

async function apply(t: Test, database: Database, sql: string, variables: Readonly<Record<string, string>>) {
  const file = join(t.testdir(), 'accounts.sql');
  writeFileSync(file, sql);
  const { host, port, user, password } = database.config;
  const args = Object.entries(variables).flatMap(([name, value]) => ['-v', `${name}=${value}`]);
  return command(
    'psql',
    ['-X', '-q', '-h', host, '-p', String(port), '-U', user, '-d', database.name, ...args, '-f', file],
    {
      env: { PGPASSWORD: password },
    },
  );
}

t.test('the printed SQL makes accounts with which the policy works and nothing more does', async (t) => {
  const database = await freshDatabase(t);
  await database.query(SCHEMA);
  const sql = await printed(t, database);
  const { reader, writer, passwords } = accountsOf(t, database);

  const without = await apply(t, database, sql, {});
  t.match(without, { code: 3, stderr: /set the password/ }, 'nothing is made without passwords');
  t.same(await database.query(`select from pg_roles where rolname = '${writer}'`), []);

  for (const round of ['first', 'second']) {
    t.match(await apply(t, database, sql, passwords), { code: 0, stderr: '' }, `it runs a ${round} time`);
  }
  await checked(t, database);
  await asReader(t, database, reader);
  await asWriter(t, database, writer);
  await throughTheGateway(t, database);
});

async function checked(t: Test, database: Database) {
  const config = t.testdir({
    'daypass.yaml': SETTINGS,
    services: { 'shop.yaml': policyFor(database) },
    'samples.env': '',
  });
  const answer = await check({ config, connect: true }, { loadProtocols, dataDirectory: () => config });
  t.match(
    answer,
    { exitCode: 0, text: /account Reader-.*: may do what the policy says, and no more\n.*account writer_.*no more$/ },
    answer.text,
  );
}

async function asReader(t: Test, database: Database, user: string) {
  const client = await connected(t, { ...database.config, user, password: env.READER_PASSWORD });
  for (const text of ['select id, status from orders', 'select * from billing.invoices', 'show work_mem'])
    await t.resolves(client.query(text), text);
  t.same((await client.query('select total()')).rows, [{ total: '2' }]);
  t.equal((await client.query('show default_transaction_read_only')).rows[0].default_transaction_read_only, 'on');
  await client.query('set default_transaction_read_only = off');
  for (const text of [
    'select customer from orders',
    'select * from payment_methods',
    "update orders set status = 'x'",
    'select cancel_everything()',
    'create table public.x (id int)',
    'create table billing.x (id int)',
    'create temp table x (id int)',
    'create schema x',
    'select lo_create(0)',
    'select pg_terminate_backend(1)',
    'select * from pg_authid',
  ]) {
    await t.rejects(client.query(text), { code: '42501' }, text);
  }
}

async function asWriter(t: Test, database: Database, user: string) {
  const client = await connected(t, { ...database.config, user, password: env.WRITER_PASSWORD });
  await t.resolves(
    client.query("insert into orders (customer, status) values ('cid', 'open')"),
    'the serial column has its sequence',
  );
  t.equal((await client.query("update orders set status = 'paid' where customer = 'cid' returning *")).rowCount, 1);
  t.same((await client.query('select total()')).rows, [{ total: '3' }]);
  for (const text of [
    'delete from orders',
    'truncate orders',
    "select setval('orders_id_seq', 1)",
    'insert into billing.invoices values (1)',
    'select cancel_everything()',
  ]) {
    await t.rejects(client.query(text), { code: '42501' }, text);
  }
}

async function throughTheGateway(t: Test, database: Database) {
  const gateway = await startGateway(t, { services: { shop: policyFor(database) }, env });
  const reader = await throughGateway(t, gateway.ports.postgres, (await gateway.issue({ service: 'shop' })).handle, {
    database: 'shop',
  });
  t.equal((await reader.query('select id, status from orders')).rowCount, 3);
  await t.rejects(reader.query('select * from orders'), { code: '42501', message: /^Daypass/ });
  const { handle } = await gateway.issue({ service: 'shop', role: 'writer' });
  const writer = await throughGateway(t, gateway.ports.postgres, handle, { database: 'shop' });
  t.equal((await writer.query('select *, total() from orders')).rowCount, 3);
}

t.test('check --connect says what an account may beyond the policy, and what it lacks', async (t) => {
  const database = await freshDatabase(t);
  await database.query(SCHEMA);
  const reader = `Reader-${database.name}`;
  const writer = `writer_${database.name}`;
  const group = `group_${database.name}`;
  t.teardown(() =>
    database.query(`drop owned by "${reader}", ${writer}; drop role "${reader}", ${writer}, ${group}`).catch(() => {}),
  );
  await database.query(`
    create role ${group};
    create role "${reader}" login createrole password '${env.READER_PASSWORD.replace("'", "''")}';
    create role ${writer} login password '${env.WRITER_PASSWORD}';
    grant ${group}, pg_read_all_data to "${reader}";
    grant select, delete on orders to "${reader}";
    grant select (card) on payment_methods to "${reader}";
    grant update (card) on payment_methods to "${reader}";
    grant usage, create on schema billing to "${reader}";
    grant select on billing.invoices to ${writer};
    revoke execute on function total() from public;
    alter table payment_methods owner to ${writer}`);
  const config = t.testdir({
    'daypass.yaml': SETTINGS,
    services: { 'shop.yaml': policyFor(database) },
    'samples.env': '',
  });
  const { text, exitCode } = await check(
    { config, connect: true, json: true },
    { loadProtocols, dataDirectory: () => config },
  );
  t.equal(exitCode, 1);
  const [ofReader, ofWriter] = JSON.parse(text).accounts;
  t.same(ofReader.exceeds, [
    'is createrole',
    `is a member of ${group}`,
    'is a member of pg_read_all_data',
    `may make temporary tables in ${database.name}`,
    'may create in the schema billing',
    "may call public.cancel_everything, which runs with its owner's rights",
    'may call lo_creat, lo_create, lo_from_bytea, lo_put, lo_truncate, lo_truncate64, lo_unlink, lowrite: large objects can be written even in a read-only session',
    'may call pg_cancel_backend, pg_terminate_backend: whoever shares the account can be cut off',
    'may delete public.orders',
    'may read customer of public.orders',
    'may select from public.payment_methods',
    'may change card of public.payment_methods',
    'may read the sequence public.orders_id_seq',
  ]);
  t.same(ofReader.lacks, ['may not call public.total, or there is no such function']);
  t.ok(ofWriter.exceeds.includes('owns public.payment_methods'));
  t.same(ofWriter.lacks, [
    'may not use the schema billing',
    'may not read id, customer, status of public.orders',
    'may not insert public.orders',
    'may not update public.orders',
    'may not call public.total, or there is no such function',
  ]);
});

t.test('check --connect sees every kind of right that the policy does not need', async (t) => {
  const database = await freshDatabase(t);
  await database.query(SCHEMA);
  const sql = await printed(t, database);
  const { reader, writer, passwords } = accountsOf(t, database);
  t.match(await apply(t, database, sql, passwords), { code: 0 });
  await database.query(`
    create sequence numbers;
    create function extra() returns int language sql as 'select 1';
    create function fires() returns trigger language plpgsql as 'begin return new; end';
    create extension postgres_fdw;
    create server away foreign data wrapper postgres_fdw;
    grant usage, update on sequence numbers to "${reader}";
    grant select on sequence orders_id_seq to ${writer};
    grant truncate, references, trigger, maintain on orders to "${reader}";
    grant insert (card), references (card) on payment_methods to "${reader}";
    grant update (amount) on billing.invoices to ${writer};
    grant temporary, create on database ${database.name} to "${reader}";
    grant execute on function extra(), fires() to "${reader}";
    grant execute on function pg_read_file(text), lo_import(text) to "${reader}";
    grant usage on foreign server away to "${reader}";
    grant set on parameter log_statement to "${reader}"`);
  const [ofReader, ofWriter] = await accounts(t, policyFor(database));
  t.same(ofReader?.exceeds, [
    `may create schemas in ${database.name}`,
    `may make temporary tables in ${database.name}`,
    'may call public.extra',
    'may call lo_import: large objects can be written even in a read-only session',
    'may call pg_read_file, which PostgreSQL keeps from everybody',
    'may set log_statement',
    'may use the foreign server away',
    'may truncate public.orders',
    'may refer to public.orders',
    'may make triggers on public.orders',
    'may maintain public.orders',
    'may insert card of public.payment_methods',
    'may refer to card of public.payment_methods',
    'may draw numbers from the sequence public.numbers',
    'may set the sequence public.numbers',
  ]);
  t.same(ofWriter?.exceeds, ['may change amount of billing.invoices', 'may read the sequence public.orders_id_seq']);
});

t.test('an account that a role with `any` shares is no wall for the others, and check says so', async (t) => {
  const database = await freshDatabase(t);
  await database.query(SCHEMA);
  const reader = `Reader-${database.name}`;
  await database.query(`create role "${reader}" login password '${env.READER_PASSWORD.replace("'", "''")}'`);
  t.teardown(() => database.query(`drop owned by "${reader}"; drop role "${reader}"`).catch(() => {}));
  const policy = policyFor(database).replace(
    / {2}writer:[\s\S]*?grants:/,
    '  master:\n    allow: [{ statements: [any] }]\ngrants:',
  );
  const [ofReader] = await accounts(t, policy);
  t.same(ofReader?.exceeds, ['is shared with master (any): to reader the account sets no limits']);
});

t.test(
  'who may insert into every table of a schema may draw the numbers of them all, also of later ones',
  async (t) => {
    const database = await freshDatabase(t);
    await database.query(`${SCHEMA}; create table billing.payments (id serial primary key, amount int)`);
    const policy = policyFor(database).replace(
      /( {2}writer:[\s\S]*?)public\.orders\] }\ngrants/,
      '$1billing.*] }\ngrants',
    );
    const sql = await printed(t, database, policy);
    const { writer, passwords } = accountsOf(t, database);
    t.match(await apply(t, database, sql, passwords), { code: 0, stderr: '' });
    await database.query('create table billing.later (id serial primary key, amount int)');
    const client = await connected(t, { ...database.config, user: writer, password: env.WRITER_PASSWORD });
    await t.resolves(client.query('insert into billing.payments (amount) values (1)'));
    await t.resolves(client.query('insert into billing.later (amount) values (1)'));
    t.match(await accounts(t, policy), [
      { exceeds: [], lacks: [] },
      { exceeds: [], lacks: [] },
    ]);
    await database.query(`revoke usage on sequence billing.payments_id_seq from ${writer}`);
    t.same((await accounts(t, policy))[1]?.lacks, ['may not draw numbers from the sequence billing.payments_id_seq']);
  },
);

/** What `check --connect` finds of the accounts of a policy. */
async function accounts(
  t: Test,
  policy: string,
): Promise<{ readonly exceeds: readonly string[]; readonly lacks: readonly string[] }[]> {
  const config = t.testdir({ 'daypass.yaml': SETTINGS, services: { 'shop.yaml': policy }, 'samples.env': '' });
  Object.assign(process.env, env);
  const { text } = await check({ config, connect: true, json: true }, { loadProtocols, dataDirectory: () => config });
  return JSON.parse(text).accounts;
}

t.test('the start says what an account may beyond the policy', async (t) => {
  const gateway = await gatewayToOrders(t);
  const line = () =>
    gateway.lines.find(({ msg }) => typeof msg === 'string' && msg.startsWith('the upstream account may do more'));
  await waitUntil('the line', () => line() !== undefined);
  t.match(line(), { service: 'orders-db', exceeds: [/large objects/] });
});

t.test('a relation that the policy names and the database lacks is said at the start and after a reload', async (t) => {
  const naming = (relation: string) => `{ statements: [select], relations: [public.orders, ${relation}] }`;
  const gateway = await gatewayToOrders(t, { policy: { reader: naming('public.ordres') } });
  const untilSaid = async (relation: string) => {
    const said = () =>
      gateway.lines.filter(({ lacks }) => JSON.stringify(lacks)?.includes(`has no relation ${relation}`));
    await waitUntil(`what is said of ${relation}`, () => said().length > 0);
    t.match(said()[0], {
      level: 40,
      service: 'orders-db',
      msg: 'the upstream account may do less than the policy says',
    });
  };
  await untilSaid('public.ordres');
  await gateway.policy('orders-db', gateway.orders.policy({ reader: naming('public.shipments') }));
  await untilSaid('public.shipments');
});

t.test('service sql says what is wrong with the question', async (t) => {
  const database = await freshDatabase(t);
  const config = t.testdir({
    'daypass.yaml': SETTINGS,
    services: { 'shop.yaml': policyFor(database) },
    'samples.env': '',
  });
  const tools = { loadProtocols, dataDirectory: () => config };
  t.match(await sqlOf('nothing', { config }, tools), { exitCode: 2, text: /no service is called "nothing"\n.*shop/ });
});
