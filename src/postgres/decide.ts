import { createHash } from 'node:crypto';
import type { ActionFacts } from '../gate/protocol.js';
import { allow, type Decision, deny } from '../policy/decision.js';
import type { Facts } from '../recording/event.js';
import { type Catalog, resolveIn } from './catalog/catalog.js';
import { Judge } from './judge.js';
import type { PostgresRecording, PostgresRole } from './role.js';
import { MAX_TEXT } from './sql/analyse.js';
import { type Analysis, nameOf, type Relation, resolve, type Statement } from './sql/analysis.js';
import { namesRun, partsOf } from './sql/names.js';
import { redactSql } from './sql/redact.js';

/** What a client is about to have done. */
export interface PostgresAction {
  readonly text: string;
  /** Where the text is only the beginning: the length of the message it came in, bytes, and the SHA-256 of that. */
  readonly whole?: { readonly length: number; readonly sha256: string };
  /** What the text does: `analyse(text)`. */
  readonly analysis: Analysis;
  /** Everything that the names it runs (EXECUTE, FETCH, a portal) may stand for. None for a name that runs: refused. */
  readonly contained: readonly Analysis[];
  /** How it comes: run as a Query, prepared, planned with its parameters, or run as prepared. */
  readonly via: 'query' | 'parse' | 'bind' | 'execute';
  /** Of a Bind, as text where they are text; null is SQL's null. */
  readonly parameters?: readonly (string | null)[];
  /** Of a Parse: the types of other making that it declares for parameters. */
  readonly madeTypes?: readonly number[];
  /**
   * What the database holds. Null when it cannot be read: a restricted role is refused. Absent where there is no
   * database to ask (`daypass policy test`): judged by the grammar alone.
   */
  readonly catalog?: Catalog | null | undefined;
}

/**
 * May this role do this? Pure. Every statement of the text and everything it runs by name is judged; the first refusal
 * counts, since a text with one refused statement is refused whole (PROTOCOLS.md, "Stream", 13).
 */
export function decide(role: PostgresRole, action: PostgresAction): Decision {
  if (role.any) return allow(`${role.name}: any`);
  if (role.rules.length === 0) return NOTHING_LEFT;
  const judge = new Judge(role, action.catalog);
  const declared = judge.declared(action.madeTypes ?? []);
  if (declared) return declared;
  for (const analysis of [action.analysis, ...action.contained]) {
    const refusal = judgeAnalysis(judge, analysis);
    if (refusal) return refusal;
  }
  const [run] = namesRun(action.analysis);
  if (run && action.contained.length === 0) {
    const what = run.kind === 'cursor' ? 'the cursor' : 'the prepared statement';
    return deny('unknown_effect', 'names of this session', `nobody knows what ${what} ${run.name} contains`);
  }
  return allow(`${role.name}: ${judge.used.size > 0 ? [...judge.used].join('; ') : 'allowed to every role'}`);
}

/** Also what every role may do: of a role without a rule only a narrowed grant is left. */
const NOTHING_LEFT = deny(
  'out_of_scope',
  'no rule is left',
  'nothing is left of the role that this grant was narrowed to',
  'ask the owner of the service for a new grant',
);

function judgeAnalysis(judge: Judge, analysis: Analysis): Decision | null {
  if (!analysis.ok) return deny(analysis.reason, UNJUDGED_RULE[analysis.reason], analysis.message, UNJUDGED_HINT);
  for (const statement of analysis.statements) {
    const refusal = judge.statement(statement);
    if (refusal) return refusal;
  }
  return null;
}

const UNJUDGED_RULE = {
  unparsable: 'what cannot be parsed is refused',
  too_large: 'what is too large is refused',
  unknown_effect: 'what cannot be judged is refused',
} as const;
const UNJUDGED_HINT = 'check the statement, or split it into smaller ones';

/** What the record keeps of a text that is too long to be judged and so never runs, in UTF-16 code units. */
const HEAD = 8_192;

/**
 * What the record says of an action. Passwords and connection strings in the text are cut out. What may run is recorded
 * whole; a text that is refused for its length by its beginning, its length and its SHA-256 (of the UTF-8).
 * @param searchPath - the schema of unqualified names; without it they are recorded as written
 * @param kept - what becomes of the parameters
 * @param runsUnjudged - for a role that may do anything a text of any length runs
 */
