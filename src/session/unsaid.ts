import { SHORTEST_SOUGHT, type SoughtSecret } from '../config/secret.js';
import { REDACTED } from '../log.js';
import { type Facts, isList, type Json, type Payload } from '../recording/event.js';

/** To remember a shorter list takes longer than to look through it. */
const LONG = 4;

/**
 * Keeps the secrets that are injected towards a service out of what is recorded of it, and out of what is logged of that:
 * nobody who reads records needs them. They are found as they are, in JSON, in URLs, in hexadecimal and within base64.
 */
export class Unsaid {
  /** As they are: of these a beginning at the end of a text is cut, too. */
  readonly #plain: readonly string[];
  readonly #spelled: readonly string[];
  /** Something of this stands in every text that holds one: the others, nearly all, are looked through once. */
  readonly #begins: RegExp;
  /** Long lists that hold none: those of headers are the same from one time to the next. */
  readonly #clean = new WeakSet<object>();

  private constructor(secrets: readonly SoughtSecret[]) {
    this.#plain = secrets.flatMap((secret) => secret.forms().map((form) => form.toString('utf8')));
    this.#spelled = [...new Set(this.#plain.flatMap(spellings))];
    const begins = new Set(this.#spelled.map((spelled) => spelled.slice(0, SHORTEST_SOUGHT)));
    this.#begins = new RegExp([...begins].map(escaped).join('|'));
  }

  /** Of one policy's secrets there is one. */
  static of(secrets: readonly SoughtSecret[]): Unsaid {
    const known = KNOWN.get(secrets) ?? new Unsaid(secrets);
    KNOWN.set(secrets, known);
    return known;
  }

  facts(facts: Facts): Facts {
    return this.#object(facts);
  }

  payload(payload: Payload | null): Payload | null {
    return payload === null ? null : this.#object(payload);
  }

  /** The same object where there is nothing to cut. */
  #object<T extends { readonly [part: string]: Json | undefined }>(whole: T): T {
    if (this.#spelled.length === 0) return whole;
    let changed: Record<string, Json | undefined> | null = null;
    for (const name in whole) {
      const value: Json | undefined = whole[name];
      const safe = value === undefined ? value : this.#value(value);
      if (safe === value) continue;
      changed ??= {};
      changed[name] = safe;
    }
    return changed === null ? whole : Object.assign({}, whole, changed);
  }

  #value(value: Json): Json {
    if (typeof value === 'string') return this.text(value);
    if (typeof value !== 'object' || value === null || this.#clean.has(value)) return value;
    if (!isList(value)) return this.#object(value);
    for (const one of value) if (this.#value(one) !== one) return value.map((each) => this.#value(each));
    if (value.length >= LONG) this.#clean.add(value);
    return value;
  }

  text(text: string): string {
    if (text.length < SHORTEST_SOUGHT || !this.#begins.test(text)) return text;
    let safe = text;
    for (const spelled of this.#spelled) if (safe.includes(spelled)) safe = safe.replaceAll(spelled, REDACTED);
    for (const secret of this.#plain) safe = withoutBeginning(safe, secret);
    return safe;
  }
}

const KNOWN = new WeakMap<readonly SoughtSecret[], Unsaid>();

/** A text as it stands in a regular expression. */
function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

/** A bound may have cut a text within a secret: nearly all of one is as good as all. */
function withoutBeginning(text: string, secret: string): string {
  const begin = secret.slice(0, SHORTEST_SOUGHT);
  let at = text.indexOf(begin, Math.max(0, text.length - secret.length + 1));
  while (at !== -1 && !secret.startsWith(text.slice(at))) at = text.indexOf(begin, at + 1);
  return at === -1 ? text : text.slice(0, at) + REDACTED;
}

/** Of a secret without special characters most are the same. */
function spellings(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const encoded = [0, 1, 2].map((before) => withinBase64(bytes, before));
  const inJson = [secret, ...encoded].map((text) => JSON.stringify(text).slice(1, -1));
  const written = [secret, ...encoded, ...inJson, ...inJson.map((text) => text.replaceAll('/', '\\/'))];
  const once = written.map(encodeURIComponent);
  const inUrl = [...once, ...once.map(encodeURIComponent)];
  return [
    ...written,
    ...encoded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    ...inUrl,
    ...inUrl.map((text) => text.replaceAll(/%../g, (octet) => octet.toLowerCase())),
    hex,
    hex.toUpperCase(),
  ];
}

/** What stands in base64 of some bytes however it goes on, when as many stand `before` them in a group of three. */
function withinBase64(bytes: Buffer, before: number): string {
  const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
  return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
}
