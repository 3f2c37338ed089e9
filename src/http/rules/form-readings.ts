import { type Coding, isZlibAlone } from '../packed/coding.js';
import { Unpacking } from '../packed/unpacking.js';
import { isReadableAs } from '../record/content.js';
import { FieldsReader, type FormReader, JsonReader, OpaqueReader, PartsReader, UNKNOWN } from './form-readers.js';

/** A body as somebody reads it. */
export interface Reading {
  /** See `FormReader`. */
  readonly isOpen: boolean;
  /**
   * @param say - is given what stands where services look for a method, or `UNKNOWN`
   * @param done - called once all of it was given; not after `close`
   */
  push(bytes: Buffer, isLast: boolean, say: (word: string) => void, done: () => void): void;
  close(): void;
}

/** A longer text would have memory of its own, which costs more than all that is done with it; bytes. */
const AT_ONCE = 32 * 1024;

/** As it is. */
export class PlainReading implements Reading {
  readonly #readers: readonly FormReader[];

  constructor(readers: readonly FormReader[]) {
    this.#readers = readers;
  }

  get isOpen(): boolean {
    return this.#readers.some(({ isOpen }) => isOpen);
  }

  push(bytes: Buffer, isLast: boolean, say: (word: string) => void, done: () => void): void {
    for (let from = 0; from === 0 || from < bytes.byteLength; from += AT_ONCE) {
      const piece = bytes.toString('latin1', from, Math.min(from + AT_ONCE, bytes.byteLength));
      const isEnd = isLast && from + AT_ONCE >= bytes.byteLength;
      for (const reader of this.#readers) for (const word of reader.push(piece, isEnd)) say(word);
    }
    done();
  }

  close(): void {}
}

const NOTHING = Buffer.alloc(0);
/** What is longer, packed, and of which nothing comes that could be a method, is no honest form: nobody keeps it, bytes. */
const MOST_HELD = 64 * 1024;

/** What is said to be packed, as somebody reads it who unpacks it. */
export class PackedReading implements Reading {
  readonly #coding: Coding;
  readonly #person: string;
  readonly #plain: PlainReading;
  #unpacking: Unpacking | null = null;
  /** Who hears what stands in what came last. */
  #say: (word: string) => void = () => {};
  #isUnknown = false;
  /** How much has come since a place for a method began, bytes. */
  #held = 0;

  /** @param person - whose body it is */
  constructor(coding: Coding, person: string, readers: readonly FormReader[]) {
    this.#coding = coding;
    this.#person = person;
    this.#plain = new PlainReading(readers);
  }

  get isOpen(): boolean {
    return !this.#isUnknown && this.#plain.isOpen;
  }

  push(bytes: Buffer, isLast: boolean, say: (word: string) => void, done: () => void): void {
    if (this.#isUnknown) return done();
    this.#say = say;
    this.#unpacking ??= this.#begin(bytes);
    if (this.#unpacking === null) return this.#unknown(done);
    this.#held = this.isOpen ? this.#held + bytes.byteLength : 0;
    this.#unpacking.push(bytes, () => {
      if (this.#unpacking?.isBroken || (this.isOpen && this.#held > MOST_HELD)) return this.#unknown(done);
      if (isLast) this.#hear(NOTHING, true);
      done();
    });
  }

  close(): void {
    this.#unpacking?.close();
  }

  #begin(bytes: Buffer): Unpacking | null {
    if (this.#coding === 'deflate' && !isZlibAlone(bytes)) return null;
    return Unpacking.of(this.#coding, this.#person, (piece) => this.#hear(piece, false));
  }

  #hear(piece: Buffer, isLast: boolean): void {
    this.#plain.push(piece, isLast, this.#say, nothing);
  }

  #unknown(done: () => void): void {
    this.#isUnknown = true;
    this.#unpacking?.close();
    this.#say(UNKNOWN);
    done();
  }
}

function nothing(): void {}

/**
 * As what somebody may read a body of these types, in each way once: a client may say two hundred, and each byte is read in all of them.
 * @param types - none are as one that is empty
 */
export function readersOf(types: readonly string[]): readonly FormReader[] {
  const ways = new Set((types.length === 0 ? [''] : types).flatMap(waysToRead));
  return [...ways].map((Reader) => new Reader());
}

/**
 * Services cut a type off at `;`, `,` or a blank, or look for theirs in it anywhere. To Rack, the body of a POST without a type is a
 * form, and so is one in parts that names no boundary; to Parse Server `text/plain` is JSON, as which its clients send it. What is in
 * another character set some read in it: it is not known what it says.
 */
function waysToRead(type: string): readonly (new () => FormReader)[] {
  const text = type.toLowerCase();
  const isParts = text.includes('multipart/');
  const isFields = text.includes('form-urlencoded') || !/^[^;,]*\//.test(text);
  const isJson = /json|text\/plain/.test(text);
  if (!isParts && !isFields && !isJson) return [];
  if (!isReadableAs(type)) return [OpaqueReader];
  return [
    ...(isParts ? [PartsReader] : []),
    ...(isFields || (isParts && !/boundary="?[^";,]/.test(text)) ? [FieldsReader] : []),
    ...(isJson ? [JsonReader] : []),
  ];
}
