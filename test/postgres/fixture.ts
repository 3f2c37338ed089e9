import type { Test } from 'tap';
import { type GatewayOptions, startGateway, type TestGateway } from '../support/gateway.js';
import { type Database, freshDatabase, type PostgresServer } from '../support/postgres.js';

/** An orders database with least-privileged roles of its own, as a service owner would set it up. */
export interface Orders {
  readonly database: Database;
  /** The policy file of `orders-db`, with more lines for its roles if given. */
  policy(options?: {
    reader?: string;
    more?: string;
    mode?: 'strict' | 'buffered';
    grants?: string;
    upstream?: string;
  }): string;
  readonly env: Readonly<Record<string, string>>;
}

const SCHEMA = `
  create table orders (id int primary key, customer text not null, status text not null, amount numeric not null);
  create table order_items (order_id int not null references orders, sku text not null, quantity int not null);
  create table payment_methods (order_id int not null, card text not null);
  create view order_summary as select status, count(*) as orders, sum(amount) as amount from orders group by status;
  insert into orders select n, 'customer ' || n, case when n % 3 = 0 then 'paid' else 'open' end, n * 10 from generate_series(1, 1000) n;
  insert into order_items select n, 'sku-' || n % 50, 1 + n % 4 from generate_series(1, 1000) n;
  insert into payment_methods select n, '4111' || n from generate_series(1, 1000) n;
  create function cancel_everything(orders) returns text language sql security definer as 'update orders set status = ''cancelled'' returning status';
  revoke execute on all functions in schema public from public;
  revoke create on schema public from public`;

/** Makes the database and its two roles; roles are the server's, so their names are the database's own. */
export async function ordersDatabase(t: Test, server?: PostgresServer): Promise<Orders> {
  const database = await freshDatabase(t, server);
  const reader = `reader_${database.name}`;
  const fixer = `fixer_${database.name}`;
  // At once: each query has a connection of its own.
  await database.query(`${SCHEMA};
    create role ${reader} login password 'reader-secret';
    create role ${fixer} login password 'fixer-secret';
    grant select on orders, order_items, order_summary to ${reader}, ${fixer};
    grant update on orders to ${fixer};
    revoke temporary on database ${database.name} from public;
    alter role ${reader} set default_transaction_read_only = on`);
  t.teardown(() =>
    database.query(`drop owned by ${reader}, ${fixer} cascade; drop role ${reader}, ${fixer}`).catch(() => {}),
  );
  const { host, port } = database.config;
  return {
    database,
    env: { READER_PASSWORD: 'reader-secret', FIXER_PASSWORD: 'fixer-secret' },
    policy: ({
      reader: rules,
      more = '',
      mode = 'strict',
      grants = '{ max_duration: 4h, max_renewals: 2 }',
      upstream,
    } = {}) => `
service: orders-db
protocol: postgres
lane: production
owner: group:payments-leads
upstream: { address: "${upstream ?? `${host}:${port}`}", database: ${database.name}, user: ${reader}, password: { env: READER_PASSWORD } }
roles:
  reader:
    search_path: [public]
    allow:
      - ${rules ?? '{ statements: [select, explain, show, copy-out], relations: [public.orders, public.order_items, public.order_summary] }'}
  order-editor:
    extends: reader
    upstream: { user: ${fixer}, password: { env: FIXER_PASSWORD } }
    allow:
      - { statements: [update], relations: [public.orders] }
${more}
grants: ${grants}
recording: { mode: ${mode} }
`,
  };
}

/** A gateway in front of an orders database. */
export async function gatewayToOrders(
  t: Test,
  options: Partial<GatewayOptions> & { policy?: Parameters<Orders['policy']>[0] } = {},
): Promise<TestGateway & { orders: Orders }> {
  const orders = await ordersDatabase(t);
  const { policy, ...rest } = options;
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy(policy) },
    ...rest,
    env: { ...orders.env, ...rest.env },
  });
  return { ...gateway, orders };
}
