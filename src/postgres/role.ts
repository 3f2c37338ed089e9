import { nameOf, type Relation, type RuleKind } from './sql/analysis.js';

/** Where a role's sessions go and as whom; the password is never shown to the client. */
export interface PostgresTarget {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly tls: {
    readonly mode: 'disable' | 'require' | 'verify-full';
    /** PEM; without it the system's own authorities count. */
    readonly ca?: string | undefined;
  };
}

/** One line of `allow:`, compiled. */
export interface PostgresRule {
  /** As the policy file words it: what a decision names. */
  readonly text: string;
  readonly kinds: ReadonlySet<RuleKind>;
  /** `schema.name`, or `schema.*`. */
  readonly relations: ReadonlySet<string>;
  /** `schema.name` of functions, of the functions behind operators and casts, and of types. */
  readonly functions: ReadonlySet<string>;
  /** The only columns that may be read of its relations; null: all of them. */
  readonly columns: ReadonlySet<string> | null;
  /** It says `any`: it allows everything. */
  readonly any: boolean;
}

/** What the record keeps of statements besides their text. */
export interface PostgresRecording {
  /** `hashed`: SHA-256 of each value, which finds equal values and shows none. */
  readonly parameters: 'recorded' | 'hashed' | 'off';
  /** The first rows of each result. */
  readonly results: number;
}

/** What a rule may allow that changes something. */
export const WRITES: ReadonlySet<RuleKind> = new Set(['insert', 'update', 'delete', 'merge', 'copy-in', 'ddl']);

/** What a role is made of: everything that its rules do not decide by themselves. */
export type RoleParts = Omit<PostgresRole, 'any' | 'readOnly' | 'relations'>;

/** A role of a database service, compiled. */
export class PostgresRole {
  readonly name: string;
  readonly rules: readonly PostgresRule[];
  /** Exactly one schema, unless `any`. */
  readonly searchPath: readonly string[];
  readonly upstream: PostgresTarget;
  /** What the result of one statement may have at most; null: no limit. */
  readonly maxRows: number | null;
  readonly maxBytes: number | null;
  /** How long one statement may run at most, milliseconds; null: no limit. */
  readonly statementTimeout: number | null;
  readonly recording: PostgresRecording;
  /** A rule says `any`: nothing is judged, everything is recorded. */
  readonly any: boolean;
  /** No rule allows a write. */
  readonly readOnly: boolean;
  /** Every relation that a rule names (`schema.*` is not among them), for the check against the upstream at start. */
  readonly relations: readonly Relation[];

  constructor(parts: RoleParts) {
    const { rules } = parts;
    this.name = parts.name;
    this.rules = rules;
    this.searchPath = parts.searchPath;
    this.upstream = parts.upstream;
    this.maxRows = parts.maxRows;
    this.maxBytes = parts.maxBytes;
    this.statementTimeout = parts.statementTimeout;
    this.recording = parts.recording;
    this.any = rules.some((rule) => rule.any);
    this.readOnly = !this.any && !rules.some((rule) => [...rule.kinds].some((kind) => WRITES.has(kind)));
    this.relations = relationsOf(rules);
    Object.freeze(this);
  }
}

/**
 * A role that the gate holds, which knows no protocol's roles, as what it is here.
 * @throws TypeError for anything else: nothing may be judged by it
 */
export function postgresRole(role: unknown): PostgresRole {
  if (role instanceof PostgresRole) return role;
  throw new TypeError('this is no role of a database service');
}

function relationsOf(rules: readonly PostgresRule[]): readonly Relation[] {
  const found = new Map<string, Relation>();
  for (const text of rules.flatMap((rule) => [...rule.relations])) {
    const [schema = '', name = ''] = text.split('.');
    if (name !== '*') found.set(text, { schema, name });
  }
  return [...found.values()].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}
