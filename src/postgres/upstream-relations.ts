import pg from 'pg';
import type { ServicePolicy } from '../config/protocol.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { PostgresRole } from './policy.js';

/**
 * Says at start which relations a policy names that its upstream lacks: most often a slip of the pen. A warning only: the
 * relation may be made later, and a rule for what does not exist lets nothing through.
 */
export async function warnOfMissingRelations(services: Iterable<ServicePolicy>, log: Log): Promise<void> {
  const ours = [...services].filter((service) => service.protocol === 'postgres');
  await Promise.all(
    ours.flatMap((service) => [...service.roles.values()].map((role) => check(service, role as PostgresRole, log))),
  );
}

async function check(service: ServicePolicy, role: PostgresRole, log: Log): Promise<void> {
  if (role.relations.length === 0) return;
  const { host, port, user, password, database, tls } = role.upstream;
  const ssl =
    tls.mode === 'disable'
      ? false
      : { rejectUnauthorized: tls.mode === 'verify-full', ...(tls.ca === undefined ? {} : { ca: tls.ca }) };
  const client = new pg.Client({
    host,
    port,
    user,
    password,
    database,
    ssl,
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ name: string }>(
      'select name from unnest($1::text[]) as given(name) where to_regclass(name) is null',
      [role.relations.map((relation) => quoted(relation))],
    );
    for (const { name } of rows) {
      log.warn(
        { service: service.name, role: role.name, relation: name },
        'the policy names a relation that the upstream lacks',
      );
    }
  } catch (thrown) {
    log.warn(
      { service: service.name, role: role.name, err: messageOf(thrown) },
      'the upstream could not be asked for its relations',
    );
  } finally {
    await client.end().catch(() => {});
  }
}

function quoted({ schema, name }: { readonly schema: string | null; readonly name: string }): string {
  const part = (text: string) => `"${text.replaceAll('"', '""')}"`;
  return schema === null ? part(name) : `${part(schema)}.${part(name)}`;
}
