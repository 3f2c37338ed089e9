import type { DenialReason } from '../policy/reason.js';

/** A verified grant: the claims of its signed token, in the words of DESIGN.md. Times are milliseconds since the epoch. */
export interface Grant {
  /** 22 base62 characters. */
  readonly id: string;
  readonly service: string;
  readonly principal: string;
  readonly role: string;
  readonly sponsor: string;
  /** Why it was given, one sentence. */
  readonly reason: string;
  readonly lane: string;
  readonly owner: string;
  readonly issuedAt: number;
  readonly notBefore: number;
  /** The grant is over when `expiresAt <= now`. */
  readonly expiresAt: number;
  readonly renewals: number;
  /** The person's groups when the grant was given; none in grants that do not say. */
  readonly groups: readonly string[];
  /** The access request it comes from; null for one that an operator gave. */
  readonly request: string | null;
  /** The NDA which that request named. */
  readonly nda: string | null;
  /** Weekly hours during which it may be used (`window.ts`); null: at any hour. */
  readonly window: string | null;
  /** The texts of its role's rules that remain; null: all of them. */
  readonly only: readonly string[] | null;
  /** SHA-256 of the handle's secret: the `cnf` claim. */
  readonly confirmation: Uint8Array;
  /** The SCRAM verifier of the handle, for clients that prove it instead of sending it; null in grants without one. */
  readonly scram: string | null;
  /** The signed token itself, kept in the record so that a session can be decided again offline. */
  readonly token: string;
}

/** What asking the store and the ledger about a grant answers. A denial, an outage and nonsense are all `ok: false`. */
export type GrantCheck =
  | { readonly ok: true; readonly grant: Grant }
  | {
      readonly ok: false;
      readonly reason: DenialReason;
      readonly message: string;
      /** When the ledger says that it was revoked, where it says so. */
      readonly revokedAt?: number;
      /** What the ledger's signed token says of a grant that is revoked or over, so that a refusal can be recorded as its. */
      readonly grant?: Grant;
    };

/** What the gate needs of the grants: one question, answered by the store, the ledger and the signature together. */
export interface GrantSource {
  /**
   * Asks Redis and the ledger at once and verifies the token. Never throws and never hangs: an outage is
   * `store_unavailable` within 500 ms.
   */
  check(id: string): Promise<GrantCheck>;
}

/** What the watch over live grants calls back; it carries ids and no authority. */
export interface GrantWatcher {
  /** The ids of the grants that live sessions (or admissions under way) hold. */
  heldIds(): readonly string[];
  /** Something may have changed for this id: read it again. */
  recheck(id: string): void;
  /**
   * The ledger says that this grant is over, or suspended: nothing is asked again, which might not be answered.
   * @param revokedAt - milliseconds since the epoch, where it was revoked
   */
  over(id: string, reason: 'revoked' | 'suspended', revokedAt?: number): void;
  /** The ledger says that it is in force until then, milliseconds since the epoch: whoever holds it with another end reads it again. */
  stands(id: string, expiresAt: number): void;
  /** What is known counts until this instant of the monotonic clock, should the process be stopped from now on. */
  known(until: number): void;
  /** The store could not be asked for longer than `staleness`. */
  stale(): void;
  /** Called about once a second: deadlines are held against both clocks even when a timer sleeps. */
  tick(): void;
}
