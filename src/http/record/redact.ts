import { REDACTED } from '../../log.js';
import type { Header } from '../action.js';
import { canonical, isCredentialProtocol } from '../headers/headers.js';
import { methodsInCookie } from '../rules/override.js';
import { beginningWithoutAnyHandle, withoutAnyHandle } from './disguised.js';
import { CREDENTIAL, CREDENTIAL_PART } from './looks.js';
import { secretParts } from './multipart.js';
import { type Reading, readingsOf } from './readings.js';
import { isSecretHeaderName, isSecretName, SECRET_PART } from './secret-names.js';
import { endOfBare, endOfParameter, endOfValue, ParameterEnds } from './value-ends.js';
import { isWorthALook } from './worth-a-look.js';

/**
 * Headers as they may be recorded: `name: value`, values that are or look like credentials replaced. Of cookies it is told which methods
 * they ask for, since that was decided on. The same lists have the same lines, which are kept from one time to the next: not to be changed.
 * @param injected - canonical names of the headers the gateway injects
 */
export function redactHeaders(headers: readonly Header[], injected: readonly string[]): readonly string[] {
  const known = REDACTED_LINES.get(headers);
  if (known?.injected === injected) return known.lines;
  const lines = headers.map(([name, value]) => `${name}: ${redactHeader(canonical(name), value, injected)}`);
  REDACTED_LINES.set(headers, { injected, lines });
  return lines;
}

const REDACTED_LINES = new WeakMap<readonly Header[], { injected: readonly string[]; lines: readonly string[] }>();

function redactHeader(plain: string, value: string, injected: readonly string[]): string {
  if (plain === 'cookie') return [REDACTED, ...methodsInCookie(value).map((method) => `_method=${method}`)].join('; ');
  if (isSecretHeader(plain, injected)) return REDACTED;
  if (plain === 'sec-websocket-protocol') return redactProtocols(value);
  return withoutAnyHandle(without(value, formCuts)); // Referer holds a query, and others may
}

function isSecretHeader(plain: string, injected: readonly string[]): boolean {
  return plain.startsWith('daypass-') || injected.includes(plain) || isSecretHeaderName(plain);
}

/** Browsers can say a credential nowhere else: behind its name, as a subprotocol of its own or within one. */
function redactProtocols(value: string): string {
  let isNamed = false;
  return value.replace(/[^\s,]+/g, (protocol) => {
    const [name = '', rest = ''] = protocol.split(/[.:](.*)/s);
    const isSecret = isNamed || isCredentialProtocol(protocol) || (rest !== '' && isSecretName(name));
    isNamed = !isSecret && isSecretName(protocol);
    return isSecret ? REDACTED : redactText(protocol);
  });
}

/** What of a text is not recorded, and what stands there instead. */
interface Cut {
  readonly from: number;
  readonly to: number;
  readonly instead: string;
  /** Where it ends was not said, but taken for the end of the line. */
  readonly isOpen?: boolean;
}

/**
 * A query as it may be recorded: values of parameters named like credentials replaced, up to the next `&`, the name and password
 * before a host, and whatever a text loses. No parameter is lost with another: a policy may ask for each.
 */
export function redactQuery(query: string): string {
  if (query === '' || !isWorthALook(query)) return withoutAnyHandle(query);
  return withoutAnyHandle(
    query
      .split('&')
      .map((parameter) => without(parameter, formCuts))
      .join('&'),
  );
}

/** A path as it may be recorded: what looks like a credential is replaced. */
export function redactPath(path: string): string {
  return CREDENTIAL_PART.test(path) ? without(path, lookCuts) : path;
}

/** A text as it may be recorded: of one that is only a beginning, what is cut off is redacted to its end. */
export function redactText(text: string, whole = true): string {
  return cutHandles(without(text, textCuts), whole);
}

