/** pg_dump by a role that may read: the account itself and a grant for the same account dump alike. */
import { join } from 'node:path';
import pg from 'pg';
import t from 'tap';
import { command } from '../../support/commands.js';
import { startGateway } from '../../support/gateway.js';
import { installedPrograms, startInstalled } from './debian-server.js';
import { DATABASE } from './twins.js';

const programs = installedPrograms();
const skip = programs === null ? 'no PostgreSQL server is installed beside the embedded one' : false;

const SCHEMA = `
  create schema shop;
  create type shop.state as enum ('open', 'paid');
  create table shop.customers (id serial primary key, name text not null, notes text[] default '{}', born date check (born > '1900-01-01'));
  create table shop.orders (id bigint generated always as identity primary key, customer int references shop.customers,
    state shop.state default 'open', amount numeric(10, 2), raw bytea, at timestamptz, doc jsonb, spent interval);
  create index on shop.orders (state) where amount > 0;
  create table shop.visits (at date, page text) partition by range (at);
  create table shop.visits_2026 partition of shop.visits for values from ('2026-01-01') to ('2027-01-01');
  create view shop.paid as select o.*, c.name from shop.orders o join shop.customers c on c.id = o.customer where state = 'paid';
  create function shop.twice(a int) returns int language sql as 'select a * 2';
  create function shop.touch() returns trigger language plpgsql as $$ begin new.state := 'open'; return new; end $$;
  create trigger touched before update on shop.orders for each row execute function shop.touch();
  create statistics shop.both (dependencies) on state, amount from shop.orders;
  comment on column shop.orders.amount is 'in euros';
  insert into shop.customers (name, born) select 'tab' || chr(9) || n, date '2000-01-01' + n from generate_series(1, 500) n;
  insert into shop.orders (customer, state, amount, raw, at, doc, spent)
    select 1 + n % 500, (array['open', 'paid'])[1 + n % 2]::shop.state, n / 7.0, decode('00ff0a', 'hex'),
      timestamptz '2026-01-01 UTC' + n * interval '1 minute', jsonb_build_object('n', n), n * interval '1 minute'
    from generate_series(1, 3000) n;
  insert into shop.visits select date '2026-01-01' + n, 'p' || n from generate_series(1, 300) n;
  create schema staff;
  create table staff.salaries (who text, amount numeric);
  insert into staff.salaries values ('ann', 1);
  create role dumper login password 'dumper-secret';
  grant usage on schema shop, staff to dumper;
  grant select on all tables in schema shop to dumper;
  grant select on all sequences in schema shop to dumper;
  grant select on staff.salaries to dumper;
  alter role dumper set default_transaction_read_only = on`;

const policy = (port: number) => `
service: ${DATABASE}
protocol: postgres
lane: production
owner: group:payments-leads
upstream: { address: "127.0.0.1:${port}", database: ${DATABASE}, user: dumper, password: { env: DUMPER_PASSWORD } }
roles:
  dumper:
    search_path: [shop]
    statement_timeout: 10m
    allow:
      - { statements: [select, copy-out, show], relations: [shop.*] }
grants: { max_duration: 4h, max_renewals: 2 }
recording: { mode: strict }
`;

t.test(
  'pg_dump of what a role may read is that of its account; of anything else it is refused',
  { skip },
  async (t) => {
    if (programs === null) return;
    const server = await startInstalled(t, programs, [DATABASE]);
    const admin = new pg.Client({ ...server, host: '127.0.0.1', database: DATABASE });
    await admin.connect();
    await admin.query(SCHEMA);
    await admin.end();
    const gateway = await startGateway(t, {
      services: { [DATABASE]: policy(server.port) },
      env: { DUMPER_PASSWORD: 'dumper-secret' },
    });
    const { handle } = await gateway.issue({ service: DATABASE });
    const dump = async (through: boolean, ...what: string[]) => {
      const [port, user] = through ? [gateway.ports.postgres, 'alice'] : [server.port, 'dumper'];
      const { stdout, stderr, code } = await command(
        join(programs, 'pg_dump'),
        ['-h', '127.0.0.1', '-p', String(port), '-U', user, '-w', '-d', DATABASE, ...what],
        { env: { PGPASSWORD: through ? handle : 'dumper-secret', LC_ALL: 'C' }, timeout: 60_000 },
      );
      // Its newest versions put a random word around each dump.
      return { stdout: stdout.replace(/^\\(?:un)?restrict .*$/gm, ''), stderr, code };
    };
    for (const what of [
      ['--schema=shop'],
      ['--schema=shop', '--schema-only'],
      ['-t', 'shop.orders', '-t', 'shop.customers'],
      ['-t', 'shop.orders', '--data-only', '--column-inserts'],
      ['-t', 'shop.paid'],
      ['-n', 'shop', '--enable-row-security', '--no-owner', '--no-privileges', '--rows-per-insert=100'],
    ]) {
      const [direct, through] = [await dump(false, ...what), await dump(true, ...what)];
      t.match(direct, { code: 0, stderr: '', stdout: /PostgreSQL database dump complete/ }, what.join(' '));
      t.same(through, direct, what.join(' '));
    }
    for (const what of [['-t', 'staff.salaries'], ['-t', 'shop.orders', '-t', 'staff.salaries'], ['-n', 'staff'], []]) {
      const refused = await dump(true, ...what);
      t.match(refused, { code: 1, stderr: /Daypass: select on staff\.salaries is outside the role dumper/ });
      t.notMatch(refused.stdout, /COPY|ann/, 'nothing was dumped');
    }
    await gateway.stop();
    const events = await gateway.events();
    const texts = (of: (typeof events)[number]) => String(of.payload?.text);
    t.ok(
      events.some((one) => one.facts.outcome === 'allow' && /^COPY shop\.orders \(id/.test(texts(one))),
      'COPY',
    );
    const denied = events.filter(({ facts }) => facts.outcome === 'deny');
    t.equal(denied.length, 4, 'every refusal is in the record, and nothing else was refused');
    for (const one of denied) {
      t.match(one.facts, { verb: 'lock', rule: 'no rule allows select on staff.salaries', reason: 'out_of_scope' });
      t.match(texts(one), /^LOCK TABLE .*staff\.salaries/);
    }
  },
);
