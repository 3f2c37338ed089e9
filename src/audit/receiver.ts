import type { AuditLine } from './entry.js';

/** Someone outside who is told of every line. */
export interface Receiver {
  /** Names its cursor, of which all gateways together have one. */
  readonly name: string;
  /**
   * Hands lines over, in order. Resolves when they have arrived, as far as the way there lets one know.
   * @param signal - ends it at once
   * @throws whatever keeps them from arriving: they are sent again
   */
  send(lines: readonly AuditLine[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** How long a receiver may take for what is sent at once, milliseconds. */
export const RECEIVER_WITHIN = 10_000;
