import type { Passage } from '../gate/passage.js';
import { type Facts, joined } from '../recording/event.js';
import type { SightedStream } from '../session/sightings.js';
import type { HttpAction } from './action.js';
import { BodyTap } from './body-tap.js';
import { textOf } from './content.js';
import type { FrameTap } from './frame-watch.js';
import type { ControlFrame, DataFrame } from './frames.js';
import { redactText } from './redact.js';

/** A text of the service up to this size stands in the record, bytes; of anything else its size and digest do. */
const MOST_TEXT = 64 * 1024;
/** How much may be recorded and not yet safe before the record is hurried, and before the service has to wait; bytes. */
const HURRY = 128 * 1024;
const MOST_UNSAFE = 512 * 1024;
/** What an event takes besides its text, roughly, bytes. */
const EVENT = 300;

/**
 * What a service says on a WebSocket, for the record: one event for each message, and for each ping, pong and close that
 * carries bytes. They are recorded as they pass, and the service waits when the record falls too far behind.
 */
export class ServiceMessages implements FrameTap {
  readonly #passage: Passage<HttpAction>;
  readonly #facts: Facts;
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
    this.#facts = { verb: 'message', on: [opening.path], from: 'service' };
    this.#seq = opening.seq;
    this.#paced = paced;
  }

  /** Whether nothing more of the service should be read for now. */
  get isFull(): boolean {
    return this.#unsafe >= MOST_UNSAFE;
  }

  piece(frame: DataFrame, bytes: Uint8Array): void {
    this.#sighted.push(bytes);
    this.#underWay ??= { frame, tap: new BodyTap(MOST_TEXT) };
    this.#underWay.tap.push(bytes);
  }

  whole(): void {
    this.#end(true);
  }

  control(frame: ControlFrame, payload: Uint8Array): void {
    const said = frame === 'close' ? payload.subarray(2) : payload;
    if (said.byteLength === 0) return;
    this.#passage.session.sightings.bytes(Buffer.from(said));
    const tap = new BodyTap(MOST_TEXT);
    tap.push(said);
    this.#record(frame, tap, true);
  }

  /** Nothing more comes: what has passed of an unfinished message is recorded as its beginning. */
  close(): void {
    this.#end(false);
  }

  #end(whole: boolean): void {
    if (this.#underWay === null) return;
    const { frame, tap } = this.#underWay;
    this.#underWay = null;
    this.#record(frame, tap, whole);
  }

  #record(frame: DataFrame | ControlFrame, tap: BodyTap, whole: boolean): void {
    const text = tap.isWhole ? textOf(tap.sample, whole) : null;
    const sha256 = text === null || frame === 'binary' ? tap.sha256() : null;
    const payload = text === null ? null : { text: redactText(text, 'text/plain', whole) };
    const said: Facts = sha256 === null ? { frame, bytes: tap.bytes } : { frame, bytes: tap.bytes, sha256 };
    const facts = joined(this.#facts, whole ? said : { ...said, whole });
    this.#passage.result(this.#seq, facts, payload);
    this.#keepPace(EVENT + (payload?.text.length ?? 0));
  }

  #keepPace(bytes: number): void {
    this.#unsafe += bytes;
    if (this.#waiting || this.#unsafe < HURRY) return;
    this.#waiting = true;
    const safe = this.#unsafe;
    this.#passage.release(() => {
      this.#waiting = false;
      this.#unsafe -= safe;
      this.#paced();
    });
  }
}
