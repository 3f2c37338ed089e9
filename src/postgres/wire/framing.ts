/**
 * What both directions of PostgreSQL's protocol 3 are framed by (Frontend/Backend Protocol, section "Message Formats"): one type
 * byte, a 32-bit length that counts itself, the body. A length is never trusted: it is held against a cap for its type, and
 * nothing is allocated from it.
 */

/** A peer that does not keep to the framing. `tooLarge` tells a legal message over a cap from nonsense. */
export class FramingError extends Error {
  readonly tooLarge: boolean;

  constructor(message: string, tooLarge = false) {
    super(message);
    this.name = 'FramingError';
    this.tooLarge = tooLarge;
  }
}

/** There is no memory for a legal message: others have large ones under way, or more than there is is kept for this client. */
export class NoRoom extends FramingError {
  constructor() {
    super('this session needs more memory than there is for it now: connect again later', true);
  }
}

/** Bytes of a type and a length. */
export const HEADER = 5;
/** PostgreSQL itself never allocates more than this for a message (MaxAllocSize). */
export const LARGEST = 0x3fffffff;
/** What a message may be unless more is said for its type, bytes. */
export const SMALL = 64 * 1024;
export const MiB = 1024 * 1024;
/** In place of a cap: no message of this type may come. */
export const UNKNOWN = -1;