/** The same of a body, which may be a form. */
export function redactBody(text: string, contentType: string, whole = true): string {
  if (/^\s*application\/x-www-form-urlencoded/i.test(contentType)) return cutHandles(without(text, formCuts), whole);
  const parts = /^\s*multipart\//i.test(contentType) ? secretParts(text, contentType, isSecretName) : [];
  return cutHandles(without(text, textCuts, parts), whole);
}

function cutHandles(text: string, whole: boolean): string {
  return whole ? withoutAnyHandle(text) : beginningWithoutAnyHandle(text);
}

function without(
  text: string,
  cutsIn: (reading: Reading) => Iterable<Cut>,
  parts: readonly Omit<Cut, 'instead'>[] = [],
) {
  if (!isWorthALook(text)) return text;
  const cuts: Cut[] = parts.map((part) => ({ ...part, instead: REDACTED }));
  const ends = new ParameterEnds(text);
  for (const reading of readingsOf(text)) {
    for (const { from, to, instead, isOpen } of cutsIn(reading)) {
      const begin = reading.at(from);
      const end = isOpen && cutsIn === formCuts ? Math.min(reading.at(to), ends.behind(begin)) : reading.at(to);
      cuts.push({ from: begin, to: end, instead: reading.level === 0 ? instead : REDACTED });
    }
  }
  return cuts.length === 0 ? text : applied(text, cuts);
}

/** Replaces each stretch once; of those that overlap the first says with what. */
function applied(text: string, cuts: Cut[]): string {
  cuts.sort((one, other) => one.from - other.from || other.to - one.to);
  let safe = '';
  let end = 0;
  for (const { from, to, instead } of cuts) {
    if (from >= end && (from > end || end === 0 || to > from)) safe += text.slice(end, from) + instead;
    end = Math.max(end, to);
  }
  return safe + text.slice(end);
}

