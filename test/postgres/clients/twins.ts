import type { Test } from 'tap';
import { ScramClient } from '../../../src/postgres/scram.js';
import { startGateway, type TestGateway } from '../../support/gateway.js';
import { connected, type PostgresServer, startPostgres } from '../../support/postgres.js';
import { cstring, front, int32, letIn, start, type WireClient, type WireMessage, wire } from '../../support/wire.js';

/** One way to a database: the server itself, or the gateway in front of its twin. */
export interface Way {
  readonly name: 'direct' | 'gateway';
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Where a server is, and who may do anything there. */
export type Upstream = Pick<PostgresServer, 'port' | 'user' | 'password'>;

/** Two servers that went through the same from their first moment on; clients reach one of them through the gateway. */
export interface Twins {
  readonly direct: Way;
  readonly gateway: Way;
  readonly parts: TestGateway;
}

/** The service has its database's name, so that the ways differ in nothing a client sees. */
export const DATABASE = 'twin';

/** What happens by itself would happen at different moments. */
const QUIET = { autovacuum: 'off', max_prepared_transactions: '4', deadlock_timeout: '100ms' };

/** Starts the twins. On both, `setup` has been run. @param rule - what the grant may do: anything unless told */
export async function startTwins(
  t: Test,
  setup = '',
  mode: 'strict' | 'buffered' = 'strict',
  rule?: string,
): Promise<Twins> {
  const [one, other] = [await startTwin(t, setup), await startTwin(t, setup)];
  return twinsOver(t, one, other, mode, rule);
}

/** As `startTwins`, over two servers that are there already. */
export async function twinsOver(
  t: Test,
  one: Upstream,
  other: Upstream,
  mode = 'strict',
  rule?: string,
): Promise<Twins> {
  const parts = await startGateway(t, {
    services: { [DATABASE]: policy(other, mode, rule) },
    env: { UPSTREAM_PASSWORD: other.password },
  });
  const { handle } = await parts.issue({ service: DATABASE, for: '1h' });
  const at = { host: '127.0.0.1', database: DATABASE } as const;
  return {
    parts,
    direct: { name: 'direct', ...at, port: one.port, user: one.user, password: one.password },
    gateway: { name: 'gateway', ...at, port: parts.ports.postgres, user: 'alice', password: handle },
  };
}

/** One of them: alone where nothing is compared, and a file needs no more than one. @param settings - more of them */
export async function startTwin(
  t: Test,
  setup = '',
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  const server = await startPostgres(t, { settings: () => ({ ...QUIET, ...settings }) });
  const admin = await connected(t, server.config());
  await admin.query(`create database ${DATABASE} template template0`);
  // JDBC refuses the few rounds that logins of tests have (RFC 7677 section 4).
  await admin.query('set scram_iterations = 4096');
  await admin.query(`alter role ${server.user} password '${server.password}'`);
  await admin.end();
  const client = await connected(t, server.config(DATABASE));
  if (setup !== '') await client.query(setup);
  await client.end();
  return server;
}

function policy({ port, user }: Upstream, mode: string, rule = '{ statements: [any] }'): string {
  return `
service: ${DATABASE}
protocol: postgres
lane: production
owner: group:payments-leads
upstream: { address: "127.0.0.1:${port}", database: ${DATABASE}, user: ${user}, password: { env: UPSTREAM_PASSWORD } }
roles:
  master:
    allow:
      - ${rule}
grants: { max_duration: 4h, max_renewals: 2 }
recording: { mode: ${mode} }
`;
}

/** A client that sends exactly the bytes it is told to, logged in one way or the other; `hello` is what it was told. */
export async function enter(t: Test, way: Way, parameters: Readonly<Record<string, string>> = {}) {
  const { client, hello } = await letIn(async () => {
    const client = await wire(t, way.port);
    client.send(start({ user: way.user, database: way.database, ...parameters }));
    if (way.name === 'gateway') {
      await client.message();
      client.send(front('p', cstring(way.password)));
    } else await scramLogin(client, way.password);
    return { client, hello: await client.until() };
  });
  return { client, hello: hello.filter(({ type }) => type !== 'R') };
}

async function scramLogin(client: WireClient, password: string): Promise<void> {
  const scram = new ScramClient(password);
  await client.message();
  const first = Buffer.from(scram.first());
  client.send(front('p', cstring('SCRAM-SHA-256'), int32(first.length), first));
  client.send(front('p', Buffer.from(await scram.final((await client.message()).body.toString('utf8', 4)))));
  await client.message();
}

/** A message as it can be compared and read: everything of it but the number of the process that sent a notification. */
export function shown({ type, body }: WireMessage): string {
  return `${type} ${JSON.stringify(body.toString('latin1', type === 'A' ? 4 : 0))}`;
}

/** What one client saw on each way, line by line: the same, if the gateway is not there. */
export async function sameOn(
  t: Test,
  twins: Twins,
  name: string,
  script: (way: Way) => Promise<unknown>,
): Promise<void> {
  const [direct, through] = await Promise.all([script(twins.direct), script(twins.gateway)]);
  t.same(through, direct, name);
}
