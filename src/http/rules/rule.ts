import { allow, type Decision, type Obligations, type Rate } from '../../policy/decision.js';
import type { RequestAction } from '../action.js';
import { connectionList, isRespelled, valuesOf } from '../headers/headers.js';
import { isAsciiSet, isReadableAs } from '../record/content.js';
import { ABSENT, type Matcher } from './matcher.js';
import { folded, type Query, readCookieNames, readQuery } from './query.js';
import {
  coversPath,
  endedRoutes,
  fitsPath,
  meetsPath,
  misfitOf,
  type Route,
  segmentsOf,
  shapeOf,
  textOfRoute,
} from './routes.js';

/** A query parameter or a header that a rule names. */
export interface Condition {
  readonly name: string;
  readonly value: Matcher;
  /** It may be missing; when it is there it has to fit. */
  readonly optional: boolean;
}

/** One entry of a role's `allow:`. */
export interface Rule {
  readonly text: string;
  readonly route: Route;
  readonly query: readonly Condition[];
  readonly headers: readonly Condition[];
  /** The largest body of a request, bytes; null: any. */
  readonly maxBody: number | null;
  readonly rate: Rate | null;
  /** The service takes no parameters from bodies: then `query` holds whatever a body says. */
  readonly queryOnly: boolean;
  /** What this rule answers, always the same value. */
  readonly allowed: Decision;
}

/** A request as rules look at it: what several of them need is read once. */
export class Asked {
  readonly method: string;
  readonly segments: readonly string[];
  readonly action: RequestAction;
  readonly #query: string;
  #read: Query | null = null;
  #cookies: ReadonlySet<string> | null = null;
  #listed: ReadonlySet<string> | null = null;

  /** @param query - of the same target, with its `?` */
  constructor(action: RequestAction, path: string, query: string) {
    this.action = action;
    this.method = action.method;
    this.segments = segmentsOf(path);
    this.#query = query;
  }

  get query(): Query {
    this.#read ??= readQuery(this.#query);
    return this.#read;
  }

  /** What its cookies may be taken for. */
  get cookies(): ReadonlySet<string> {
    this.#cookies ??= readCookieNames(valuesOf(this.action.headers, 'cookie'));
    return this.#cookies;
  }

