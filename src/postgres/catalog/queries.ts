/**
 * What is asked of a database for its catalog. Object identifiers below 16384 are PostgreSQL's own (transam.h,
 * FirstNormalObjectId); everything else was made by somebody, also what was put into pg_catalog.
 * Every name is qualified and every list ordered: the same content gives the same text.
 */

export const RELATIONS = `
  select n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind, c.reltype::int8 as row_type,
    array(select a.attname::text from pg_catalog.pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns,
    array(select a.atttypid::int8 from pg_catalog.pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum)::text[] as types
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c') and n.nspname !~ '^pg_(toast|temp)'
   order by n.nspname, c.relname`;

const ofExtension = (catalog: string, oid: string) => `exists (select from pg_catalog.pg_depend e
    where e.classid = 'pg_catalog.${catalog}'::pg_catalog.regclass and e.objid = ${oid} and e.deptype = 'e')`;

/** `takes_row`: callable with one argument, and that may be a row (a domain may be one over a row), also by an implicit cast. */
export const FUNCTIONS = `
  select n.nspname::text as schema, p.proname::text as name,
    bool_or(one.argument and (t.typtype in ('c', 'd', 'p') or exists (
      select from pg_catalog.pg_cast k join pg_catalog.pg_type s on s.oid = k.castsource
       where k.oid >= 16384 and k.castcontext = 'i' and k.casttarget = t.oid and s.typtype = 'c'))) as takes_row,
    bool_or(one.argument) as takes_one, bool_or(not ${ofExtension('pg_proc', 'p.oid')}) as made
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    cross join lateral (select p.pronargs >= 1 and p.pronargs - p.pronargdefaults <= 1 as argument) as one
    left join pg_catalog.pg_type t on t.oid = p.proargtypes[0]
   where p.oid >= 16384
   group by 1, 2 order by 1, 2`;

export const OPERATORS = `
  select n.nspname::text as schema, o.oprname::text as name, o.oprleft::int8 as left, o.oprright::int8 as right,
    fn.nspname::text || '.' || f.proname::text as by
    from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
    join pg_catalog.pg_proc f on f.oid = o.oprcode join pg_catalog.pg_namespace fn on fn.oid = f.pronamespace
   where o.oid >= 16384 and not ${ofExtension('pg_operator', 'o.oid')} order by 1, 2, o.oid`;

export const TYPES = `
  select t.oid::int8 as id, n.nspname::text as schema, t.typname::text as name, t.typtype::text as kind,
    case when t.typcategory = 'A' then t.typelem::int8 else 0 end as element,
    ${ofExtension('pg_type', 't.oid')} as extension
    from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
   where t.oid >= 16384 and n.nspname !~ '^pg_(toast|temp)' order by t.oid`;

export const CASTS = `
  select k.castsource::int8 as source, k.casttarget::int8 as target, t.typname::text as target_name,
    n.nspname::text || '.' || f.proname::text as by, k.castcontext = 'i' as implicit,
    k.castcontext <> 'e' as assigned
    from pg_catalog.pg_cast k join pg_catalog.pg_type t on t.oid = k.casttarget
    join pg_catalog.pg_proc f on f.oid = k.castfunc join pg_catalog.pg_namespace n on n.oid = f.pronamespace
   where k.oid >= 16384 and not ${ofExtension('pg_cast', 'k.oid')} order by k.oid`;

export const SYSTEM_NAMES = `
  select array(select relname::text from pg_catalog.pg_class where relnamespace = 'pg_catalog'::pg_catalog.regnamespace
                  and relkind <> 'i' order by 1) as relations,
         array(select typname::text from pg_catalog.pg_type where typnamespace = 'pg_catalog'::pg_catalog.regnamespace
                  and oid < 16384 order by 1) as types,
         array(select distinct oprname::text from pg_catalog.pg_operator where oprnamespace = 'pg_catalog'::pg_catalog.regnamespace
                  and oid < 16384 order by 1) as operators`;
