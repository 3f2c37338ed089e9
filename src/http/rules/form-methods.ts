import type { Header } from '../action.js';
import { isEncoded, valuesOf } from '../headers.js';
import { isReadableAs } from '../record/content.js';
import { namesMethod, unescaped } from './override.js';

/** Reads a body as one of the forms it may be. Pieces are characters that are bytes. */
interface FormReader {
  /** @returns what stands where services look for a method, as far as it is there; `UNKNOWN` where that cannot be told */
  push(piece: string, isLast: boolean): readonly string[];
}

const UNKNOWN = '';
const METHODS = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** What somebody may ask for of whom we do not know what they ask for. */
const ANY = ['PUT', 'PATCH', 'DELETE'];

/**
 * The methods that the body of a POST asks for in place of POST: Rails and Sinatra (Rack), Symfony and Laravel, ASP.NET, gorilla and
 * others take it from a field `_method` of a form, Laravel from a member of JSON, too.
 */
export class FormMethods {
  readonly #readers: readonly FormReader[];
  readonly #told = new Set<string>();

  private constructor(readers: readonly FormReader[]) {
    this.#readers = readers;
  }

  /** @returns null for a request in whose body nobody looks for a method */
  static of(method: string, headers: readonly Header[]): FormMethods | null {
    if (method !== 'POST') return null;
    const types = valuesOf(headers, 'content-type');
    const readers = (types.length === 0 ? [''] : types).flatMap((type) => readerOf(type, isEncoded(headers)));
    return readers.length === 0 ? null : new FormMethods(readers);
  }

  /**
   * Looks at the next bytes, before they go on: a service does nothing before the body is whole.
   * @returns the methods that are asked for, each once
   */
  push(bytes: Buffer, isLast: boolean): readonly string[] {
    const piece = bytes.toString('latin1');
    const asked = this.#readers.flatMap((reader) => reader.push(piece, isLast)).flatMap(methodsOf);
    const fresh = new Set(asked.filter((method) => !this.#told.has(method)));
    for (const method of fresh) this.#told.add(method);
    return [...fresh];
  }
}

function methodsOf(word: string): readonly string[] {
  const method = word.trim().toUpperCase();
  if (method === 'POST') return [];
  return METHODS.includes(method) ? [method] : ANY;
}

/** A body of no type is a form to Rack. What is packed, or in another character set, some unpack: it is not known what it says. */
function readerOf(type: string, isPacked: boolean): readonly FormReader[] {
  const [name = ''] = type.toLowerCase().split(';');
  const media = name.trim();
  if (/[/+]json$/.test(media)) return isPacked ? [] : [new JsonReader()];
  const isParts = media.startsWith('multipart/');
  if (!isParts && media !== 'application/x-www-form-urlencoded' && media.includes('/')) return [];
  if (isPacked || !isReadableAs(type)) return [new OpaqueReader()];
  return [isParts ? new PartsReader() : new FieldsReader()];
}

class OpaqueReader implements FormReader {
  push(): readonly string[] {
    return [UNKNOWN];
  }
}

/** So much of a field, or of the head of a part, is looked at, bytes: longer ones say nothing that could be a method. */
const LONGEST = 4 * 1024;
/** Shorter and longer than any of the names, bytes, also where each character is escaped. */
const [SHORTEST_NAME, LONGEST_NAME] = ['_method'.length, 128];

/** Some part fields by `;`, too. */
const SEPARATOR = /[&;]/;

/** `application/x-www-form-urlencoded`; much that is sent as such is none. */
class FieldsReader implements FormReader {
  #field = '';

  push(piece: string, isLast: boolean): readonly string[] {
    const asked: string[] = [];
    const holdsName = unescaped(piece).toLowerCase().includes('method');
    for (const [at, part] of (holdsName ? piece.split(SEPARATOR) : outerFields(piece)).entries()) {
      if (at > 0) this.#end(asked);
      if (this.#field.length < LONGEST) this.#field += part.slice(0, LONGEST - this.#field.length);
    }
    if (isLast) this.#end(asked);
    return asked;
  }

  #end(asked: string[]): void {
    const raw = this.#field;
    this.#field = '';
    if (raw.length < SHORTEST_NAME) return;
    const isCut = raw.length >= LONGEST;
    const field = unescaped(raw.replaceAll('+', ' '));
    if (namesMethod(field)) asked.push(field.includes('=') ? field.slice(field.indexOf('=') + 1) : UNKNOWN);
    else if (isCut && !/[a-z0-9_.-]/i.test(field.slice(0, -LONGEST_NAME))) asked.push(UNKNOWN); // nothing but what may stand before a name
  }
}

/** Those that may go on in other pieces: the first one and the last. */
function outerFields(piece: string): readonly string[] {
  const first = piece.search(SEPARATOR);
  if (first === -1) return [piece];
  return [piece.slice(0, first), piece.slice(Math.max(piece.lastIndexOf('&'), piece.lastIndexOf(';')) + 1)];
}

const DISPOSITION = 'content-disposition';
/** A parameter called `name`, and what it may be; the quotes may be missing, or one of them. */
const NAME = /name\*?\s*=\s*"?([^"\r\n;]*)/gi;

