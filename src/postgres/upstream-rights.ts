import { z } from 'zod';
import type { HeldRights } from './held-rights.js';
import type { PostgresTarget } from './policy.js';
import { PRIVILEGES } from './rights.js';
import { askUpstream } from './upstream-client.js';

const ACCOUNT = `
  select array_remove(array[case when rolsuper then 'superuser' end, case when rolcreaterole then 'createrole' end,
      case when rolcreatedb then 'createdb' end, case when rolreplication then 'replication' end,
      case when rolbypassrls then 'bypassrls' end], null) as attributes,
    case when rolsuper then '{}' else array(select m.rolname::text from pg_catalog.pg_roles m
      where m.oid <> r.oid and pg_catalog.pg_has_role(r.oid, m.oid, 'member') order by 1) end as member_of,
    array_remove(array[case when pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'create') then 'create' end,
      case when pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'temporary') then 'temporary' end], null) as database
    from pg_catalog.pg_roles r where rolname = current_user`;

const SCHEMAS = `
  select nspname::text as schema, pg_catalog.has_schema_privilege(oid, 'create') as creates,
    pg_catalog.has_schema_privilege(oid, 'usage') as uses
    from pg_catalog.pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' order by 1`;

const RELATIONS = `
  select n.nspname::text as schema, c.relname::text as name, c.relowner = (select oid from pg_catalog.pg_roles where rolname = current_user) as owned,
    array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns,
    array(select p from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as p where pg_catalog.has_table_privilege(c.oid, p)) as privileges,
    array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       and pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') order by a.attnum) as readable,
    array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       and (pg_catalog.has_column_privilege(c.oid, a.attnum, 'UPDATE') and not pg_catalog.has_table_privilege(c.oid, 'UPDATE')
         or pg_catalog.has_column_privilege(c.oid, a.attnum, 'INSERT') and not pg_catalog.has_table_privilege(c.oid, 'INSERT'))
       order by a.attnum) as writable
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_(toast|temp)'
   order by 1, 2`;

const FUNCTIONS = `
  select n.nspname::text || '.' || p.proname::text as name, bool_or(p.prosecdef) as definer
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
   where p.oid >= 16384 and pg_catalog.has_function_privilege(p.oid, 'execute') and pg_catalog.has_schema_privilege(n.oid, 'usage')
   group by 1 order by 1`;

/** What writes large objects whatever the transaction says. */
const WRITERS = `
  select distinct proname::text as name from pg_catalog.pg_proc
   where pronamespace = 'pg_catalog'::pg_catalog.regnamespace and pg_catalog.has_function_privilege(oid, 'execute')
     and proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite', 'lo_unlink', 'lo_truncate', 'lo_truncate64')
   order by 1`;

const names = z.array(z.string());
const accountRow = z.object({ attributes: names, member_of: names, database: names });
const schemaRow = z.object({ schema: z.string(), creates: z.boolean(), uses: z.boolean() });
const relationRow = z.object({
  schema: z.string(),
  name: z.string(),
  owned: z.boolean(),
  columns: names,
  privileges: z.array(z.enum(PRIVILEGES)),
  readable: names,
  writable: names,
});
const functionRow = z.object({ name: z.string(), definer: z.boolean() });
const writerRow = z.object({ name: z.string() });

/**
 * Asks a database what the account it is reached with may do there.
 * @throws when it cannot be reached, does not answer in time, or answers nonsense
 */
export function loadRights(target: PostgresTarget): Promise<HeldRights> {
  return askUpstream(target, 'check', async (client) => {
    const ask = async <T>(text: string, row: z.ZodType<T>) => z.array(row).parse((await client.query(text)).rows);
    const [account] = await ask(ACCOUNT, accountRow);
    if (account === undefined) throw new Error('the database does not know its own user');
    const schemas = await ask(SCHEMAS, schemaRow);
    const functions = await ask(FUNCTIONS, functionRow);
    const relations = await ask(RELATIONS, relationRow);
    return {
      attributes: account.attributes,
      memberOf: account.member_of,
      database: account.database,
      createsIn: schemas.filter(({ creates }) => creates).map(({ schema }) => schema),
      schemas: new Set(schemas.filter(({ uses }) => uses).map(({ schema }) => schema)),
      relations: relations.map((row) => ({
        ...row,
        privileges: new Set(row.privileges),
        readable: new Set(row.readable),
      })),
      definers: functions.filter(({ definer }) => definer).map(({ name }) => name),
      functions: new Set(functions.map(({ name }) => name)),
      writers: (await ask(WRITERS, writerRow)).map(({ name }) => name),
    };
  });
}
