import { type Decision, deny } from '../policy/decision.js';
import { DENIALS } from '../policy/reason.js';
import type { Conversation } from './conversation.js';
import type { Refusal } from './expectations.js';
import { type Definition, mayHold, type Names, type Portal, type Prepared } from './names.js';
import type { Analysis, Statement } from './sql/analysis.js';

/** What statements run, give and take away by name: PREPARE and EXECUTE, cursors, and the names of the protocol itself. */
export class ByName {
  readonly #talk: Conversation;

  constructor(talk: Conversation) {
    this.#talk = talk;
  }

  get #mayDoAnything(): boolean {
    return this.#talk.role.any;
  }

  /** What else may run with a statement: the others its name may stand for, and what all of them run by name, however far. */
  contained(statement: Prepared, candidates: readonly Prepared[]): readonly Analysis[] {
    if (this.#runs(statement).length === 0 && candidates.every((one) => one === statement)) return NOTHING;
    const all = new Set([statement, ...candidates]);
    // What is added on the way is gone through as well.
    for (const one of all)
      for (const { kind, name } of this.#runs(one)) for (const named of this.#named(kind, name)) all.add(named);
    all.delete(statement);
    return [...all].map(({ analysis }) => analysis);
  }

  #named(kind: 'statement' | 'cursor', name: string): readonly Prepared[] {
    if (kind === 'statement') return this.meanings(this.#talk.statements, name);
    return this.meanings(this.#talk.portals, name).flatMap((portal) => portal.statements);
  }

  /** What a name may stand for. How many may be judged is no bound for a role that is judged by none of them. */
  meanings<T>(names: Names<T>, name: string): readonly T[] {
    return this.#mayDoAnything ? names.newest(name) : names.candidates(name);
  }

  #runs(statement: Prepared): readonly NonNullable<Statement['runs']>[] {
    if (!statement.analysis.ok) return NOTHING;
    const { statements } = statement.analysis;
    if (!statements.some((one) => one.runs || one.body?.runs)) return NOTHING;
    return statements.flatMap((one) => [one.runs, one.body?.runs]).filter((one) => one !== null && one !== undefined);
  }

  /**
   * The first name the statement runs that the server cannot know, or that stands for a statement about names itself (one
   * that the protocol prepared: PREPARE takes none): what that does to names would not be followed. A role that may do
   * anything is left to the server.
   */
  missing(statement: Prepared, candidates: readonly Prepared[] = NOTHING): Refusal | null {
    if (this.#mayDoAnything) return null;
    // The ordinary statement runs nothing by name: nothing is made for it.
    if (this.#runs(statement).length === 0 && candidates.every((one) => one === statement)) return null;
    for (const one of new Set([statement, ...candidates]))
      for (const { kind, name } of this.#runs(one)) {
        const named = this.#named(kind, name);
        if (named.length === 0 && one === statement) return missing(kind, name);
        if (named.some(isAboutNames)) return asRefusal(INDIRECT);
      }
    return null;
  }

  /**
   * PREPARE and DECLARE give names of their own: proposed until the server has completed them.
   * @param statements - what is about to run, as far as that is known
   * @returns null when there is no room for them; a role that may do anything is refused only for want of memory, otherwise the name is not tracked
   */
  define(statements: readonly Prepared[]): readonly Definition[] | null {
    if (!statements.some(definesNames)) return NOTHING;
    const defined: Definition[] = [];
    for (const { text, analysis } of statements) {
      for (const { defines, body } of analysis.ok ? analysis.statements : NOTHING) {
        if (defines === null || body === null) continue;
        const { kind, name } = defines;
        const names = kind === 'statement' ? this.#talk.statements : this.#talk.portals;
        const tracked = names.mayDefine(name);
        if (!tracked && this.#mayDoAnything) continue;
        const one = tracked ? this.#propose(kind, name, text, body) : null;
        if (one !== null) defined.push(one);
        else {
          withdraw(defined);
          return null;
        }
      }
    }
    return defined;
  }

  /** @returns null when there is no memory for it */
  #propose(kind: 'statement' | 'cursor', name: string, text: string, body: Statement): Definition | null {
    const { statements, portals, taken } = this.#talk;
    const meaning: Prepared = { text, analysis: { ok: true, statements: [body] } };
    if (kind === 'statement') {
      if (!statements.define(name, meaning)) return null;
      const confirm = () => statements.confirm(name, meaning);
      return { body, confirm, withdraw: () => statements.withdraw(name, meaning) };
    }
    const portal: Portal = { statements: [meaning], parameters: [] };
    if (!portals.define(name, portal)) return null;
    const confirm = () => {
      portals.confirm(name, portal);
      taken.begins(name, mayHold(portal));
    };
    return { body, confirm, withdraw: () => portals.withdraw(name, portal) };
  }
}

/** Whether a statement runs, gives or takes away names. */
function isAboutNames({ analysis }: Prepared): boolean {
  return (
    analysis.ok && analysis.statements.some((one) => [one, one.body].some((it) => it?.runs || it?.defines || it?.drops))
  );
}

const NOTHING: readonly never[] = [];

const INDIRECT = deny(
  'unknown_effect',
  'a name stands for what is run, not for another name',
  'what this name stands for runs, prepares or forgets other names',
  'run it directly',
);

function definesNames({ analysis }: Prepared): boolean {
  return analysis.ok && analysis.statements.some(({ defines }) => defines !== null);
}

/** Forgets names that were proposed: what would have given them did not run. */
export function withdraw(defined: readonly Definition[] | null): void {
  for (const one of defined ?? NOTHING) one.withdraw();
}

export const TOO_MANY_NAMES = deny(
  'too_large',
  'names of one session',
  'there is no room for more prepared statements and cursors',
  'close some of them, in your other sessions too',
);

/** A denial in PostgreSQL's own codes. */
export function asRefusal(decision: Decision): Refusal {
  return { sqlstate: decision.reason === null ? '42501' : DENIALS[decision.reason].sqlstate, decision };
}

export const NAMES_RULE = 'names of this session';

/** The same codes the server uses: 26000 invalid_sql_statement_name, 34000 invalid_cursor_name. */
export function missing(kind: 'statement' | 'cursor', name: string): Refusal {
  const what = kind === 'statement' ? 'prepared statement' : 'cursor';
  const decision = deny('unknown_effect', NAMES_RULE, `${what} ${JSON.stringify(name)} does not exist`);
  return { sqlstate: kind === 'statement' ? '26000' : '34000', decision };
}
