import type { DenialReason } from './reason.js';

/** How often something may be done: `count` times in `seconds`. */
export interface Rate {
  readonly count: number;
  readonly seconds: number;
}

/** How often a rule, as the policy file words it, may be used. */
export interface RuleRate {
  readonly rule: string;
  readonly rate: Rate;
}

/** What whoever carries an allowed action out must see to. */
export interface Obligations {
  /** The largest body, bytes: beyond it nothing more is passed on. */
  readonly maxBody?: number;
  /**
   * How often rules may be used under one grant: the one that decided; the one that would decide in the whole role, where a grant was
   * narrowed; those of what is asked for besides.
   */
  readonly rates?: readonly RuleRate[];
  /** The answer must be an event stream. */
  readonly eventStream?: boolean;
}

const NO_OBLIGATIONS: Obligations = Object.freeze({});

/**
 * The answer to "may this action pass?". A value, made by a pure function of the role and the action.
 * `hold` (a write that waits for an approval) has a place in the type; no rule yields it yet.
 */
export interface Decision {
  readonly outcome: 'allow' | 'deny' | 'hold';
  /** Null when allowed. */
  readonly reason: DenialReason | null;
  /** The rule that decided, as the policy file words it; a denial for want of a rule says so. */
  readonly rule: string;
  /** One sentence for the person who asked: what was refused. Empty when allowed. */
  readonly message: string;
  /** What they can do next; shown when it is not empty. */
  readonly hint: string;
  readonly obligations: Obligations;
  /** A denial that passes by itself: in how many seconds it is worth asking again. */
  readonly retryAfter?: number;
}

/** The action may pass because of `rule`. */
export function allow(rule: string, obligations = NO_OBLIGATIONS): Decision {
  return { outcome: 'allow', reason: null, rule, message: '', hint: '', obligations };
}

/** The action may not pass. `rule` names what decided (`no rule allows …` for want of one). */
export function deny(reason: DenialReason, rule: string, message: string, hint = ''): Decision {
  return { outcome: 'deny', reason, rule, message, hint, obligations: NO_OBLIGATIONS };
}
