import { hash } from 'node:crypto';
import type { Passage } from '../../gate/passage.js';
import type { SightedStream } from '../../session/sightings.js';
import type { HttpAction } from '../action.js';
import { BodyTap } from '../body/tap.js';
import { lasting } from '../memory/reading.js';
import { messageText } from '../record/content.js';
import { MessageFacts } from '../record/message-facts.js';
import { redactText } from '../record/redact.js';
import type { FrameTap } from './frame-watch.js';
import type { ControlFrame, DataFrame } from './frames.js';

/** A text of the service up to this size stands in the record, bytes; of anything else its size and digest do. */
const MOST_TEXT = 64 * 1024;
/**
 * How much may be recorded and not yet safe before the service has to wait, bytes: on one WebSocket, and on all of a session, which
 * share that: of 256 that a service floods 128 MiB stood before everybody else's record, and others were told that there is none (503).
 */
const MOST_UNSAFE = 512 * 1024;
const MOST_OF_SESSION = 8 * 1024 * 1024;
/** At this part of it the record is hurried. */
const HURRY = 1 / 4;
/** What an event takes besides its text, roughly, bytes. */
const EVENT = 300;

/** What is recorded of a message. `whole`: not only its beginning. */
interface Said {
  readonly bytes: number;
  readonly text: string | null;
  readonly sha256: string | null;
  readonly whole: boolean;
  /** Of a close frame. */
  readonly code?: number | undefined;
}

/**
 * What a service says on a WebSocket, for the record: one event for each message, and for each ping, pong and close that
 * carries bytes. They are recorded as they pass, and the service waits when the record falls too far behind.
 */
export class ServiceMessages implements FrameTap {
  readonly #passage: Passage<HttpAction>;
  readonly #facts: MessageFacts;
  readonly #seq: number;
  readonly #paced: () => void;
  /** Across the frames of a message, too: their heads are not in between. */
  readonly #sighted: SightedStream;
  #underWay: { readonly frame: DataFrame; readonly tap: BodyTap } | null = null;
  #unsafe = 0;
  #waiting = false;

  /**
   * @param opening - the path of the WebSocket and the sequence number of its recorded opening
   * @param paced - called when `isFull` may have changed
   */
  constructor(passage: Passage<HttpAction>, opening: { path: string; seq: number }, paced: () => void) {
    this.#passage = passage;
    this.#sighted = passage.session.sightings.stream();
    this.#facts = new MessageFacts(opening.path, opening.seq, 'service');
    this.#seq = opening.seq;
    this.#paced = paced;
  }

  /**
   * Whether nothing more of the service should be read for now. Only as long as something waits for the record, or nobody would be called:
   * where others came meanwhile, less may be too much than was when it was recorded.
   */
  get isFull(): boolean {
    return this.#waiting && this.#unsafe >= this.#most;
  }

  get #most(): number {
    return Math.min(MOST_UNSAFE, MOST_OF_SESSION / Math.max(1, this.#passage.session.connections));
  }

  piece(frame: DataFrame, bytes: Buffer, isLast: boolean): void {
    this.#sighted.push(bytes);
    if (isLast && this.#underWay === null && bytes.byteLength <= MOST_TEXT) return this.#recordAtOnce(frame, bytes);
    this.#underWay ??= { frame, tap: new BodyTap(MOST_TEXT) };
    this.#underWay.tap.push(lasting(bytes));
  }

  whole(): void {
    this.#end(true);
  }

  control(frame: ControlFrame, payload: Buffer): void {
    if (payload.byteLength === 0) return;
    const code = frame === 'close' ? payload.readUInt16BE(0) : undefined;
    const said = code === undefined ? payload : payload.subarray(2);
    this.#passage.session.sightings.bytes(said);
    this.#recordAtOnce(frame, said, code);
  }

  /** Nothing more comes: what has passed of an unfinished message is recorded as its beginning. */
  close(): void {
    this.#end(false);
  }

  #end(whole: boolean): void {
    if (this.#underWay === null) return;
    const { frame, tap } = this.#underWay;
    this.#underWay = null;
    const text = tap.isWhole ? messageText(frame, tap.sample, whole) : null;
    const sha256 = text === null || frame === 'binary' ? tap.sha256() : null;
    this.#record(frame, { bytes: tap.bytes, text, sha256, whole });
  }

  /** What lay in one piece needs no copy. */
  #recordAtOnce(frame: DataFrame | ControlFrame, bytes: Buffer, code?: number): void {
    const text = messageText(frame, bytes);
    const isOpaque = text === null || (frame === 'binary' && bytes.byteLength > 0);
    this.#record(frame, {
      bytes: bytes.byteLength,
      text,
      sha256: isOpaque ? hash('sha256', bytes) : null,
      whole: true,
      code,
    });
  }

  #record(frame: DataFrame | ControlFrame, { bytes, text, sha256, whole, code }: Said): void {
    const payload = text === null ? null : { text: redactText(text, whole) };
    this.#passage.result(this.#seq, this.#facts.of(frame, bytes, sha256, whole, code), payload);
    this.#keepPace(EVENT + (payload?.text.length ?? 0));
  }

  #keepPace(bytes: number): void {
    this.#unsafe += bytes;
    this.#hurry();
  }

  /** What is recorded while it waits is waited for behind that. */
  #hurry(): void {
    if (this.#waiting || this.#unsafe < this.#most * HURRY) return;
    this.#waiting = true;
    const safe = this.#unsafe;
    this.#passage.release(() => {
      this.#waiting = false;
      this.#unsafe -= safe;
      this.#hurry();
      this.#paced();
    });
  }
}
