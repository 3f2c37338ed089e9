import type { Decision } from '../policy/decision.js';
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

/** What the statements of one session are decided, each by the policy and the catalog in force when it comes. */
export class Decisions {
  readonly #talk: Conversation;
  readonly #made = new WeakMap<Analysis, Made>();

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

  /** Decides, whatever was decided before. A refusal says what would allow the action. */
  make(action: PostgresAction): Decision {
    const { passage, role, catalog: source } = this.#talk;
    const { analysis, catalog } = action;
    if (catalog && lacks(catalog, analysis, role.searchPath[0])) source.wanted();
    const decision = passage.judge(action);
    return decision.outcome === 'allow' ? decision : advise(decision, action, passage.session.policy);
  }
}