export function describeSql(
  action: PostgresAction,
  searchPath?: string,
  kept: PostgresRecording['parameters'] = 'recorded',
  runsUnjudged = false,
): ActionFacts {
  const { contained, text } = action;
  const parameters = kept === 'recorded' ? action.parameters : keptParameters(action.parameters ?? [], kept);
  const known = descriptionOf(action.analysis);
  const facts = contained.length > 0 ? factsOf(action, searchPath) : known.facts(action, searchPath);
  if (action.whole) return { facts, payload: { text: redactSql(text, true), ...action.whole } };
  const hasParameters = parameters !== undefined && parameters.length > 0;
  if (!runsUnjudged && text.length > MAX_TEXT) {
    const head = headOf(text);
    return { facts, payload: hasParameters ? { ...head, parameters } : head };
  }
  const shown = known.shown(text);
  return { facts, payload: hasParameters ? { text: shown, parameters } : { text: shown } };
}

function headOf(text: string): { text: string; length: number; sha256: string } {
  const sha256 = createHash('sha256').update(text).digest('hex');
  return { text: redactSql(text.slice(0, HEAD), true), length: text.length, sha256 };
}

function keptParameters(values: readonly (string | null)[], kept: 'hashed' | 'off'): readonly (string | null)[] {
  if (kept === 'off') return [];
  return values.map((value) => value && `sha256:${createHash('sha256').update(value).digest('hex')}`);
}

/** What is said of a text does not change, and most texts come often. */
const descriptions = new WeakMap<Analysis, Description>();

function descriptionOf(analysis: Analysis): Description {
  const known = descriptions.get(analysis);
  if (known !== undefined) return known;
  const description = new Description();
  descriptions.set(analysis, description);
  return description;
}

/** Facts, and what they depend on besides the text. */
interface KnownFacts {
  readonly via: PostgresAction['via'];
  readonly searchPath: string | undefined;
  readonly version: string | undefined;
  readonly facts: Facts;
}

/** What the record says of the texts of one analysis. */
class Description {
  /** A handful: by the search paths of the roles that ran the text. */
  readonly #known: KnownFacts[] = [];
  /** Texts that differ in numbers alone share an analysis: of which of them `#shown` is. */
  #text = '';
  #shown = '';

  facts(action: PostgresAction, searchPath: string | undefined): Facts {
    const { via } = action;
    const version = action.catalog?.version;
    for (const one of this.#known)
      if (one.via === via && one.searchPath === searchPath && one.version === version) return one.facts;
    const facts = factsOf(action, searchPath);
    if (this.#known.length < MOST_DESCRIPTIONS) this.#known.push({ via, searchPath, version, facts });
    return facts;
  }

  /** The text without its secrets. */
  shown(text: string): string {
    if (text === this.#text) return this.#shown;
    if (text.length > MAX_TEXT) return redactSql(text);
    this.#shown = redactSql(text);
    this.#text = text;
    return this.#shown;
  }
}

const MOST_DESCRIPTIONS = 64;

function factsOf(action: PostgresAction, searchPath: string | undefined): Facts {
  const parts = [action.analysis, ...action.contained].flatMap((analysis) =>
    analysis.ok ? analysis.statements.flatMap(partsOf) : [],
  );
  const verbs = new Set(parts.flatMap((part) => [part.verb, ...part.writes.map((write) => write.verb)]));
  const { catalog } = action;
  const known = (relation: Relation) =>
    catalog ? resolveIn(catalog, relation, searchPath) : resolve(relation, searchPath);
  const on = new Set(parts.flatMap(relationsOf).map((relation) => nameOf(known(relation))));
  const functions = new Set(parts.flatMap((part) => part.functions.map(nameOf)));
  return {
    verb: verbs.size > 0 ? [...verbs].join(',') : action.analysis.ok ? 'empty' : 'unknown',
    on: [...on],
    via: action.via,
    ...(functions.size > 0 ? { functions: [...functions] } : {}),
  };
}

function relationsOf(statement: Statement): readonly Relation[] {
  return [...statement.writes.map((write) => write.relation), ...statement.reads];
}
