import { type Decision, deny } from '../policy/decision.js';
import type { DenialReason } from '../policy/reason.js';
import type { RecordedEvent } from '../recording/event.js';
import { decideSafely } from './decide-safely.js';
import type { Protocol, Recaller } from './protocol.js';

/** What another policy would have made of a recorded action. */
export type Verdict =
  | { readonly kind: 'same' }
  | { readonly kind: 'refused' | 'allowed'; readonly decision: Decision }
  /** The record does not hold all that the decision would look at. */
  | { readonly kind: 'undeterminable'; readonly why: string };

/** Refusals that are no policy's: for the grant, how often, and what was not there at that moment. */
const NOT_THE_POLICY: ReadonlySet<string> = new Set<DenialReason>([
  ...(['not_yet', 'expired', 'revoked', 'suspended', 'outside_hours', 'wrong_service', 'wrong_principal'] as const),
  ...(['too_many', 'store_unavailable', 'recorder_unavailable', 'upstream_unavailable'] as const),
]);

const GONE = deny('out_of_scope', 'the role is gone', 'the draft has no such role');

/** The roles by which a session was judged and would be judged. */
export interface Roles {
  /** By the policy's version; undefined: it had no such role, null: its text is not known any more. */
  recorded(version: string): unknown;
  /** Undefined: the draft has no such role. */
  readonly draft: unknown;
}

/**
 * Decides the actions of one session's record again, in order. A verdict counts only where deciding by the policy that was in
 * force gives what was recorded: else the decision depended on something that is not in the record, and nobody can tell.
 */
export class Redecider {
  readonly #protocol: Protocol;
  readonly #recaller: Recaller<unknown, unknown> | undefined;
  readonly #roles: Roles;
  #version = '';

  constructor(protocol: Protocol, roles: Roles) {
    this.#protocol = protocol;
    this.#recaller = protocol.recaller?.();
    this.#roles = roles;
  }

  /** @returns null for an event that is no action */
  next(event: RecordedEvent): Verdict | null {
    if (event.kind === 'open' || event.kind === 'policy') this.#version = String(event.facts.policy ?? '');
    return event.kind === 'action' ? this.#verdict(event) : null;
  }

  #verdict(event: RecordedEvent): Verdict {
    const { outcome, reason } = event.facts;
    const recalled = this.#recaller?.recall(event) ?? { ok: false, why: 'this protocol cannot decide again' };
    if (outcome === 'deny' && NOT_THE_POLICY.has(String(reason))) return { kind: 'same' };
    const { draft } = this.#roles;
    const before = this.#roles.recorded(this.#version);
    if (before === null) return { kind: 'undeterminable', why: 'the policy of that time is not known any more' };
    if (before === undefined && draft === undefined) return { kind: 'same' };
    if (before === undefined) return { kind: 'undeterminable', why: 'the policy of that time had no such role' };
    if (!recalled.ok) return { kind: 'undeterminable', why: recalled.why };
    if (recalled.needsHidden(before) || (draft !== undefined && recalled.needsHidden(draft)))
      return { kind: 'undeterminable', why: 'redaction took what a rule looks at' };
    if (decideSafely(this.#protocol, before, recalled.action).outcome !== outcome)
      return { kind: 'undeterminable', why: 'the decision depended on more than the record holds' };
    const decision = draft === undefined ? GONE : decideSafely(this.#protocol, draft, recalled.action);
    if (decision.outcome === outcome) return { kind: 'same' };
    return { kind: decision.outcome === 'allow' ? 'allowed' : 'refused', decision };
  }
}
