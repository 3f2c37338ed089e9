import { withoutHandles } from '../log.js';
import type { Header } from './action.js';

const REDACTED = '[redacted]';
const SECRET_HEADERS = ['authorization', 'proxy-authorization', 'cookie', 'cookie2', 'set-cookie', 'set-cookie2'];
const SECRET_NAME =
  /pass(?:word|wd|phrase)?$|secret|token|api[-_]?key|signature|credential|^(?:auth|sig|code|jwt|session|sid|pin|otp)$/i;

/** Headers as they may be recorded: `name: value`, values that are or look like credentials replaced. */
export function redactHeaders(headers: readonly Header[], injected: readonly string[]): string[] {
  return headers.map(
    ([name, value]) => `${name}: ${isSecretHeader(name, injected) ? REDACTED : withoutHandles(value)}`,
  );
}

function isSecretHeader(name: string, injected: readonly string[]): boolean {
  const plain = name.toLowerCase().replaceAll('_', '-');
  return (
    SECRET_HEADERS.includes(plain) ||
    plain.startsWith('daypass-') ||
    injected.includes(plain) ||
    SECRET_NAME.test(plain)
  );
}

/** A query (or a form's body) as it may be recorded: values of parameters named like credentials replaced. */
export function redactQuery(query: string): string {
  const parts = query.split('&').map((part) => {
    const equals = part.indexOf('=');
    const name = equals === -1 ? part : part.slice(0, equals);
    return equals !== -1 && SECRET_NAME.test(decoded(name.replace(/^\?/, ''))) ? `${name}=${REDACTED}` : part;
  });
  return withoutHandles(parts.join('&'));
}

const JSON_MEMBER = /("((?:[^"\\]|\\.){1,256})"\s{0,8}:\s{0,8}")(?:[^"\\]|\\.)*("|$)/gs;

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

/** The beginning of a body as it may be recorded. A member cut off by the bound is redacted to its end. */
export function redactText(text: string, contentType: string): string {
  if (/^application\/x-www-form-urlencoded/i.test(contentType)) return redactQuery(text);
  const whole = /^multipart\//i.test(contentType) ? redactParts(text) : text;
  const safe = whole.replace(JSON_MEMBER, (member, start: string, name: string, end: string) =>
    SECRET_NAME.test(unescaped(name)) ? `${start}${REDACTED}${end}` : member,
  );
  return withoutHandles(safe);
}

function redactParts(text: string): string {
  return text.replace(FORM_PART, (part, start: string, name: string) =>
    SECRET_NAME.test(name) ? `${start}${REDACTED}` : part,
  );
}