  /**
   * The values of a header that will reach the service: one that `Connection` takes away does not.
   * @returns null when it stands there in another spelling (`x_a`, `x.a` for `x-a`), which is the same to some services
   */
  header(name: string): readonly string[] | null {
    const { headers } = this.action;
    this.#listed ??= connectionList(headers);
    if (headers.some(([other]) => isRespelled(other, name))) return null;
    if (this.#listed.has(name)) return [];
    return valuesOf(headers, name);
  }

  get hasBody(): boolean {
    const { headers } = this.action;
    return (
      valuesOf(headers, 'transfer-encoding').length > 0 ||
      valuesOf(headers, 'content-length').some((value) => Number(value) !== 0)
    );
  }

  /** Whether what `Content-Type` says of characters, a body's or none, leaves ASCII as it is, and whatever else the query holds. */
  get isInPlainCharacters(): boolean {
    const types = valuesOf(this.action.headers, 'content-type');
    const isOne = /%[89a-f]/i.test(this.#query) ? isUtf8 : isAsciiSet;
    return types.every((type) => /^[\t -~]*$/.test(type) && isReadableAs(type, isOne));
  }

  /** Whether an event stream is asked for, by name. */
  get wantsEvents(): boolean {
    return (this.header('accept') ?? []).some((value) => /(?:^|,)\s*text\/event-stream\s*(?:;|,|$)/i.test(value));
  }
}

function isUtf8(charset: string): boolean {
  return /^utf-?8$/i.test(charset);
}

/**
 * Why a rule does not allow a request. `unmet`: it is for this method and path, and asks for something beside. `ambiguous`: it would,
 * were the query read in one of its ways.
 */
export interface Why {
  readonly kind: 'other' | 'unmet' | 'ambiguous' | 'too_large';
  readonly words: string;
  /** What can be done about it, where the target itself is as it should be. */
  readonly hint?: string;
}

/** Puts a rule together. */
export function ruleOf(text: string, parts: Omit<Rule, 'text' | 'allowed'>): Rule {
  const { route, maxBody, rate } = parts;
  const obligations: Obligations = {
    ...(maxBody === null ? {} : { maxBody }),
    ...(rate === null ? {} : { rates: [{ rule: text, rate }] }),
    ...(route.method === 'SSE' ? { eventStream: true } : {}),
  };
  return Object.freeze({ text, ...parts, allowed: Object.freeze(allow(text, obligations)) });
}

/** Two rules of one shape allow the same requests; limits make no difference to that. */
export function shapeOfRule({ route, query, headers }: Omit<Rule, 'text' | 'allowed'>): string {
  const words = (conditions: readonly Condition[]) =>
    conditions.map(({ name, value, optional }) => `${name}${optional ? '?' : ''}=${value.words}`).sort();
  return JSON.stringify([shapeOf(route), words(query), words(headers)]);
}

/**
 * The rule that allows already whatever a later one would narrow, which so never decides: the policy would be looser than it
 * reads. A rule without conditions and limits may stand behind another, since a grant can be narrowed to it.
 */
export function widerThan(rule: Rule, earlier: readonly Rule[]): Rule | undefined {
  const { query, headers, maxBody, rate } = rule;
  const narrows = query.length + headers.length > 0 || maxBody !== null || rate !== null;
  return narrows ? earlier.find((one) => covers(one, rule)) : undefined;
}

/** A shorter path that each request by this rule asks for besides (see `ended`), and no rule of a role is ever for. */
export function uncovered({ route }: Rule, rules: readonly Rule[]): string | undefined {
  const shorter = endedRoutes(route).find(
    (one) => !rules.some((rule) => isForMethod(rule.route, one) && meetsPath(rule.route, one)),
  );
  return shorter && textOfRoute(shorter);
}

function isForMethod({ method }: Route, other: Route): boolean {
  return method === other.method || (method === 'GET' && /^(?:HEAD|SSE)$/.test(other.method));
}

function covers(earlier: Rule, { route, query, headers, maxBody }: Rule): boolean {
  return (
    isForMethod(earlier.route, route) &&
    coversPath(earlier.route, route) &&
    isAmong(earlier.query, query) &&
    isAmong(earlier.headers, headers) &&
    (earlier.maxBody === null || earlier.maxBody >= (maxBody ?? Number.POSITIVE_INFINITY))
  );
}

/** Whether whoever meets all of these conditions has met those. */
function isAmong(those: readonly Condition[], these: readonly Condition[]): boolean {
  return those.every((that) => these.some((one) => one.name === that.name && isAs(one, that)));
}

/** Whether whatever meets the one meets the other. */
function isAs(one: Condition, other: Condition): boolean {
  if (one.value === ABSENT) return other.optional;
  return one.value.words === other.value.words && (other.optional || !one.optional);
}

/** @returns null when the rule allows the request */
export function consider(rule: Rule, asked: Asked): Why | null {
  const { route } = rule;
  if (!fitsMethod(route.method, asked)) return OTHER_METHOD;
  if (!fitsPath(route, asked.segments)) return OTHER_PATH;
  if (!fitsStream(route.method, asked)) return NO_STREAM;
  return unmetQuery(rule, asked) ?? unmetHeader(rule.headers, asked) ?? tooLarge(rule.maxBody, asked);
}

const OTHER_METHOD: Why = { kind: 'other', words: 'the method is another' };
const OTHER_PATH: Why = { kind: 'other', words: 'the path is another' };
const NO_STREAM = unmet('Accept does not name text/event-stream');

/** The same in words for people, who are told more of what most requests are not. */
export function explainRule(rule: Rule, asked: Asked): string | null {
  const { route } = rule;
  const why = consider(rule, asked);
  if (why === OTHER_METHOD) return `it is for ${route.method}`;
  return (why === OTHER_PATH ? misfitOf(route, asked.segments) : null) ?? why?.words ?? null;
}

/** Whether a rule is for this method and path, whatever else it asks for. */
export function fitsRoute({ route }: Rule, action: RequestAction): boolean {
  if (!action.target.ok) return false;
  const asked = new Asked(action, action.target.path, action.target.query);
  return fitsMethod(route.method, asked) && fitsPath(route, asked.segments) && fitsStream(route.method, asked);
}

/** As which method requests may come, too, that a route of this one is for. */
const IMPLIED: ReadonlyMap<string, string> = new Map([
  ['GET', 'HEAD'],
  ['SSE', 'GET'],
]);

function fitsMethod(method: string, asked: Asked): boolean {
  return method === asked.method || IMPLIED.get(method) === asked.method;
}

/** Whether it matters to a rule which cookies a request has: one may be taken for a parameter that it names. */
export function looksAtCookies({ query, queryOnly }: Rule): boolean {
  return query.length > 0 && !queryOnly;
}

function fitsStream(method: string, asked: Asked): boolean {
  return method !== 'SSE' || asked.wantsEvents;
}

function unmetQuery(rule: Rule, asked: Asked): Why | null {
  const { query: conditions, queryOnly } = rule;
  if (conditions.length === 0) return null;
  const { query } = asked;
  if (!query.ok) return { kind: 'ambiguous', words: query.why };
  if (asked.hasBody && !queryOnly) return IN_BODY;
  if (!asked.isInPlainCharacters) return IN_OTHER_CHARACTERS;
  for (const { name, value, optional } of conditions) {
    const plain = folded(name);
    if ((query.spellings.get(plain) ?? name) !== name)
      return { kind: 'ambiguous', words: `the query parameter ${name} is spelled otherwise` };
    if (looksAtCookies(rule) && asked.cookies.has(plain)) return inCookie(name);
    // One that the rule names besides is no other spelling: `q.op` beside `q` of Solr.
    const isOther = (other: string) => conditions.every((one) => one.name !== other);
    if (query.stems.some(([stem, other]) => stem === plain && isOther(other)))
      return { kind: 'ambiguous', words: `the query parameter ${name} may be meant by another`, hint: NAME_BOTH };
    const given = query.values.get(name);
    if (given === undefined ? !optional : !value.fits(given))
      return unmet(`the query parameter ${name} ${faultOf(value, given)}`);
  }
  return null;
}

const NAME_BOTH =
  'send none with its name and ".", ":", "!" or "_" beside it, or ask the owner of the service to name that one in the rule, too';

const ASK_OWNER = 'ask the owner of the service whether it reads its query alone (upstream.query_only)';

/** PHP, Go, Rails, Sinatra, Tornado and others take a field of a form, or a member of JSON, before the query's parameter. */
const IN_BODY: Why = {
  kind: 'ambiguous',
  words: 'the rule names parameters of the query, and the body may say others',
  hint: `send no body, or ${ASK_OWNER}`,
};

function inCookie(name: string): Why {
  const words = `the cookie ${name} may be taken for the query parameter`;
  return { kind: 'ambiguous', words, hint: `send no such cookie, or ${ASK_OWNER}` };
}

/** Django and ASP.NET read a query in the character set of `Content-Type`, and so does Tomcat where it is told to: in UTF-7 `+AHM-` is `s`. */
const IN_OTHER_CHARACTERS: Why = {
  kind: 'ambiguous',
  words: 'the rule names parameters of the query, and Content-Type a character set in which they may be others',
  hint: 'send charset=utf-8, or none',
};

function unmetHeader(conditions: readonly Condition[], asked: Asked): Why | null {
  for (const { name, value, optional } of conditions) {
    const given = asked.header(name);
    if (given === null || given.length > 1) return { kind: 'ambiguous', words: `the header ${name} stands twice` };
    const [only] = given;
    if (only === undefined ? !optional : !value.fits(only)) return unmet(`the header ${name} ${faultOf(value, only)}`);
  }
  return null;
}

function faultOf(value: Matcher, given: string | undefined): string {
  if (given === undefined) return 'is missing';
  return value === ABSENT ? 'is there' : `is not ${value.words}`;
}

function tooLarge(most: number | null, asked: Asked): Why | null {
  if (most === null) return null;
  const declared = Number(valuesOf(asked.action.headers, 'content-length')[0] ?? 0);
  return declared > most ? { kind: 'too_large', words: `the body has more than ${most} bytes` } : null;
}

function unmet(words: string): Why {
  return { kind: 'unmet', words };
}
