import { z } from 'zod';
import type { HeldRights } from './held-rights.js';
import { COLUMN_PRIVILEGES, SEQUENCE_PRIVILEGES, TABLE_PRIVILEGES } from './rights.js';
import type { PostgresTarget } from './role.js';
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

const OWNED = 'c.relowner = (select oid from pg_catalog.pg_roles where rolname = current_user) as owned';

/** The columns of `c` that the account may use so. */
const columnsWith = (condition: string) => `array(select a.attname::text from pg_catalog.pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and ${condition} order by a.attnum)`;
/** Where it may not on the whole relation. */
const onColumnsOnly = (privilege: string) =>
  `pg_catalog.has_column_privilege(c.oid, a.attnum, '${privilege}') and not pg_catalog.has_table_privilege(c.oid, '${privilege}')`;

const RELATIONS = `
  select n.nspname::text as schema, c.relname::text as name, ${OWNED}, ${columnsWith('true')} as columns,
    array(select p from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']
        || case when pg_catalog.current_setting('server_version_num')::int >= 170000 then array['MAINTAIN'] else '{}' end) as p
      where pg_catalog.has_table_privilege(c.oid, p)) as privileges,
    ${columnsWith("pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')")} as readable,
    ${COLUMN_PRIVILEGES.map((one) => `${columnsWith(onColumnsOnly(one))} as "${one}"`).join(',\n    ')}
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_(toast|temp)'
   order by 1, 2`;

/** `of`: the table whose column draws its numbers from it (a serial column; an identity column needs no right). */
const SEQUENCES = `
  select n.nspname::text as schema, c.relname::text as name, ${OWNED},
    array(select p from unnest(array['USAGE', 'SELECT', 'UPDATE']) as p where pg_catalog.has_sequence_privilege(c.oid, p)) as privileges,
    (select m.nspname::text || '.' || t.relname::text from pg_catalog.pg_depend d
       join pg_catalog.pg_class t on t.oid = d.refobjid join pg_catalog.pg_namespace m on m.oid = t.relnamespace
      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = d.classid and d.objid = c.oid and d.deptype = 'a'
      limit 1) as of
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.oid >= 16384 and c.relkind = 'S' and n.nspname !~ '^pg_(toast|temp)' order by 1, 2`;

/** `own`: called by itself (no trigger) and not the arithmetic of an extension's types. As `daypass service sql` has it. */
const FUNCTIONS = `
  select n.nspname::text || '.' || p.proname::text as name, bool_or(p.prosecdef) as definer,
    bool_or(p.prorettype not in ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
      and (e.oid is null or e.extname in ('dblink', 'postgres_fdw', 'lo', 'xml2', 'adminpack'))) as own
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'
    left join pg_catalog.pg_extension e on e.oid = d.refobjid
   where p.oid >= 16384 and pg_catalog.has_function_privilege(p.oid, 'execute') and pg_catalog.has_schema_privilege(n.oid, 'usage')
   group by 1 order by 1`;

/**
 * PostgreSQL's own functions: what writes large objects whatever the transaction says, what ends other sessions of the same
 * account, and what PostgreSQL itself keeps from everybody (files, settings, the server: pg_init_privs has how it began).
 */
const SYSTEM_FUNCTIONS = `
  select distinct p.proname::text as name,
    case when p.proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite', 'lo_unlink', 'lo_truncate', 'lo_truncate64', 'lo_import', 'lo_export')
           then 'writers'
         when p.proname in ('pg_cancel_backend', 'pg_terminate_backend') then 'enders' else 'kept' end as kind
    from pg_catalog.pg_proc p
    left join pg_catalog.pg_init_privs i on i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass and i.objoid = p.oid
   where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace and p.oid < 16384 and pg_catalog.has_function_privilege(p.oid, 'execute')
     and (p.proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite', 'lo_unlink', 'lo_truncate', 'lo_truncate64', 'lo_import',
            'lo_export', 'pg_cancel_backend', 'pg_terminate_backend')
       or i.initprivs is not null
         and not exists (select from pg_catalog.aclexplode(i.initprivs) a where a.grantee = 0 and a.privilege_type = 'EXECUTE'))
   order by 1`;

/** Settings that somebody was granted (PostgreSQL 15 and later). */
const HAS_PARAMETERS = "select pg_catalog.to_regclass('pg_catalog.pg_parameter_acl') is not null as has";
const PARAMETERS = `
  select parname::text as name, array(select p from unnest(array['SET', 'ALTER SYSTEM']) as p
      where pg_catalog.has_parameter_privilege(parname, p)) as privileges
    from pg_catalog.pg_parameter_acl order by 1`;

