import type { ProtocolConfig } from '../config/protocol.js';
import type { Decision } from '../policy/decision.js';
import type { Facts, Payload, RecordedEvent } from '../recording/event.js';
import type { SessionView } from '../recording/read.js';

/** What the record says of an action before it is forwarded. */
export interface ActionFacts {
  /** Short facts: they enter the event's header, the chain and the index. */
  readonly facts: Facts;
  /** The rest (statement text, parameters, headers): stored, hashed, redacted before. */
  readonly payload?: Payload;
}

/** A rule that was looked at. */
export interface Considered {
  readonly rule: string;
  readonly why: string | null;
}

/** What was about to be done, as far as its record tells. */
export type Recalled<Role, Action> =
  | {
      readonly ok: true;
      readonly action: Action;
      /** Whether a decision by this role would look at something that redaction took. */
      needsHidden(role: Role): boolean;
    }
  | { readonly ok: false; readonly why: string };

/** Reads the actions of one session's record, in order: some can only be understood by what came before. Pure. */
export interface Recaller<Role, Action> {
  /** @param event - of the kind `action` */
  recall(event: RecordedEvent): Recalled<Role, Action>;
}

/** A recording in a form that other tools read. What is in it is as redacted as the record. */
export interface Transcript {
  /** What `daypass replay --format` calls it. */
  readonly format: string;
  /** Its media type. */
  readonly type: string;
  /** Piece by piece, so that a long recording does not need its size in memory. */
  write(session: SessionView, events: AsyncIterable<RecordedEvent>): AsyncGenerator<string>;
}

/**
 * What a protocol contributes to the gate. It knows its own words and bytes; the order of steps
 * (credential → admit → session + lease → decide → record → forward → result) is the gate's alone.
 * @typeParam Role - the compiled role of a service file
 * @typeParam Action - what is about to be done, as the protocol sees it
 */
export interface Protocol<Role = unknown, Action = unknown, Upstream = unknown> extends ProtocolConfig<Upstream, Role> {
  /** Pure: no I/O, no clock, no memory of earlier calls. A throw is a denial (`unknown_effect`). */
  decide(role: Role, action: Action): Decision;
  /** Pure: each rule of the role in order, with why it does not allow the action; null where it does. For `policy test`. */
  explain?(role: Role, action: Action): readonly Considered[];
  /**
   * Pure: what the record says of the action, as the role sees it. Secrets that only the protocol recognises are redacted
   * here, before anything is hashed.
   */
  describe(action: Action, role: Role): ActionFacts;
  /** Turns words given to `daypass policy test` into an action; throws `DaypassError('usage')` with what is expected. */
  actionFromWords(words: readonly string[]): Action;
  /** Forms of a recording besides the common ones. */
  readonly transcripts?: readonly Transcript[];
  /** Reads recorded actions so that another policy can decide them again (`daypass policy replay`). */
  recaller?(): Recaller<Role, Action>;
  /** One event in words for a person; the caller neutralises control characters. */
  render(event: RecordedEvent): string;
}
