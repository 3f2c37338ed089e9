import type { Header } from '../action.js';
import { valuesOf } from '../headers.js';
import { type Coding, codingAsked, isZlibAlone } from '../packed/coding.js';
import { Unpacking } from '../packed/unpacking.js';
import { isReadableAs } from '../record/content.js';
import { FieldsReader, type FormReader, JsonReader, OpaqueReader, PartsReader, UNKNOWN } from './form-readers.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** A longer text would have memory of its own, which costs more than all that is done with it; bytes. */
const AT_ONCE = 32 * 1024;
const NOTHING = Buffer.alloc(0);
/** What is longer, packed, and of which nothing comes that could be a method, is no honest form: nobody keeps it, bytes. */
const MOST_HELD = 64 * 1024;
/** What somebody may ask for of whom we do not know what they ask for. */
const ANY = ['PUT', 'PATCH', 'DELETE'];

/**
 * The methods that the body of a request asks for in place of its own: Rails and Sinatra (Rack), Symfony and Laravel, ASP.NET, gorilla
 * and others take it from a field `_method` of the form of a POST, Laravel and Slim from a member of JSON, too; CakePHP from a form of
 * PUT, PATCH and DELETE, ThinkPHP of whatever there is.
 */
export class FormMethods {
  readonly #own: string;
  readonly #readings: readonly Reading[];
  readonly #told = new Set<string>();
  /** It is known what the body asks for. */
  isCertain = true;

  private constructor(own: string, readings: readonly Reading[]) {
    this.#own = own;
    this.#readings = readings;
  }

  /** @returns null for a request in whose body nobody looks for a method */
  static of(method: string, headers: readonly Header[]): FormMethods | null {
    const types = valuesOf(headers, 'content-type');
    if (types.length === 0 && method !== 'POST') return null;
    const readers = () => (types.length === 0 ? [''] : types).flatMap(readersOf);
    const plain = readers();
    if (plain.length === 0) return null;
    const coding = codingAsked(headers);
    // Whoever does not unpack what is said to be packed reads it as it is.
    const packed = coding === null ? [] : [new PackedReading(coding, readers())];
    return new FormMethods(method, [new PlainReading(plain), ...packed]);
  }

  /** What came last may be the beginning of what it asks for: whoever has it and no more may carry it out as it is (PHP in Apache). */
  get isOpen(): boolean {
    return this.#readings.some(({ isOpen }) => isOpen);
  }

  /**
   * Looks at the next bytes, before they go on; they must last until then. To be called again only when they were looked at.
   * @param told - is given the methods that are asked for, each once; not after `close`
   */
  push(bytes: Buffer, isLast: boolean, told: (methods: readonly string[]) => void): void {
    const asked: string[] = [];
    let left = this.#readings.length;
    for (const reading of this.#readings) {
      reading.push(bytes, isLast, (words) => {
        for (const word of words) asked.push(...this.#methodsOf(word));
        left -= 1;
        if (left === 0) told(this.#fresh(asked));
      });
    }
  }

  /** The body is over. */
  close(): void {
    for (const reading of this.#readings) reading.close();
  }

  /** What is no method that we know may be one to a service (`LINK`), and one in a spelling of its own (base64). */
  #methodsOf(word: string): readonly string[] {
    const method = word.trim().toUpperCase();
    if (METHODS.includes(method)) return [method];
    this.isCertain = false;
    return /^[A-Z-]{1,32}$/.test(method) ? [...ANY, method] : ANY;
  }

  #fresh(asked: readonly string[]): readonly string[] {
    const fresh = new Set(asked.filter((method) => method !== this.#own && !this.#told.has(method)));
    for (const method of fresh) this.#told.add(method);
    return [...fresh];
  }
}

/** A body as somebody reads it. */
interface Reading {
  readonly isOpen: boolean;
  push(bytes: Buffer, isLast: boolean, told: (words: readonly string[]) => void): void;
  close(): void;
}

class PlainReading implements Reading {
  readonly #readers: readonly FormReader[];

  constructor(readers: readonly FormReader[]) {
    this.#readers = readers;
  }

  get isOpen(): boolean {
    return this.#readers.some(({ isOpen }) => isOpen);
  }

  push(bytes: Buffer, isLast: boolean, told: (words: readonly string[]) => void): void {
    const asked: string[] = [];
    for (let from = 0; from === 0 || from < bytes.byteLength; from += AT_ONCE) {
      const piece = bytes.toString('latin1', from, Math.min(from + AT_ONCE, bytes.byteLength));
      const isEnd = isLast && from + AT_ONCE >= bytes.byteLength;
      for (const reader of this.#readers) asked.push(...reader.push(piece, isEnd));
    }
    told(asked);
  }

  close(): void {}
}

/** What is said to be packed, as somebody reads it who unpacks it. */
class PackedReading implements Reading {
  readonly #coding: Coding;
  readonly #plain: PlainReading;
  #unpacking: Unpacking | null = null;
  #asked: string[] = [];
  #isUnknown = false;
  /** How much has come since a place for a method began, bytes. */
  #held = 0;

  constructor(coding: Coding, readers: readonly FormReader[]) {
    this.#coding = coding;
    this.#plain = new PlainReading(readers);
  }

  get isOpen(): boolean {
    return !this.#isUnknown && this.#plain.isOpen;
  }

  push(bytes: Buffer, isLast: boolean, told: (words: readonly string[]) => void): void {
    if (this.#isUnknown) return told([]);
    this.#unpacking ??= this.#begin(bytes);
    if (this.#unpacking === null) return told(this.#unknown());
    this.#held = this.isOpen ? this.#held + bytes.byteLength : 0;
    this.#unpacking.push(bytes, () => {
      if (this.#unpacking?.isBroken || (this.isOpen && this.#held > MOST_HELD)) return told(this.#unknown());
      if (isLast) this.#hear(NOTHING, true);
      told(this.#asked.splice(0));
    });
  }

  close(): void {
    this.#unpacking?.close();
  }

  #begin(bytes: Buffer): Unpacking | null {
    if (this.#coding === 'deflate' && !isZlibAlone(bytes)) return null;
    return Unpacking.of(this.#coding, (piece) => this.#hear(piece, false));
  }

  #hear(bytes: Buffer, isLast: boolean): void {
    this.#plain.push(bytes, isLast, (words) => this.#asked.push(...words));
  }

  #unknown(): readonly string[] {
    this.#isUnknown = true;
    this.#unpacking?.close();
    return [...this.#asked.splice(0), UNKNOWN];
  }
}

/**
 * As what somebody may read a body. They cut a type off at `;`, `,` or a blank, or look for theirs in it anywhere. To Rack, the body of
 * a POST without a type is a form, and so is one in parts that names no boundary; to Parse Server `text/plain` is JSON, as which its
 * clients send it. What is in another character set some read in it: it is not known what it says.
 */
function readersOf(type: string): readonly FormReader[] {
  const text = type.toLowerCase();
  const isParts = text.includes('multipart/');
  const isFields = text.includes('form-urlencoded') || !/^[^;,]*\//.test(text);
  const isJson = /json|text\/plain/.test(text);
  if (!isParts && !isFields && !isJson) return [];
  if (!isReadableAs(type)) return [new OpaqueReader()];
  return [
    ...(isParts ? [new PartsReader()] : []),
    ...(isFields || (isParts && !/boundary="?[^";,]/.test(text)) ? [new FieldsReader()] : []),
    ...(isJson ? [new JsonReader()] : []),
  ];
}
