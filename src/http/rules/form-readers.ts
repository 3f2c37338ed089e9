import { isAsciiSet } from '../record/content.js';
import { characterOf, unescaped } from './escapes.js';
import { namesMethod } from './override.js';

/** Reads a body as one of the forms it may be. Pieces are characters that are bytes. */
export interface FormReader {
  /** @returns what stands where services look for a method, as far as it is there; `UNKNOWN` where that cannot be told */
  push(piece: string, isLast: boolean): readonly string[];
  /** A place for a method has begun, and what stands there is not known yet. */
  readonly isOpen: boolean;
}

/** What is no method. */
export const UNKNOWN = '';

export class OpaqueReader implements FormReader {
  readonly isOpen = false;

  push(): readonly string[] {
    return [UNKNOWN];
  }
}

/** So much of a field, or of the head of a part, is looked at, bytes: longer ones say nothing that could be a method. */
const LONGEST = 4 * 1024;
/** Shorter and longer than any of the names, bytes, also where each character is escaped. */
const [SHORTEST_NAME, LONGEST_NAME] = ['_method'.length, 128];

/** What is in every name, its characters escaped or not. */
const IN_NAMES = /(?:m|%[46]d)(?:e|%[46]5)(?:t|%[57]4)(?:h|%[46]8)(?:o|%[46]f)(?:d|%[46]4)/i;

/** Some part fields by `;`, too. */
const SEPARATOR = /[&;]/;

/** `application/x-www-form-urlencoded`; much that is sent as such is none. */
export class FieldsReader implements FormReader {
  isOpen = false;
  #field = '';
  #hasValue = false;

  push(piece: string, isLast: boolean): readonly string[] {
    const asked: string[] = [];
    const parts = IN_NAMES.test(piece) ? piece.split(SEPARATOR) : outerFields(piece);
    for (const [at, part] of parts.entries()) {
      if (at > 0) this.#end(asked);
      this.#grow(part, asked);
    }
    if (isLast) this.#end(asked);
    return asked;
  }

  #grow(part: string, asked: string[]): void {
    if (this.#field.length >= LONGEST) return;
    this.#field += part.slice(0, LONGEST - this.#field.length);
    if (this.#field.length >= LONGEST) {
      this.isOpen = false;
      asked.push(...askedByField(this.#field));
    } else if (!this.#hasValue && part.includes('=')) {
      this.#hasValue = true;
      this.isOpen = namesMethod(plain(this.#field));
    }
  }

  #end(asked: string[]): void {
    if (this.#field.length < LONGEST) asked.push(...askedByField(this.#field));
    this.#field = '';
    this.#hasValue = false;
    this.isOpen = false;
  }
}

/** @param raw - a field, or its first `LONGEST` characters */
function askedByField(raw: string): readonly string[] {
  if (raw.length < SHORTEST_NAME) return [];
  const field = plain(raw);
  if (namesMethod(field)) return [field.includes('=') ? field.slice(field.indexOf('=') + 1) : UNKNOWN];
  const isBlank = raw.length >= LONGEST && /^[\s[?]*$/.test(field.slice(0, -LONGEST_NAME));
  return isBlank ? [UNKNOWN] : []; // nothing but what may stand before a name, and much of it
}

function plain(field: string): string {
  return unescaped(field.replaceAll('+', ' '));
}

/** Those that may go on in other pieces: the first one and the last. */
function outerFields(piece: string): readonly string[] {
  const first = piece.search(SEPARATOR);
  if (first === -1) return [piece];
  return [piece.slice(0, first), piece.slice(Math.max(piece.lastIndexOf('&'), piece.lastIndexOf(';')) + 1)];
}

/**
 * Where the name of a part may stand: in a line of its own; behind whatever one of them takes for the head of a part, and another for
 * what comes after (Rack); in `Content-ID` (Rack again).
 */
const PLACE =
  /[\r\n]content-disposition|;\s*name(\*?)\s*=\s*"?(?=([^"\r\n;]{0,128}))|content-id\s*:(?=([^\r\n]{0,128}))/gi;
/** What of it may stand at the end of a piece, characters. */
const PLACE_LENGTH = 256;
/** A parameter called `name`, and what it may be; the quotes may be missing, or one of them. */
const NAME = /(file)?name(\*?)\s*=\s*"?([^"\r\n;]*)/gi;
/** To Rack it is the name where there is no other. */
const CONTENT_ID = /content-id\s*:([^\r\n]*)/gi;
/** The end of a head, as the most lenient reader sees it. */
const HEAD_END = /\n\r?\n/;

/** `multipart/form-data`, and whatever is taken for it. */
export class PartsReader implements FormReader {
  isOpen = false;
  #carried = '\n'; // the first line is one, too
  /** The last characters that came, and what the place that is open waits for. */
  #tail = '';
  #awaited = HEAD_END;

  push(piece: string, isLast: boolean): readonly string[] {
    const text = this.#carried + piece;
    const fresh = this.#tail + piece;
    this.#tail = fresh.slice(-2);
    if (this.isOpen && !isLast && text.length < LONGEST && !this.#awaited.test(fresh)) {
      this.#carried = text; // not looked through for every byte of it
      return [];
    }
    return this.#read(text, isLast);
  }

