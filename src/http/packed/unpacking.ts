import zlib from 'node:zlib';
import type { Coding } from './coding.js';

/** So much is unpacked at a time, bytes. */
const PIECE = 32 * 1024;
/** What one may take of the memory, bytes: its window, and what it is unpacked into. */
const USUAL = 96 * 1024;
const MUCH = 16 * 1024 * 1024;
/** What all of them may take, bytes. */
const MOST_MEMORY = 256 * 1024 * 1024;
/** Up to so much is unpacked of anything; beyond, of what is no more than so many times as long as what came. */
const FREE = 1024 * 1024;
const MOST_TIMES = 256;

type Stream = zlib.Unzip | zlib.BrotliDecompress;

let taken = 0;

/** What a packed body is, while it passes. It is unpacked by other threads, a piece at a time. */
export class Unpacking {
  readonly #stream: Stream;
  readonly #memory: number;
  readonly #hear: (bytes: Buffer) => void;
  /** What was given of the body, and what came of it, bytes. */
  #given = 0;
  #came = 0;
  #done: (() => void) | null = null;
  #isClosed = false;
  /** It is not packed as it says, goes on behind its end, or is out of all proportion: nobody knows what it is. */
  isBroken = false;

  private constructor(stream: Stream, memory: number, hear: (bytes: Buffer) => void) {
    this.#stream = stream;
    this.#memory = memory;
    this.#hear = hear;
    taken += memory;
    stream.on('data', (bytes: Buffer) => this.#heard(bytes));
    stream.on('error', () => this.#break());
  }

  /**
   * @param hear - is given what the body is
   * @returns null for what cannot be unpacked here, or not now: too much is under way
   */
  static of(coding: Coding, hear: (bytes: Buffer) => void): Unpacking | null {
    const memory = coding === 'gzip' || coding === 'deflate' ? USUAL : MUCH;
    if (taken + memory > MOST_MEMORY) return null;
    const stream = streamOf(coding);
    return stream === null ? null : new Unpacking(stream, memory, hear);
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
    taken -= this.#memory;
    this.#stream.destroy();
  }

  #heard(bytes: Buffer): void {
    if (this.#isClosed) return;
    this.#came += bytes.byteLength;
    if (this.#came > Math.max(FREE, MOST_TIMES * this.#given)) return this.#break();
    this.#hear(bytes);
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
    case 'deflate': // who takes both finds out by their beginning, and so does this
      return zlib.createUnzip({ chunkSize: PIECE });
    case 'br':
      return zlib.createBrotliDecompress({ chunkSize: PIECE });
    case 'other':
      return null;
  }
}
