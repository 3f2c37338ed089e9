import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isLoopback } from '../config/address.js';
import type { Compiled, Problem, ProtocolConfig } from '../config/protocol.js';
import type { Injected } from '../config/secret.js';
import { parseSize, SIZE } from '../config/size.js';
import { durationSchema, hinted, type ValueSchemas } from '../config/values.js';
import { type PostgresRecording, PostgresRole, type PostgresRule, type PostgresTarget, WRITES } from './role.js';
import { RULE_KINDS } from './sql/analysis.js';
import { NEVER_FUNCTIONS } from './sql/functions.js';

/** What a service says of itself, from which its roles' targets follow. */
export type PostgresUpstream = PostgresTarget;

const QUALIFIED_HINT = 'write schema.name, for example public.orders';
const relationSchema = z
  .string()
  .regex(/^[^\s."*]+\.(?:[^\s."*]+|\*)$/, hinted('not a relation with its schema', `${QUALIFIED_HINT} or public.*`));
const functionSchema = z
  .string()
  .regex(
    /^[^\s."*()]+\.[^\s."*()]+$/,
    hinted('not a function with its schema', 'write schema.name, without parentheses'),
  )
  .refine((name) => !(name.startsWith('pg_catalog.') && NEVER_FUNCTIONS.has(name.slice('pg_catalog.'.length))), {
    message: hinted(
      'no rule can grant this function',
      'it runs SQL text, or reaches settings, files or the server; only `any` does',
    ),
  });