  #read(text: string, isLast: boolean): readonly string[] {
    const asked: string[] = [];
    let from = 0;
    this.isOpen = false;
    PLACE.lastIndex = 0;
    for (let place = PLACE.exec(text); place !== null; place = PLACE.exec(text)) {
      const [, star, name, id] = place;
      from = place.index;
      if (id !== undefined && isNameOf(id)) asked.push(UNKNOWN);
      if (name !== undefined && isMethodsName(name, star === '*')) asked.push(UNKNOWN);
      if (id !== undefined || name !== undefined) continue;
      const part = text.slice(place.index, place.index + LONGEST);
      const { head, value } = takenApart(part);
      if (value === null && part.length < LONGEST && !isLast) {
        this.isOpen = true;
        this.#awaited = head === null ? HEAD_END : /[\r\n]/;
        this.#carried = part;
        return asked;
      }
      if (head === null && part.length >= LONGEST) asked.push(UNKNOWN);
      else if (namesMethodIn(head ?? part)) asked.push(value ?? UNKNOWN);
      from += Math.max((head ?? part).trimEnd().length - 1, 1); // each is looked at once, however many there are, but for a last `;`
      PLACE.lastIndex = from;
    }
    this.#carried = carriedOf(text.slice(from));
    return asked;
  }
}

/** The last of a text, of which a place may begin; before many blanks there may be a `;`. */
function carriedOf(text: string): string {
  const last = text.slice(-PLACE_LENGTH);
  return /^\s{128}/.test(last) ? `;${last}` : last;
}

/**
 * The head of a part, and the first line of what follows; null, where they are not there to their end. What follows a head that not
 * everybody takes for one that is over is `UNKNOWN`.
 */
function takenApart(part: string): { readonly head: string | null; readonly value: string | null } {
  const end = HEAD_END.exec(part);
  if (end === null) return { head: null, value: null };
  const head = part.slice(0, end.index);
  if (!part.startsWith('\r\n\r\n', end.index - 1) || head.includes('\r\r')) return { head, value: UNKNOWN };
  const [, value = null] = /^([^\r\n]*)[\r\n]/.exec(part.slice(end.index + end[0].length)) ?? [];
  return { head, value };
}

function namesMethodIn(head: string): boolean {
  const joined = head.replace(/[\r\n]+/g, ''); // PHP adds a line without a colon to the one before
  if (!/method|[%*\\]|=\?/i.test(joined)) return false;
  if (/(?<!file)name\*\d/i.test(head)) return true; // in pieces (RFC 2231), which nobody needs for an honest name
  if ([...head.matchAll(CONTENT_ID)].some(([, id = '']) => isNameOf(id))) return true;
  return [head, joined].some((text) => [...text.matchAll(NAME)].some(isNameOfMethod));
}

function isNameOfMethod([, file, star, name = '']: RegExpExecArray): boolean {
  return file === undefined ? isMethodsName(name, star === '*') : namesMethod(`${name}=`);
}

/** @param isExtended - it is one of RFC 5987, with its character set */
function isMethodsName(name: string, isExtended: boolean): boolean {
  const text = name.replaceAll('\\', '');
  if (text.includes('=?')) return true; // an encoded word (RFC 2047), which Tomcat reads
  if (!isExtended || !text.includes("'")) {
    const [word = ''] = /[^\s']+/.exec(text) ?? []; // PHP drops what stands behind a quote, or a blank
    return [text, word].some(isNameOf);
  }
  const [set = ''] = text.split("'");
  return (set !== '' && !isAsciiSet(set)) || isNameOf(text.slice(text.lastIndexOf("'") + 1));
}

/** Places may stand in one another, and each is looked at: escapes are undone where there may be something behind them. */
function isNameOf(raw: string): boolean {
  return IN_NAMES.test(raw) && namesMethod(`${unescaped(raw)}=`);
}

/** Slim's is in upper case. */
const MEMBER = /"_method"/gi;
const MEMBER_NAME = '"_method"';
/** So much may stand between a member's name and the end of its value, characters. */
const MEMBER_LENGTH = 256;
/** What the name may take where each of its characters is escaped. */
const ESCAPED_LENGTH = 6 * MEMBER_NAME.length;

export class JsonReader implements FormReader {
  isOpen = false;
  #carried = '';

  push(piece: string, isLast: boolean): readonly string[] {
    const text = withoutUnicodeEscapes(this.#carried + piece);
    const asked: string[] = [];
    this.isOpen = false;
    this.#carried = text.slice(-ESCAPED_LENGTH);
    for (const { index } of text.matchAll(MEMBER)) {
      const from = index + MEMBER_NAME.length;
      const behind = text.slice(from, from + MEMBER_LENGTH);
      const [all, value = UNKNOWN] = /^\s*:\s*(?:"([^"]*)"|[^\s"])/.exec(behind) ?? [];
      const mayGoOn = all === undefined && /^\s*(?::\s*(?:"[^"]*)?)?$/.test(behind);
      if (mayGoOn && behind.length < MEMBER_LENGTH && !isLast) {
        this.isOpen = true;
        this.#carried = text.slice(index);
        break;
      }
      if (all !== undefined || mayGoOn) asked.push(value);
    }
    return asked;
  }
}

function withoutUnicodeEscapes(json: string): string {
  if (!json.includes('\\u')) return json;
  return json.replace(/\\u00([0-7][0-9a-fA-F])/g, (_, digits: string) => characterOf(digits));
}
