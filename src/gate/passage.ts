import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { type Decision, deny } from '../policy/decision.js';
import { comeAgain } from '../recording/chain.js';
import { type Facts, joined, type Payload } from '../recording/event.js';
import type { Session } from '../session/session.js';
import type { Unsaid } from '../session/unsaid.js';
import type { ActionFacts, Protocol } from './protocol.js';

/** An action with its decision, as it stands in the record. */
export interface Proposal {
  readonly decision: Decision;
  /** The event's sequence number: a result names it. */
  readonly seq: number;
}

/** Who knows the role from others would look in vain for why a rule of it does not allow something. */
function asNarrowed(decision: Decision): Decision {
  if (decision.reason !== 'out_of_scope') return decision;
  const [stop] = /\.$/.exec(decision.message) ?? [''];
  const said = decision.message.slice(0, decision.message.length - stop.length);
  return { ...decision, message: `${said}; this grant was narrowed to fewer rules than its role has${stop}` };
}

const UNDESCRIBED = deny(
  'unknown_effect',
  'what cannot be recorded is refused',
  'the gateway could not describe this for the record',
);

/** The same facts that are decided the same way are put together, looked through and written once. */
class LastFacts {
  #facts: Facts = {};
  #decision: Decision | null = null;
  #unsaid: Unsaid | null = null;
  #safe: Facts = {};

  /** @param decision - null for a result */
  safe(facts: Facts, decision: Decision | null, unsaid: Unsaid): Facts {
    if (this.#facts === facts && this.#decision === decision && this.#unsaid === unsaid) {
      comeAgain(this.#safe);
      return this.#safe;
    }
    this.#facts = facts;
    this.#decision = decision;
    this.#unsaid = unsaid;
    this.#safe = unsaid.facts(decision === null ? facts : decided(facts, decision));
    return this.#safe;
  }
}

function decided(facts: Facts, { outcome, rule, reason }: Decision): Facts {
  return joined(facts, reason === null ? { outcome, rule } : { outcome, rule, reason });
}

/**
 * The way of one connection's actions through the gate, always in this order:
 * `propose` (decide, record) → `release` (wait until the record is safe) → the caller forwards → `result`.
 * A protocol supplies bytes and wording, and has no other way to an upstream than through here.
 */
export class Passage<Action> {
  readonly session: Session;
  readonly #protocol: Protocol<unknown, Action>;
  readonly #log: Log;
  readonly #actions = new LastFacts();
  readonly #results = new LastFacts();

  constructor(session: Session, protocol: Protocol<unknown, Action>, log: Log) {
    this.session = session;
    this.#protocol = protocol;
    this.#log = log;
  }

  /** Decides an action by the policy in force at this moment, without recording it. A throw is a denial. */
  judge(action: Action): Decision {
    try {
      const decision = this.#protocol.decide(this.session.role, action);
      return this.session.grant.only === null ? decision : asNarrowed(decision);
    } catch (thrown) {
      this.#log.error({ err: thrown, session: this.session.id }, 'a decision failed; denied');
      return deny('unknown_effect', 'no decision', 'the gateway could not decide this', messageOf(thrown));
    }
  }

  /**
   * Decides an action and records it with its decision. Nothing of it may be forwarded before `release` calls back.
   * An action that cannot be described is denied, whatever was judged: the decision answered is the one that counts.
   */
  propose(action: Action, judged: Decision = this.judge(action)): Proposal {
    const described = this.#describe(action);
    const decision = described === null && judged.outcome !== 'deny' ? UNDESCRIBED : judged;
    const { facts, payload } = described ?? { facts: { verb: 'unknown' } };
    const { outcome } = decision;
    const decided = this.#actions.safe(facts, decision, this.session.unsaid);
    const seq = this.session.recording.append('action', decided, this.session.unsaid.payload(payload ?? null));
    this.session.meter.decided(outcome, decision.reason);
    if (outcome !== 'allow') this.#logRefusal(decided);
    return { decision, seq };
  }

  /**
   * Calls `go` once everything proposed so far is recorded as the service's mode asks, if the session is still live then.
   * In order; at once when nothing needs to be waited for.
   */
  release(go: () => void): void {
    const { session } = this;
    session.recording.whenSafe(() => {
      if (session.isLive()) go();
    });
  }

  /** Records what came of an action; of one that a cut interrupted too, as long as the receipt is not written. */
  result(of: number, facts: Facts, payload: Payload | null = null): void {
    const { recording, unsaid } = this.session;
    if (recording.receipt !== null) return;
    // Facts that name their action already are kept as they are.
    const known = facts.of === of ? facts : joined(facts, { of });
    recording.append('result', this.#results.safe(known, null, unsaid), unsaid.payload(payload));
  }

  /** Null when the protocol finds no words for it: what the record could not say must not happen. */
  #describe(action: Action): ActionFacts | null {
    try {
      return this.#protocol.describe(action, this.session.role);
    } catch (thrown) {
      this.#log.error({ err: thrown, session: this.session.id }, 'an action could not be described; denied');
      return null;
    }
  }

  #logRefusal({ verb, on, reason, rule }: Facts): void {
    const { id, grant, policy } = this.session;
    this.#log.warn(
      {
        session: id,
        grant: grant.id,
        principal: grant.principal,
        service: policy.name,
        verb,
        on,
        reason,
        rule,
      },
      'refused',
    );
  }
}
