import { z } from 'zod';
import type { Problem } from '../../config/protocol.js';
import { parseSize, SIZE } from '../../config/size.js';
import { hinted } from '../../config/values.js';
import type { Rate } from '../../policy/decision.js';
import { canonical, isCondition } from '../headers/headers.js';
import { ABSENT, type Matcher, oneOf, TYPE_NAMES, typed } from './matcher.js';
import { folded } from './query.js';
import { parseRoute } from './routes.js';
import { type Condition, type Rule, ruleOf } from './rule.js';

const SIZE_PROBLEM = hinted('not a size', 'a whole number and a unit: 500KiB, 10MiB, 2GiB');
const RATE = /^([1-9]\d{0,5})\/([smh])$/;
const RATE_PROBLEM = hinted('not a rate', 'how often in a second, minute or hour: 20/s, 100/m, 1000/h');
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** What a condition may ask for. @param text - a value that can come; another would never fit */
function valueSchema(text: z.ZodString) {
  const plain = z.union([text, z.int(), z.boolean()]);
  return z.union([
    plain,
    z.array(plain).min(1),
    z.strictObject({ type: z.enum(TYPE_NAMES), optional: z.boolean().optional() }),
    z.strictObject({ one_of: z.array(plain).min(1), optional: z.boolean().optional() }),
    z.strictObject({ absent: z.literal(true) }),
  ]);
}
type Written = z.output<ReturnType<typeof valueSchema>>;

const isText = (text: string) => !/\p{Cc}/u.test(text);
const QUERY_PROBLEM = hinted('no query has this', 'one that holds control characters is refused');
const queryText = z.string().min(1).refine(isText, QUERY_PROBLEM);
const SPELLED_PROBLEM = hinted(
  'a parameter stands twice: no query can have both',
  'case, what stands in brackets, "." and blanks for "_" make no difference',
);
const headerText = z
  .string()
  .min(1)
  .refine(
    (text) => /^[\x20-\x7e]+$/.test(text) && text === text.trim(),
    hinted('no header that can be compared', 'printable ASCII without blanks around it'),
  );

const headerName = z.string().refine(isCondition, {
  error: ({ input }) =>
    hinted(
      `a rule cannot name the header "${String(input)}"`,
      'lower-case, and one that reaches the service as the client sent it: not content-…, cookie, accept-encoding, host, authorization, connection, x-forwarded-…',
    ),
});

/** An entry of `allow:`. What it says in words (sizes, rates, types) is read when the role is compiled. */
export const ruleSchema = z.union([
  z.string(),
  z.strictObject({
    route: z.string(),
    query: z.record(queryText, valueSchema(queryText)).refine(isSpelledOnce, SPELLED_PROBLEM).optional(),
    headers: z.record(headerName, valueSchema(headerText)).optional(),
    body: z.string(SIZE_PROBLEM).regex(SIZE, SIZE_PROBLEM).optional(),
    rate: z.string(RATE_PROBLEM).regex(RATE, RATE_PROBLEM).optional(),
  }),
]);
type RuleBlock = z.output<typeof ruleSchema>;

function isSpelledOnce(query: Readonly<Record<string, unknown>>): boolean {
  const names = Object.keys(query);
  return new Set(names.map(folded)).size === names.length;
}

/** A rule, or what is wrong with its route. */
export type ReadRule =
  | { readonly ok: true; readonly rule: Rule }
  | { readonly ok: false; readonly problem: Omit<Problem, 'path'> };

/**
 * Compiles one entry of `allow:`.
 * @param queryOnly - whether the service takes no parameters from bodies
 */
export function readRule(block: RuleBlock, queryOnly: boolean): ReadRule {
  const written = typeof block === 'string' ? { route: block } : block;
  const parsed = parseRoute(written.route);
  if (!parsed.ok) return { ok: false, problem: { message: parsed.message, hint: parsed.hint } };
  if (parsed.route.method === 'WS' && written.body !== undefined) return { ok: false, problem: NO_BODY };
  const parts = {
    route: parsed.route,
    query: conditionsOf(written.query, (name) => name),
    headers: conditionsOf(written.headers, canonical),
    maxBody: written.body === undefined ? null : (parseSize(written.body) ?? 0),
    rate: rateOf(written.rate),
    queryOnly,
  };
  return { ok: true, rule: ruleOf(textOf(written.route, parts, written), parts) };
}

const NO_BODY = {
  message: 'a WebSocket has no body',
  hint: 'its messages are bounded by websocket.max_message of the role',
};

function conditionsOf(
  written: Readonly<Record<string, Written>> | undefined,
  named: (name: string) => string,
): Condition[] {
  return Object.entries(written ?? {}).map(([name, value]) => {
    const matcher = matcherOf(value);
    const optional = typeof value === 'object' && 'optional' in value && value.optional === true;
    return { name: named(name), value: matcher, optional: optional || matcher === ABSENT };
  });
}

function matcherOf(value: Written): Matcher {
  if (typeof value !== 'object') return oneOf([String(value)]);
  if (Array.isArray(value)) return oneOf(value.map(String));
  if ('absent' in value) return ABSENT;
  if ('one_of' in value) return oneOf(value.one_of.map(String));
  // The schema knows the types; one that it did not know would fit nothing.
  return typed(value.type) ?? oneOf([]);
}

function rateOf(text: string | undefined): Rate | null {
  const [, count, unit] = RATE.exec(text ?? '') ?? [];
  return count === undefined ? null : { count: Number(count), seconds: SECONDS[unit ?? ''] ?? 1 };
}

/** One line for the record and for people: `GET /orders, query status=open|closed, body 64KiB, 20/s`. */
function textOf(
  route: string,
  { query, headers }: { readonly query: readonly Condition[]; readonly headers: readonly Condition[] },
  { body, rate }: { readonly body?: string | undefined; readonly rate?: string | undefined },
): string {
  const words = (kind: string, conditions: readonly Condition[]) =>
    conditions.map(({ name, value, optional }) => `${kind} ${name}${optional ? '?' : ''}=${value.words}`);
  const limits = [...(body === undefined ? [] : [`body ${body}`]), ...(rate === undefined ? [] : [rate])];
  return [route, ...words('query', query), ...words('header', headers), ...limits].join(', ');
}
