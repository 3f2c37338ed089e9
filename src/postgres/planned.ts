import type { Passage } from '../gate/passage.js';
import { allow } from '../policy/decision.js';
import type { PostgresAction } from './decide.js';
import type { Portal, Prepared } from './names.js';
import { FramingError } from './wire/framing.js';

/** What was allowed when it was parsed, and is decided again should it be run. */
export const PLANNED = allow('allowed to be planned; decided again when it is run');

/**
 * What was parsed or bound since the last release and not run in it. The server plans it all the same, which evaluates
 * constants and may answer with what it found: it is recorded too, before it leaves (THREATS.md D24).
 */
export class Planned {
  #actions: PostgresAction[] = [];
  #length = 0;

  /** How long their record is going to be, roughly: texts and parameters, UTF-16 code units. */
  get length(): number {
    return this.#length;
  }

  get actions(): readonly PostgresAction[] {
    return this.#actions;
  }

  /** @param action - a Parse or a Bind that was allowed */
  add(action: PostgresAction): void {
    this.#actions.push(action);
    this.#length += lengthOf(action);
  }

  /**
   * Another event is about to stand for the statement in the record.
   * @param parameters - with these bound, it stands for the Bind as well; null: for no Bind
   */
  supersededBy({ analysis, text }: Prepared, parameters: Portal['parameters'] | null): void {
    const isOther = (one: PostgresAction) =>
      one.analysis !== analysis || one.text !== text || (one.via === 'bind' && one.parameters !== parameters);
    // Nearly always there is just the one: no other list is made for it.
    if (this.#actions.length === 1 && !isOther(this.#actions[0]!)) this.#replace([]);
    else if (this.#actions.length > 0) this.#replace(this.#actions.filter(isOther));
  }

  /**
   * Records what is left of it.
   * @throws FramingError when it cannot be: it is among the frames that are about to leave, and nothing of them does
   */
  record(passage: Passage<PostgresAction>): void {
    const actions = this.#actions;
    if (actions.length === 0) return;
    this.#replace([]);
    for (const action of actions) {
      const { decision } = passage.propose(action, PLANNED);
      if (decision.outcome !== 'allow') throw new FramingError('what is to be prepared cannot be recorded');
    }
  }

  #replace(actions: PostgresAction[]): void {
    this.#actions = actions;
    this.#length = actions.reduce((all, one) => all + lengthOf(one), 0);
  }
}

function lengthOf({ text, parameters = [] }: PostgresAction): number {
  return parameters.reduce((all, one) => all + (one?.length ?? 0), text.length);
}
