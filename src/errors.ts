/**
 * A fault: something that should have worked did not. Denials are values (`Decision`), never errors.
 * `code` is stable and may be matched on; `message` may be shown to an operator; `cause` is logged and never sent to a client.
 */
export class DaypassError extends Error {
  readonly code: string;
  /** What the reader may do about it, one sentence. */
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DaypassError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Anything that was thrown as an error. */
export function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
