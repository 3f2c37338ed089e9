import type { Session } from '../../session/session.js';
import type { SightedStream, Sightings } from '../../session/sightings.js';
import type { Coding } from './coding.js';
import { Unpacking } from './unpacking.js';

/** So much may wait to be unpacked, bytes: what comes faster is not waited for, and not looked through. */
const MOST_WAITING = 1024 * 1024;

/** Looks for injected secrets in a packed body that passes: behind it, and never in its way. */
export class PackedSightings {
  readonly #sightings: Sightings;
  readonly #person: string;
  readonly #coding: Coding;
  readonly #plain: SightedStream;
  #unpacking: Unpacking | null = null;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isBusy = false;
  #isEnded = false;
  #isOver = false;

  constructor({ sightings, grant }: Pick<Session, 'sightings' | 'grant'>, coding: Coding) {
    this.#sightings = sightings;
    this.#person = grant.principal;
    this.#coding = coding;
    this.#plain = sightings.stream();
  }

  /** @param bytes - may be overwritten afterwards */
  push(bytes: Buffer): void {
    if (this.#isOver || bytes.byteLength === 0 || this.#sightings.longest === 0) return;
    this.#waitingBytes += bytes.byteLength;
    if (this.#waitingBytes > MOST_WAITING) return this.#giveUp();
    this.#waiting.push(Buffer.from(bytes));
    if (!this.#isBusy) this.#goOn();
  }

  /** Nothing more comes; what waits is looked through still. */
  end(): void {
    this.#isEnded = true;
    if (!this.#isBusy) this.#close();
  }

  readonly #goOn = (): void => {
    this.#isBusy = false;
    if (this.#isOver) return;
    if (this.#unpacking?.isBroken) return this.#giveUp();
    const next = this.#waiting.shift();
    if (next === undefined) {
      if (this.#isEnded) this.#close();
      return;
    }
    this.#unpacking ??= Unpacking.of(this.#coding, this.#person, (bytes) => this.#plain.push(bytes));
    if (this.#unpacking === null) return this.#giveUp();
    this.#waitingBytes -= next.byteLength;
    this.#isBusy = true;
    this.#unpacking.push(next, this.#goOn);
  };

  #giveUp(): void {
    this.#sightings.encoded();
    this.#close();
  }

  #close(): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#unpacking?.close();
  }
}
