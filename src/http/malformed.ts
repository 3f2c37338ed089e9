/** Bytes that are no message of HTTP/1.1: where it ends is not known, and nothing after it is believed. */
export class MalformedMessage extends Error {
  /** What a client is answered who sent them: 400, or 413 and 431 for what is too large. */
  readonly status: number;

  /** @param why - in our own words, never the peer's bytes */
  constructor(why: string, status = 400) {
    super(why);
    this.status = status;
  }
}

/** The peer's side ended before its message did: whoever gives up an upload means nothing else by it. */
export class CutShort extends MalformedMessage {}