const SERVERS = `
  select srvname::text as name from pg_catalog.pg_foreign_server where pg_catalog.has_server_privilege(oid, 'usage') order by 1`;

const names = z.array(z.string());
const accountRow = z.object({ attributes: names, member_of: names, database: names });
const schemaRow = z.object({ schema: z.string(), creates: z.boolean(), uses: z.boolean() });
const relationRow = z.object({
  schema: z.string(),
  name: z.string(),
  owned: z.boolean(),
  columns: names,
  privileges: z.array(z.enum(TABLE_PRIVILEGES)),
  readable: names,
  INSERT: names,
  UPDATE: names,
  REFERENCES: names,
});
const sequenceRow = z.object({
  schema: z.string(),
  name: z.string(),
  owned: z.boolean(),
  privileges: z.array(z.enum(SEQUENCE_PRIVILEGES)),
  of: z.string().nullable(),
});
const functionRow = z.object({ name: z.string(), definer: z.boolean(), own: z.boolean() });
const systemFunctionRow = z.object({ name: z.string(), kind: z.enum(['writers', 'enders', 'kept']) });
const parameterRow = z.object({ name: z.string(), privileges: z.array(z.enum(['SET', 'ALTER SYSTEM'])) });
const nameRow = z.object({ name: z.string() });
const hasRow = z.object({ has: z.boolean() });

type Ask = <T>(text: string, row: z.ZodType<T>) => Promise<T[]>;

/**
 * Asks a database what the account it is reached with may do there.
 * @throws when it cannot be reached, does not answer in time, or answers nonsense
 */
export function loadRights(target: PostgresTarget): Promise<HeldRights> {
  return askUpstream(target, 'check', async (rows) => {
    const ask: Ask = async (text, row) => z.array(row).parse(await rows(text));
    const [account] = await ask(ACCOUNT, accountRow);
    if (account === undefined) throw new Error('the database does not know its own user');
    const schemas = await ask(SCHEMAS, schemaRow);
    return {
      attributes: account.attributes,
      memberOf: account.member_of,
      database: account.database,
      createsIn: schemas.filter(({ creates }) => creates).map(({ schema }) => schema),
      schemas: new Set(schemas.filter(({ uses }) => uses).map(({ schema }) => schema)),
      ...(await relationsHeld(ask)),
      ...(await functionsHeld(ask)),
      parameters: await parametersHeld(ask),
      servers: (await ask(SERVERS, nameRow)).map(({ name }) => name),
    };
  });
}

async function relationsHeld(ask: Ask): Promise<Pick<HeldRights, 'relations' | 'sequences'>> {
  const relations = await ask(RELATIONS, relationRow);
  const sequences = await ask(SEQUENCES, sequenceRow);
  return {
    relations: relations.map((row) => ({
      ...row,
      privileges: new Set(row.privileges),
      readable: new Set(row.readable),
      columnsOnly: { INSERT: row.INSERT, UPDATE: row.UPDATE, REFERENCES: row.REFERENCES },
    })),
    sequences: sequences.map((row) => ({ ...row, privileges: new Set(row.privileges) })),
  };
}

async function functionsHeld(
  ask: Ask,
): Promise<Pick<HeldRights, 'definers' | 'functions' | 'callable' | 'writers' | 'enders' | 'kept'>> {
  const functions = await ask(FUNCTIONS, functionRow);
  const system = await ask(SYSTEM_FUNCTIONS, systemFunctionRow);
  const ofKind = (wanted: string) => system.filter(({ kind }) => kind === wanted).map(({ name }) => name);
  return {
    definers: functions.filter(({ definer }) => definer).map(({ name }) => name),
    functions: new Set(functions.map(({ name }) => name)),
    callable: functions.filter(({ definer, own }) => own && !definer).map(({ name }) => name),
    writers: ofKind('writers'),
    enders: ofKind('enders'),
    kept: ofKind('kept'),
  };
}

async function parametersHeld(ask: Ask): Promise<readonly string[]> {
  const [parameters] = await ask(HAS_PARAMETERS, hasRow);
  if (parameters?.has !== true) return [];
  const rows = await ask(PARAMETERS, parameterRow);
  return rows.flatMap(({ name, privileges }) => privileges.map((one) => `${one.toLowerCase()} ${name}`));
}
