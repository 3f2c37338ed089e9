import type { ServicePolicy } from '../config/protocol.js';
import { type Account, accountsOf, type NeededRights } from './rights.js';

/**
 * The SQL, for psql, that makes the accounts a service's policy needs, with no more than it needs: the first wall, which
 * the database itself keeps (PROTOCOLS.md, "four walls"). Passwords are psql's variables; running it again is harmless.
 */
export function serviceSql(service: ServicePolicy): string {
  const accounts = accountsOf(service);
  const [first] = accounts;
  const restricted = accounts.filter((account) => !account.any);
  const variables = restricted.map(({ target }) => passwordOf(target.user));
  const database = first?.target.database ?? '';
  return [
    `-- The accounts of ${service.name}, with what its policy needs and no more. Run it as a superuser of the database:`,
    `--   psql ${variables.map((name) => `-v ${name}=…`).join(' ')} -d ${shell(database)} -f this-file`,
    '\\set ON_ERROR_STOP on',
    ...variables.flatMap(unset),
    'begin;',
    '',
    ...nobody(database),
    ...restricted.flatMap((account) => ['', ...accountSql(account)]),
    ...accounts.filter(({ any }) => any).flatMap(unlimited),
    '',
    'commit;',
    '',
  ].join('\n');
}

/** A script that stops half-way would leave an account without its password. */
function unset(variable: string): string[] {
  return [
    `\\if :{?${variable}}`,
    '\\else',
    `\\warn 'set the password: -v ${variable}=…'`,
    `do $$ begin raise exception '${variable} is not set'; end $$;`,
    '\\endif',
  ];
}

/** What comes with being anybody cannot be taken from one account alone: it is taken from everybody. */
function nobody(database: string): string[] {
  return [
    '-- PostgreSQL has no "deny": what PUBLIC may, every account may. These lines take it from everybody; grant it again to',
    '-- the accounts of your applications that need it.',
    `revoke create, temporary on database ${quote(database)} from public;`,
    `select format('revoke create on schema %I from public', nspname) from pg_namespace where oid >= 16384 or nspname = 'public'`,
    '\\gexec',
    "select format('revoke execute on routine %s from public', p.oid::regprocedure) from pg_proc p",
    "  left join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'",
    '  left join pg_extension e on e.oid = d.refobjid',
    " where p.oid >= 16384 and (e.oid is null or p.prosecdef or e.extname in ('dblink', 'postgres_fdw', 'lo', 'xml2', 'adminpack'))",
    '\\gexec',
    '-- Large objects can be written even in a read-only session.',
    "select format('revoke execute on function %s from public', oid::regprocedure) from pg_proc",
    " where pronamespace = 'pg_catalog'::regnamespace and proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite',",
    "   'lo_unlink', 'lo_truncate', 'lo_truncate64', 'lo_import', 'lo_export')",
    '\\gexec',
    "-- People who share an account could end each other's sessions.",
    'revoke execute on function pg_cancel_backend(integer), pg_terminate_backend(integer, bigint) from public;',
    '-- Functions that are made later by whoever runs this; other owners need the same line of their own.',
    'alter default privileges revoke execute on functions from public;',
  ];
}

function accountSql(account: Account): string[] {
  const { target, roles, readOnly, relations, functions, schemas } = account;
  const user = quote(target.user);
  const own = [...schemas].filter((schema) => !isSystem(schema));
  return [
    `-- ${target.user}: ${roles.map((role) => role.name).join(', ')}`,
    `select format('create role %I', ${text(target.user)}) where not exists (select from pg_roles where rolname = ${text(target.user)})`,
    '\\gexec',
    `alter role ${user} with login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'${passwordOf(target.user)}';`,
    readOnly
      ? `alter role ${user} set default_transaction_read_only = on;`
      : `alter role ${user} reset default_transaction_read_only;`,
    ...own.flatMap((schema) => [
      `revoke all on all tables in schema ${quote(schema)} from ${user};`,
      `revoke all on all sequences in schema ${quote(schema)} from ${user};`,
      `revoke all on all routines in schema ${quote(schema)} from ${user};`,
      `revoke create on schema ${quote(schema)} from ${user};`,
    ]),
    `revoke all on database ${quote(target.database)} from ${user};`,
    `grant connect on database ${quote(target.database)} to ${user};`,
    ...own.map((schema) => `grant usage on schema ${quote(schema)} to ${user};`),
    ...relations.flatMap((needed) => relationSql(needed, user, target.user)),
    ...[...functions].flatMap((name) => functionSql(name, target.user)),
    ...[...account.defines].map(
      (name) => `-- ${name}: definitions take its owner; make ${target.user} the owner if that is meant.`,
    ),
  ];
}

function relationSql({ schema, name, privileges, columns }: NeededRights, user: string, plainUser: string): string[] {
  const on = name === null ? `all tables in schema ${quote(schema)}` : `${quote(schema)}.${quote(name)}`;
  const words = [...privileges].map((privilege) => {
    const only = privilege === 'SELECT' && columns !== null ? ` (${[...columns].map(quote).join(', ')})` : '';
    return `${privilege.toLowerCase()}${only}`;
  });
  const lines = [`grant ${words.join(', ')} on ${on} to ${user};`];
  if (name === null)
    lines.push(`alter default privileges in schema ${quote(schema)} grant ${words.join(', ')} on tables to ${user};`);
  if (privileges.has('INSERT')) lines.push(...(name === null ? allSequences(schema, user) : sequences(on, plainUser)));
  return lines;
}

/** A serial column takes its number from a sequence that the writer must be allowed to use. */
function sequences(table: string, user: string): string[] {
  return [
    `select format('grant usage on sequence %s to %I', d.objid::regclass, ${text(user)}) from pg_depend d join pg_class s on s.oid = d.objid`,
    ` where s.relkind = 'S' and d.deptype = 'a' and d.classid = 'pg_class'::regclass and d.refobjid = ${text(table)}::regclass`,
    '\\gexec',
  ];
}

/** Tables that are made later have sequences that are made later. */
function allSequences(schema: string, user: string): string[] {
  return [
    `grant usage on all sequences in schema ${quote(schema)} to ${user};`,
    `alter default privileges in schema ${quote(schema)} grant usage on sequences to ${user};`,
  ];
}

function functionSql(qualified: string, user: string): string[] {
  const [schema = '', name = ''] = qualified.split('.');
  return [
    `select format('grant execute on routine %s to %I', p.oid::regprocedure, ${text(user)}) from pg_proc p`,
    `  join pg_namespace n on n.oid = p.pronamespace where n.nspname = ${text(schema)} and p.proname = ${text(name)}`,
    '\\gexec',
  ];
}

function unlimited({ target, roles }: Account): string[] {
  const names = roles.filter(({ any }) => any).map(({ name }) => name);
  return [
    '',
    `-- ${target.user}: ${names.join(', ')} may do anything ({ statements: [any] }): make and limit this account yourself.`,
  ];
}

function isSystem(schema: string): boolean {
  return schema === 'information_schema' || schema.startsWith('pg_');
}

/** `daypass_reader` → `daypass_reader_password`; psql's variables know letters, digits and underscores. */
function passwordOf(user: string): string {
  return `${user.replace(/[^A-Za-z0-9_]/g, '_')}_password`;
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string as SQL; psql reads no variable inside quotes. */
function text(value: string): string {
  const quoted = value.replaceAll("'", "''");
  return value.includes('\\') ? `e'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

function shell(word: string): string {
  return /^[\w.-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
