import zlib from 'node:zlib';
import { Holdings } from '../../holdings.js';
import type { Coding } from './coding.js';

/** So much is unpacked at a time, bytes. */
const PIECE = 32 * 1024;
/** What one takes of the memory, bytes: what it is unpacked into, and the window of those whose window is small. */
const USUAL = 96 * 1024;
/** Brotli's window grows with what came, up to this many bytes. */
const LARGEST_WINDOW = 16 * 1024 * 1024;
/** What all of them may take, bytes. */
const MOST_MEMORY = 256 * 1024 * 1024;
/** No window grows beyond this: for what has none there is always some left. */
const MOST_WITH_WINDOWS = 192 * 1024 * 1024;
/** Up to so much is unpacked of anything; beyond, of what is no more than so many times as long as what came. */
const FREE = 1024 * 1024;
const MOST_TIMES = 256;

/** What each person has of that memory. */
const memory = new Holdings();

type Stream = zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress;

/** What a packed body is, while it passes. It is unpacked by other threads, a piece at a time. */
export class Unpacking {
  readonly #stream: Stream;
  readonly #person: string;
  readonly #mostMemory: number;
  #memory = USUAL;
  readonly #hear: (bytes: Buffer) => void;
  /** What was given of the body, and what came of it, bytes. */
  #given = 0;
  #came = 0;
  #done: (() => void) | null = null;
  #isClosed = false;
  /** It is not packed as it says, goes on behind its end, is out of all proportion, or of the memory: nobody knows what it is. */
  isBroken = false;

  private constructor(stream: Stream, person: string, window: number, hear: (bytes: Buffer) => void) {
    this.#stream = stream;
    this.#person = person;
    this.#mostMemory = USUAL + window;
    this.#hear = hear;
    memory.add(person, this.#memory);
    stream.on('data', (bytes: Buffer) => this.#heard(bytes));
    stream.on('error', () => this.#break());
  }

  /**
   * @param person - whose body it is
   * @param hear - is given what the body is
   * @returns null for what cannot be unpacked here, or not now: too much is under way
   */
  static of(coding: Coding, person: string, hear: (bytes: Buffer) => void): Unpacking | null {
    if (!memory.leaves(person, USUAL, MOST_MEMORY)) return null;
    const stream = streamOf(coding);
    return stream === null ? null : new Unpacking(stream, person, coding === 'br' ? LARGEST_WINDOW : 0, hear);
  }

  /**
   * Unpacks the next bytes, which must last until then. To be called again only when they are.
   * @param done - called once all that they are was heard; not after `close`
   */
  push(bytes: Buffer, done: () => void): void {
    if (this.#isClosed || bytes.byteLength === 0) return done();
    this.#given += bytes.byteLength;
    this.#done = done;
    this.#stream.write(bytes, () => {
      if (this.#stream.bytesWritten < this.#given) this.#break();
      this.#tell();
    });
  }

  /** Nothing more is heard. To be called when the body is over. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#done = null;
    memory.add(this.#person, -this.#memory);
    this.#stream.destroy();
  }

  #heard(bytes: Buffer): void {
    if (this.#isClosed) return;
    this.#came += bytes.byteLength;
    if (this.#came > Math.max(FREE, MOST_TIMES * this.#given) || !this.#takesMemory()) return this.#break();
    this.#hear(bytes);
  }

  /** Takes what it needs by now; false where that is not there. */
  #takesMemory(): boolean {
    const more = Math.min(USUAL + this.#came, this.#mostMemory) - this.#memory;
    if (more === 0) return true;
    if (!memory.leaves(this.#person, more, MOST_WITH_WINDOWS)) return false;
    this.#memory += more;
    memory.add(this.#person, more);
    return true;
  }

  #break(): void {
    if (this.#isClosed) return;
    this.isBroken = true;
    const done = this.#done;
    this.close();
    done?.();
  }

  #tell(): void {
    const done = this.#done;
    this.#done = null;
    done?.();
  }
}

function streamOf(coding: Coding): Stream | null {
  switch (coding) {
    case 'gzip':
      return zlib.createGunzip({ chunkSize: PIECE });
    case 'deflate':
      return zlib.createInflate({ chunkSize: PIECE });
    case 'br':
      return zlib.createBrotliDecompress({ chunkSize: PIECE });
    case 'other':
      return null;
  }
}
