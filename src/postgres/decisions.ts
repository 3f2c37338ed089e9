import { allow, type Decision } from '../policy/decision.js';
import { advise } from './advice.js';
import type { Catalog } from './catalog/catalog.js';
import { lacks } from './catalog/lacks.js';
import type { Conversation } from './conversation.js';
import type { PostgresAction } from './decide.js';
import type { Analysis } from './sql/analysis.js';

/** A decision, and what it was made from besides the statement. */
interface Made {
  readonly role: unknown;
  readonly catalog: Catalog | null | undefined;
  readonly decision: Decision;
}

/** What was found allowed beside others, when all that waits was decided once more. */
interface Again extends Omit<Made, 'decision'> {
  readonly allowed: WeakSet<Analysis>;
}

const ALLOWED = allow('all of it was allowed');

/** What the statements of one session are decided, each by the policy and the catalog in force when it comes. */
export class Decisions {
  readonly #talk: Conversation;
  readonly #made = new WeakMap<Analysis, Made>();
  #again: Again = { role: null, catalog: null, allowed: new WeakSet() };

  constructor(talk: Conversation) {
    this.#talk = talk;
  }

  /** What the database holds: nothing that a role needs which may do anything. */
  get catalog(): Catalog | null | undefined {
    return this.#talk.role.any ? undefined : this.#talk.catalog.current();
  }

  /**
   * A statement that runs nothing by name is decided once for each version of the policy and of the catalog, however often
   * this session runs it: the decision depends on nothing but them and what the text does (THREATS.md B10).
   */
  of(action: PostgresAction): Decision {
    if (action.contained.length > 0) return this.make(action);
    const { role } = this.#talk.passage.session;
    const { analysis, catalog } = action;
    const known = this.#made.get(analysis);
    if (known !== undefined && known.role === role && known.catalog === catalog) return known.decision;
    const decision = this.make(action);
    this.#made.set(analysis, { role, catalog, decision });
    return decision;
  }

  /**
   * Decides what was allowed before, by the policy that has come. Hundreds of thousands that wait are mostly a few statements:
   * what all its parts were allowed for is not decided once more.
   */
  again(action: PostgresAction): Decision {
    const { analysis, contained, via, catalog } = action;
    const { role } = this.#talk.passage.session;
    if (via === 'parse') return this.make(action); // it may declare types
    if (contained.length === 0) return this.of(action);
    if (this.#again.role !== role || this.#again.catalog !== catalog)
      this.#again = { role, catalog, allowed: new WeakSet() };
    const { allowed } = this.#again;
    if (allowed.has(analysis) && contained.every((one) => allowed.has(one))) return ALLOWED;
    const decision = this.make(action);
    if (decision.outcome === 'allow') for (const one of [analysis, ...contained]) allowed.add(one);
    return decision;
  }

  /** Decides, whatever was decided before. A refusal says what would allow the action. */
  make(action: PostgresAction): Decision {
    const { passage, role, catalog: source } = this.#talk;
    const { analysis, catalog } = action;
    if (catalog && lacks(catalog, analysis, role.searchPath[0])) source.wanted();
    const decision = passage.judge(action);
    return decision.outcome === 'allow' ? decision : advise(decision, action, passage.session.policy);
  }
}