/** `multipart/form-data`, and whatever is taken for it. */
class PartsReader implements FormReader {
  #carried = '';

  push(piece: string, isLast: boolean): readonly string[] {
    const text = this.#carried + piece;
    const lower = text.toLowerCase();
    const asked: string[] = [];
    this.#carried = text.slice(1 - DISPOSITION.length);
    for (let at = lower.indexOf(DISPOSITION); at !== -1; ) {
      const part = text.slice(at, at + LONGEST);
      const { head, value } = takenApart(part);
      if (value === null && part.length < LONGEST && !isLast) {
        this.#carried = part;
        break;
      }
      if (head === null && part.length >= LONGEST) asked.push(UNKNOWN);
      else if (namesMethodIn(head ?? part)) asked.push(value ?? UNKNOWN);
      at = lower.indexOf(DISPOSITION, at + (head ?? part).length); // each is looked at once, however many there are
    }
    return asked;
  }
}

/** The head of a part, and the first line of what follows; null, where they are not there to their end. */
function takenApart(part: string): { readonly head: string | null; readonly value: string | null } {
  const end = /\r?\n\r?\n/.exec(part);
  if (end === null) return { head: null, value: null };
  const [, value = null] = /^([^\r\n]*)[\r\n]/.exec(part.slice(end.index + end[0].length)) ?? [];
  return { head: part.slice(0, end.index), value };
}

function namesMethodIn(head: string): boolean {
  if (/name\*\d/i.test(head)) return true; // in pieces (RFC 2231), which nobody needs for an honest name
  return [...head.matchAll(NAME)].some(([, name = '']) => {
    const plain = name.replaceAll('\\', '').replace(/^[\w-]+'[^']*'/, ''); // the character set of RFC 5987
    return namesMethod(`${unescaped(plain)}=`);
  });
}

const MEMBER = '"_method"';
/** So much may stand between a member's name and the end of its value, characters. */
const MEMBER_LENGTH = 256;
/** What the name may take where each of its characters is escaped. */
const ESCAPED_LENGTH = 6 * MEMBER.length;

class JsonReader implements FormReader {
  #carried = '';

  push(piece: string, isLast: boolean): readonly string[] {
    const text = withoutUnicodeEscapes(this.#carried + piece);
    const asked: string[] = [];
    this.#carried = text.slice(-ESCAPED_LENGTH);
    for (let at = text.indexOf(MEMBER); at !== -1; at = text.indexOf(MEMBER, at + 1)) {
      const behind = text.slice(at + MEMBER.length, at + MEMBER.length + MEMBER_LENGTH);
      const [all, value = UNKNOWN] = /^\s*:\s*(?:"([^"]*)"|[^\s"])/.exec(behind) ?? [];
      const mayGoOn = all === undefined && /^\s*(?::\s*(?:"[^"]*)?)?$/.test(behind);
      if (mayGoOn && behind.length < MEMBER_LENGTH && !isLast) {
        this.#carried = text.slice(at);
        break;
      }
      if (all !== undefined || mayGoOn) asked.push(value);
    }
    return asked;
  }
}

function withoutUnicodeEscapes(json: string): string {
  if (!json.includes('\\u')) return json;
  return json.replace(/\\u00([0-7][0-9a-fA-F])/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}
