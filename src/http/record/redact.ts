import type { Header } from '../action.js';
import { canonical, isCredentialProtocol } from '../headers.js';
import { beginningWithoutAnyHandle, withoutAnyHandle } from './disguised.js';

const REDACTED = '[redacted]';
const SECRET_HEADERS = ['authorization', 'proxy-authorization', 'cookie', 'cookie2', 'set-cookie', 'set-cookie2'];
const SECRET_NAME =
  /pass(?:word|wd|phrase)?$|secret|token|api[-_]?key|signature|credential|^(?:auth|sig|code|jwt|session|sid|pin|otp)$/i;
/** Something of this stands in every name that `SECRET_NAME` fits: a text without it need not be searched name by name. */
const SECRET_PART = /pass|secret|token|key|sig|credential|auth|code|jwt|session|sid|pin|otp/i;

/**
 * Headers as they may be recorded: `name: value`, values that are or look like credentials replaced. The same lists have the
 * same lines, which are kept from one time to the next: not to be changed.
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
  if (isSecretHeader(plain, injected)) return REDACTED;
  if (plain === 'sec-websocket-protocol')
    return value.replace(/[^\s,]+/g, (name) => (isCredentialProtocol(name) ? REDACTED : withoutAnyHandle(name)));
  return redactQuery(value); // Referer holds a query, and others may
}

function isSecretHeader(plain: string, injected: readonly string[]): boolean {
  return (
    SECRET_HEADERS.includes(plain) ||
    plain.startsWith('daypass-') ||
    injected.includes(plain) ||
    SECRET_NAME.test(plain)
  );
}

/** Before each comes a parameter: some servers separate them by `;`, and an ambiguous target may have several `?`. */
const PARAMETER = /(?:^|[?&;#])([^=&;?#]*)=/g;

/**
 * A query, a URL or a form's body as it may be recorded: values of parameters named like credentials replaced, up to the next
 * `&`, and the name and password before a host.
 */
export function redactQuery(query: string): string {
  if (query === '') return query;
  const safe = query.replace(/(:\/\/)[^/?#\s]*@/g, `$1${REDACTED}@`);
  return withoutAnyHandle(
    redactValues(
      safe,
      PARAMETER,
      (name) => isSecretName(decoded(name)),
      endOfParameter,
      () => REDACTED,
    ),
  );
}

function endOfParameter(text: string, from: number): number {
  const end = text.indexOf('&', from);
  return end === -1 ? text.length : end;
}

/** Whether a parameter or a member is named like a credential; of `user[password]` the last part counts. */
function isSecretName(name: string): boolean {
  if (!/[[\].\s]/.test(name)) return SECRET_NAME.test(name);
  const last =
    name
      .trim()
      .replace(/[[\]]+$/, '')
      .split(/[[.]/)
      .at(-1) ?? '';
  return SECRET_NAME.test(name) || SECRET_NAME.test(last);
}

/** Replaces the values of what is named like a credential: `head` finds a name, `end` where the value behind it ends. */
function redactValues(
  text: string,
  head: RegExp,
  isSecret: (name: string) => boolean,
  end: (text: string, from: number) => number,
  instead: (value: string) => string,
): string {
  let safe = '';
  let from = 0;
  head.lastIndex = 0;
  for (let found = head.exec(text); found !== null; found = head.exec(text)) {
    if (!isSecret(found[1] ?? '')) continue;
    const value = head.lastIndex;
    const next = end(text, value);
    safe += text.slice(from, value) + instead(text.slice(value, next));
    from = next;
    head.lastIndex = next;
  }
  return safe + text.slice(from);
}

const JSON_NAME = /"((?:[^"\\]|\\.){1,256})"\s*:\s*/gs;
const JSON_STRING = /"(?:[^"\\]|\\.)*("|$)/sy;
const JSON_WORD = /[^\s,\]}]*/y;

/** Where a JSON value ends: a string, a number or word, or an array or object with all that is in it. */
function endOfValue(text: string, from: number): number {
  let at = from;
  let depth = 0;
  do {
    const character = text.charAt(at);
    if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth -= 1;
    at =
      character === '"'
        ? endOf(JSON_STRING, text, at)
        : /[[\]{},:\s]/.test(character)
          ? at + 1
          : endOf(JSON_WORD, text, at);
  } while (depth > 0 && at < text.length);
  return Math.min(at, text.length);
}

function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? Math.max(pattern.lastIndex, at + 1) : text.length;
}

/** Strings keep their quotes, of which the second may have been cut off; everything else becomes a string. */
function redactedValue(value: string): string {
  if (!value.startsWith('"')) return `"${REDACTED}"`;
  return value.length > 1 && value.endsWith('"') ? `"${REDACTED}"` : `"${REDACTED}`;
}

/** A part of a multipart body: its name, and its content up to the next boundary (RFC 7578). */
const FORM_PART =
  /(content-disposition:[^\r\n]{0,256}?\bname="([^"\r\n]{1,128})"[\s\S]{0,512}?\r?\n\r?\n)[\s\S]*?(?=\r?\n--|$)/gi;

/** A name as the service will read it: percent-decoded. One that cannot be decoded stays as it is. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    return name;
  }
}

/** A JSON string's content as the service will read it. */
function unescaped(name: string): string {
  if (!name.includes('\\')) return name;
  try {
    return String(JSON.parse(`"${name}"`));
  } catch {
    return name;
  }
}

/** A text as it may be recorded: of one that is only a beginning, what is cut off is redacted to its end. */
export function redactText(text: string, contentType: string, whole = true): string {
  const handles = whole ? withoutAnyHandle : beginningWithoutAnyHandle;
  if (/^application\/x-www-form-urlencoded/i.test(contentType)) return handles(redactQuery(text));
  const parts = /^multipart\//i.test(contentType) ? redactParts(text) : text;
  if (!text.includes('\\') && !SECRET_PART.test(text)) return handles(parts);
  const isSecret = (name: string) => isSecretName(unescaped(name));
  return handles(redactValues(parts, JSON_NAME, isSecret, endOfValue, redactedValue));
}

function redactParts(text: string): string {
  return text.replace(FORM_PART, (part, start: string, name: string) =>
    isSecretName(name) ? `${start}${REDACTED}` : part,
  );
}
