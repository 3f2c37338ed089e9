/** The door by which an act came; `system`: the gateway itself. */
export type Via = 'socket' | 'browser' | 'token' | 'system';

/** `refused`: it was not permitted; `failed`: it was, and could not be done. */
export type AuditResult = 'done' | 'refused' | 'failed';

/** An act, to be written down. */
export interface AuditEntry {
  /** When it was done, milliseconds since the epoch; the ledger's clock says when not given. */
  readonly at?: number;
  /** A person's subject, or the name an operator gave. */
  readonly actor: string;
  readonly via: Via;
  /** `<noun>.<verb>`, as `grant.issue`. */
  readonly act: string;
  /** `<noun>:<id>`, as `grant:4f…`. */
  readonly target: string;
  readonly reason: string | null;
  readonly result: AuditResult;
  /** What else is worth knowing. Never a secret. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** A line of the log as it is kept. */
export interface AuditLine {
  readonly seq: number;
  /** The JSON text that was written down; the chain runs over its bytes. */
  readonly entry: string;
  readonly hashBefore: Buffer;
  readonly hashAfter: Buffer;
}

/** What `entry` says. */
export interface AuditFacts {
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly actor: string;
  readonly via: string;
  readonly act: string;
  readonly target: string;
  readonly reason: string | null;
  readonly result: string;
  readonly detail: Readonly<Record<string, unknown>> | null;
}
