import type { Header } from '../action.js';
import { isEncoded, valuesOf } from '../headers.js';
import { isReadableAs } from '../record/content.js';
import { FieldsReader, type FormReader, JsonReader, OpaqueReader, PartsReader } from './form-readers.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** A longer text would have memory of its own, which costs more than all that is done with it; bytes. */
const AT_ONCE = 32 * 1024;
/** What somebody may ask for of whom we do not know what they ask for. */
const ANY = ['PUT', 'PATCH', 'DELETE'];

/**
 * The methods that the body of a request asks for in place of its own: Rails and Sinatra (Rack), Symfony and Laravel, ASP.NET, gorilla
 * and others take it from a field `_method` of the form of a POST, Laravel and Slim from a member of JSON, too; CakePHP from a form of
 * PUT, PATCH and DELETE, ThinkPHP of whatever there is.
 */
export class FormMethods {
  readonly #own: string;
  readonly #readers: readonly FormReader[];
  readonly #told = new Set<string>();

  private constructor(own: string, readers: readonly FormReader[]) {
    this.#own = own;
    this.#readers = readers;
  }

  /** @returns null for a request in whose body nobody looks for a method */
  static of(method: string, headers: readonly Header[]): FormMethods | null {
    const types = valuesOf(headers, 'content-type');
    if (types.length === 0 && method !== 'POST') return null;
    const isPacked = isEncoded(headers);
    const readers = (types.length === 0 ? [''] : types).flatMap((type) => readersOf(type, isPacked));
    return readers.length === 0 ? null : new FormMethods(method, readers);
  }

  /** What came last may be the beginning of what it asks for: whoever has it and no more may carry it out as it is (PHP in Apache). */
  get isOpen(): boolean {
    return this.#readers.some(({ isOpen }) => isOpen);
  }

  /**
   * Looks at the next bytes, before they go on.
   * @returns the methods that are asked for, each once
   */
  push(bytes: Buffer, isLast: boolean): readonly string[] {
    const asked: string[] = [];
    for (let from = 0; from === 0 || from < bytes.byteLength; from += AT_ONCE) {
      const piece = bytes.toString('latin1', from, Math.min(from + AT_ONCE, bytes.byteLength));
      const isEnd = isLast && from + AT_ONCE >= bytes.byteLength;
      for (const reader of this.#readers) asked.push(...reader.push(piece, isEnd).flatMap(methodsOf));
    }
    const fresh = new Set(asked.filter((method) => method !== this.#own && !this.#told.has(method)));
    for (const method of fresh) this.#told.add(method);
    return [...fresh];
  }
}

/** What is no method that we know may be one to a service (`LINK`), and one in a spelling of its own (base64). */
function methodsOf(word: string): readonly string[] {
  const method = word.trim().toUpperCase();
  if (METHODS.includes(method)) return [method];
  return /^[A-Z-]{1,32}$/.test(method) ? [...ANY, method] : ANY;
}

/**
 * As what somebody may read a body. They cut a type off at `;`, `,` or a blank, or look for theirs in it anywhere. To Rack, the body of
 * a POST without a type is a form, and so is one in parts that names no boundary; to Parse Server `text/plain` is JSON, as which its
 * clients send it. What is packed, or in another character set, some unpack: it is not known what it says.
 */
function readersOf(type: string, isPacked: boolean): readonly FormReader[] {
  const text = type.toLowerCase();
  const isParts = text.includes('multipart/');
  const isFields = text.includes('form-urlencoded') || !/^[^;,]*\//.test(text);
  const isJson = /json|text\/plain/.test(text) && !isPacked;
  if (!isParts && !isFields && !isJson) return [];
  if (isPacked || !isReadableAs(type)) return [new OpaqueReader()];
  return [
    ...(isParts ? [new PartsReader()] : []),
    ...(isFields || (isParts && !/boundary="?[^";,]/.test(text)) ? [new FieldsReader()] : []),
    ...(isJson ? [new JsonReader()] : []),
  ];
}