const columnSchema = z.string().regex(/^[^\s".*]+$/, hinted('not a column', 'write its bare name, for example status'));

/** Kinds that `columns:` narrows. */
const COLUMN_READING: ReadonlySet<string> = new Set(['select', 'copy-out', 'explain']);

const ruleSchema = z.strictObject({
  statements: z.array(z.enum([...RULE_KINDS, 'any'])).min(1),
  relations: z.array(relationSchema).min(1).optional(),
  functions: z.array(functionSchema).min(1).optional(),
  columns: z.array(columnSchema).min(1).optional(),
});
type RuleBlock = z.output<typeof ruleSchema>;

const schemaName = z
  .string()
  .regex(/^[^\s.",$]+$/, 'not the name of a schema')
  .refine(
    (name) => !/^pg_/i.test(name),
    hinted('not a schema of your own', 'PostgreSQL searches pg_catalog by itself'),
  );

const SIZE_PROBLEM = hinted('not a size', 'a whole number and a unit: 500KiB, 10MiB, 2GiB');

/** `10MiB` → bytes. */
const sizeSchema = z
  .string(SIZE_PROBLEM)
  .regex(SIZE, SIZE_PROBLEM)
  .transform((size) => parseSize(size) ?? 0);

/** @param machine - how secrets, durations (seconds) and sizes (bytes) are written: in a file, or read already */
function roleSchema(machine: Pick<ValueSchemas, 'secret'> & { duration: z.ZodType<number>; size: z.ZodType<number> }) {
  const { secret, duration, size } = machine;
  return z.strictObject({
    search_path: z.array(schemaName).min(1).optional(),
    allow: z.array(ruleSchema).min(1),
    max_rows: z.int().min(1).optional(),
    max_bytes: size.optional(),
    statement_timeout: duration.optional(),
    recording: z
      .strictObject({
        parameters: z.enum(['recorded', 'hashed', 'off']).optional(),
        results: z.int().min(0).max(1_000).optional(),
      })
      .optional(),
    upstream: z.strictObject({ user: z.string().min(1), password: secret }).optional(),
  });
}

/** A role block once what it refers to is read. */
const resolvedRole = roleSchema({ secret: z.string(), duration: z.number(), size: z.number() });

function upstreamSchema({ address, secret }: ValueSchemas): z.ZodType<PostgresUpstream> {
  const mode = z.enum(['disable', 'require', 'verify-full']);
  const tls = z.union([mode.transform((name) => ({ mode: name })), z.strictObject({ mode, ca: secret.optional() })]);
  return z
    .strictObject({
      address,
      database: z.string().min(1),
      user: z.string().min(1),
      password: secret,
      tls: tls.optional(),
    })
    .transform((block) => ({
      host: block.address.host,
      port: block.address.port,
      database: block.database,
      user: block.user,
      password: block.password,
      tls: block.tls ?? { mode: isLoopback(block.address.host) ? 'disable' : 'verify-full' },
    }));
}

/** Compiles a role from its chain: rules add up; of everything else the last block that says it counts. */
function compileRole(name: string, chain: readonly unknown[], upstream: PostgresUpstream): Compiled<PostgresRole> {
  const blocks = z.array(resolvedRole).parse(chain);
  const own = blocks.at(-1);
  const allow = blocks.flatMap((block) => block.allow);
  const searchPath = blocks.findLast((block) => block.search_path)?.search_path ?? ['public'];
  const any = allow.some(saysAny);
  // A base is compiled, and complained about, as a role of its own.
  const problems = (own?.allow ?? []).flatMap((rule, index) => problemsOf(rule, ['allow', index]));
  if (!any && searchPath.length !== 1) problems.push(MANY_SCHEMAS);
  if (problems.length > 0) return { ok: false, problems };
  const rules = allow.map(compileRule);
  const login = blocks.findLast((block) => block.upstream)?.upstream;
  const target = { ...upstream, ...login };
  return { ok: true, value: new PostgresRole({ name, rules, searchPath, upstream: target, ...limitsOf(blocks) }) };
}

/** A role that was freed from judgement by `any` may search schemas among which no restricted one could find its way. */
function narrow(role: PostgresRole, texts: ReadonlySet<string>): PostgresRole {
  const left = new PostgresRole({ ...role, rules: role.rules.filter(({ text }) => texts.has(text)) });
  const lost = !left.any && role.searchPath.length !== 1;
  return lost ? new PostgresRole({ ...role, rules: [] }) : left;
}

function limitsOf(blocks: readonly z.output<typeof resolvedRole>[]) {
  const last = <T>(of: (block: z.output<typeof resolvedRole>) => T | undefined): T | undefined =>
    blocks.map(of).findLast((value) => value !== undefined);
  const seconds = last((block) => block.statement_timeout);
  return {
    maxRows: last((block) => block.max_rows) ?? null,
    maxBytes: last((block) => block.max_bytes) ?? null,
    statementTimeout: seconds === undefined ? null : seconds * 1000,
    recording: {
      parameters: last((block) => block.recording?.parameters) ?? 'recorded',
      results: last((block) => block.recording?.results) ?? 0,
    },
  };
}

/** From what shows the least of a statement's parameters to what shows the most. */
const SHOWN: readonly PostgresRecording['parameters'][] = ['off', 'hashed', 'recorded'];

/**
 * What of a role, besides its rules, gives more than another: larger limits, less that is recorded. Where everything is allowed
 * the account is the only wall, and of two accounts nobody can tell here which may do less.
 */
function looser(role: PostgresRole, than: PostgresRole): readonly string[] {
  const larger = (limit: 'maxRows' | 'maxBytes' | 'statementTimeout') =>
    (role[limit] ?? Number.POSITIVE_INFINITY) > (than[limit] ?? Number.POSITIVE_INFINITY);
  const shown = ({ recording }: PostgresRole) => SHOWN.indexOf(recording.parameters);
  return [
    ...(larger('maxRows') ? ['max_rows'] : []),
    ...(larger('maxBytes') ? ['max_bytes'] : []),
    ...(larger('statementTimeout') ? ['statement_timeout'] : []),
    ...(shown(role) < shown(than) ? ['recording.parameters'] : []),
    ...(role.recording.results < than.recording.results ? ['recording.results'] : []),
    ...(role.any && role.upstream.user !== than.upstream.user ? ['upstream.user'] : []),
  ];
}

const MANY_SCHEMAS: Problem = {
  path: ['search_path'],
  message: 'a restricted role searches exactly one schema',
  hint: 'name one schema; relations of others are written schema.name in the statements',
};

function saysAny(rule: RuleBlock): boolean {
  return rule.statements.includes('any');
}

function problemsOf(rule: RuleBlock, path: readonly (string | number)[]): Problem[] {
  const problems: Problem[] = [];
  const add = (key: string, message: string, hint: string) => problems.push({ path: [...path, key], message, hint });
  if (saysAny(rule)) {
    if (rule.statements.length > 1 || rule.relations || rule.functions || rule.columns) {
      add('statements', '`any` stands alone: it allows everything', 'write { statements: [any] }, or leave any out');
    }
    return problems;
  }
  const needing = rule.statements.filter((kind) => kind !== 'show' && !(kind === 'select' && rule.functions));
  if (needing.length > 0 && !rule.relations) {
    add('statements', `${needing.join(', ')}: on which relations?`, 'add relations: [schema.name, …]');
  }
  const writes = rule.statements.filter((kind) => kind !== 'any' && WRITES.has(kind));
  if (rule.columns && !rule.relations) add('columns', 'columns of which relations?', 'add relations: [schema.name, …]');
  if (rule.columns && rule.statements.some((kind) => !COLUMN_READING.has(kind))) {
    add('columns', 'columns narrow what is read', 'write a rule of its own for select, copy-out or explain');
  }
  for (const relation of rule.relations ?? []) {
    if (rule.columns && relation.endsWith('.*'))
      add('columns', `columns of ${relation}`, 'name the relations one by one');
    const system = /^(?:pg_.*|information_schema)\./.test(relation);
    if (system && (writes.length > 0 || relation.endsWith('.*'))) {
      add('relations', `${relation} cannot be granted so`, 'name one system relation at a time, and only for reading');
    }
  }
  return problems;
}

function compileRule(rule: RuleBlock): PostgresRule {
  const relations = rule.relations ?? [];
  const on = [...relations, ...(rule.functions ?? [])];
  const of = rule.columns ? ` (${shortened(rule.columns)})` : '';
  return {
    text: on.length > 0 ? `${rule.statements.join(', ')} on ${shortened(on)}${of}` : rule.statements.join(', '),
    kinds: new Set(rule.statements.filter((kind) => kind !== 'any')),
    relations: new Set(relations),
    functions: new Set(rule.functions ?? []),
    columns: rule.columns ? new Set(rule.columns) : null,
    any: saysAny(rule),
  };
}

/** A grant may be narrowed to a rule by its text: what the text leaves out it names by its digest. */
function shortened(names: readonly string[]): string {
  if (names.length <= 4) return names.join(', ');
  const digest = createHash('sha256').update(names.join(', ')).digest('hex').slice(0, 8);
  return `${names.slice(0, 3).join(', ')} and ${names.length - 3} more (${digest})`;
}

/** The passwords of every account that some role logs in as. */
function injected({ password }: PostgresUpstream, roles: Iterable<PostgresRole>): readonly Injected[] {
  const passwords = new Set([password, ...[...roles].map(({ upstream }) => upstream.password)]);
  return [...passwords].map((value) => ({ value, forms: [value] }));
}

/** What a service file of a database may say. */
export const postgresConfig: ProtocolConfig<PostgresUpstream, PostgresRole> = {
  name: 'postgres',
  upstream: upstreamSchema,
  role: ({ secret }) => roleSchema({ secret, duration: durationSchema, size: sizeSchema }),
  compileRole,
  rulesOf: ({ rules }) => rules.map(({ text }) => text),
  narrow,
  looser,
  injected,
};