/** Before each comes a parameter: some servers separate them by `;`, and an ambiguous target may have several `?`. */
const PARAMETER = /(?:^|[?&;#])([^=&;?#]*)=/g;
/** Name and password before a host (RFC 3986 section 3.2.1). */
const USER_INFO = /:\/\/([^/?#\s"'<>]*)@|\/\/([^/?#\s"'<>:@]+:[^/?#\s"'<>]*)@/g;

/** The same where the end of a text left nothing of the host: behind a colon there would be a port. */
const USER_INFO_BEGUN = /\/\/([^/?#\s"'<>:@]{1,256}:(?!\d*$)[^/?#\s"'<>@]{1,512})$/;
const LONGEST_BEGUN = 1_024;

function* formCuts(reading: Reading): Generator<Cut> {
  if (SECRET_PART.test(reading.text)) yield* valuesIn(reading.text, PARAMETER, isSecretName, endOfParameter);
  yield* textCuts(reading);
}

const ASIDE = String.raw`(?<=\n)data:|/\*(?:(?!\*/)[^]){0,256}\*/|//[^\n]{0,256}\n`;
/** So few asides, since each may hold a name, from which all behind it would be run through once more. */
const BETWEEN = String.raw`\s*(?:(?:${ASIDE})\s*){0,4}`;
/** A member of JSON, with comments, with `=>` as others write it, and over lines of an event stream. */
const MEMBER = new RegExp(String.raw`"([^"\\]*(?:\\.[^"\\]*){0,64})"${BETWEEN}(?::|=>)${BETWEEN}`, 'gs');
const QUOTED_MEMBER = new RegExp(String.raw`'([^'\\]*(?:\\.[^'\\]*){0,64})'${BETWEEN}(?::|=>)${BETWEEN}`, 'gs');
/** `password: …`, `password=…`: lines of headers and of YAML, arguments of GraphQL, attributes, parameters. */
const BARE = /(?<![\w$.-])([A-Za-z_$@][\w$.[\]-]{0,63})[ \t]{0,8}[:=][ \t]{0,8}/g;
/** `--password cat`, `--token=cat`: what is typed into a shell. */
const OPTION = /(?<![\w-])--([A-Za-z][\w-]{0,63})(?:=|[ \t]{1,8}(?=[^\s-]))/g;
const ELEMENT = /<((?:[\w.-]{1,64}:)?([\w.-]{1,128}))(?:\s[^<>]{0,1024})?(?<!\/)>/g;
/** A name and its value that are members or attributes beside each other. */
const PAIR =
  /\b(?:name|key|field|header)["']?\s*[:=]\s*["']([^"'\r\n]{1,128})["'](?:\s*,)?\s*(?:[\w-]{1,64}\s*=\s*["'][^"'<>]{0,256}["']\s*)?["']?(?:value|content)["']?\s*[:=]\s*/gi;

function* textCuts(reading: Reading): Generator<Cut> {
  const { text } = reading;
  yield* lookCuts(reading);
  if (text.includes('//')) yield* userInfoIn(text);
  if (!SECRET_PART.test(text)) return;
  yield* valuesIn(text, MEMBER, isSecretName, endOfValue);
  if (text.includes("'")) yield* valuesIn(text, QUOTED_MEMBER, isSecretName, endOfValue);
  yield* valuesIn(text, PAIR, isSecretName, endOfBare);
  yield* valuesIn(text, BARE, isSecretName, endOfBare, false);
  if (text.includes('--')) yield* valuesIn(text, OPTION, isSecretName, endOfBare, false);
  if (text.includes('<')) yield* elementsIn(text);
}

function* lookCuts({ text }: Reading): Generator<Cut> {
  if (!CREDENTIAL_PART.test(text)) return;
  for (const { 0: all, index } of text.matchAll(CREDENTIAL))
    yield { from: index, to: index + all.length, instead: REDACTED };
}

function* userInfoIn(text: string): Generator<Cut> {
  const [, begun = ''] = USER_INFO_BEGUN.exec(text.slice(-LONGEST_BEGUN)) ?? [];
  if (begun !== '') yield { from: text.length - begun.length, to: text.length, instead: REDACTED };
  if (!text.includes('@')) return;
  for (const { 0: all, 1: behindScheme, 2: named, index } of text.matchAll(USER_INFO)) {
    const to = index + all.length - 1;
    yield { from: to - (behindScheme ?? named ?? '').length, to, instead: REDACTED };
  }
}

/**
 * The values of what is named like a credential: `head` finds a name, `end` where the value behind it ends. Strings keep their
 * quotes, of which the second may have been cut off; in JSON everything else becomes a string.
 */
function* valuesIn(
  text: string,
  head: RegExp,
  isSecret: (name: string) => boolean,
  end: (text: string, from: number) => number,
  isJson = end === endOfValue,
): Generator<Cut> {
  head.lastIndex = 0;
  for (let name = head.exec(text); name !== null; name = head.exec(text)) {
    const from = head.lastIndex;
    if (!isSecret(name[1] ?? '')) continue;
    const to = end(text, from);
    head.lastIndex = to;
    yield valueCut(text, from, to, isJson);
  }
}

function valueCut(text: string, from: number, to: number, isJson: boolean): Cut {
  const quote = text.charAt(from);
  if (quote !== '"' && quote !== "'")
    return isJson ? { from, to, instead: `"${REDACTED}"` } : { from, to, instead: REDACTED, isOpen: true };
  const isClosed = to > from + 1 && text.charAt(to - 1) === quote;
  return { from: from + 1, to: isClosed ? to - 1 : to, instead: REDACTED };
}

/** What stands in elements of XML that are named like credentials, with all elements in them. */
function* elementsIn(text: string): Generator<Cut> {
  ELEMENT.lastIndex = 0;
  for (let head = ELEMENT.exec(text); head !== null; head = ELEMENT.exec(text)) {
    const [, name = '', local = ''] = head;
    if (!isSecretName(local)) continue;
    const from = ELEMENT.lastIndex;
    const close = text.indexOf(`</${name}`, from);
    const to = close === -1 ? text.length : close;
    ELEMENT.lastIndex = to;
    yield { from, to, instead: REDACTED };
  }
}
