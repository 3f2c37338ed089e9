import { withoutHandles } from '../log.js';
import type { Header } from './action.js';

const REDACTED = '[redacted]';
const SECRET_HEADERS = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie'];
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
    return equals !== -1 && SECRET_NAME.test(name.replace(/^\?/, '')) ? `${name}=${REDACTED}` : part;
  });
  return withoutHandles(parts.join('&'));
}

const JSON_MEMBER = /("([^"\\]{1,64})"\s{0,8}:\s{0,8}")(?:[^"\\]|\\.)*("|$)/gs;

/** The beginning of a body as it may be recorded. A member cut off by the bound is redacted to its end. */
export function redactText(text: string, contentType: string): string {
  if (/^application\/x-www-form-urlencoded/i.test(contentType)) return redactQuery(text);
  const safe = text.replace(JSON_MEMBER, (whole, start: string, name: string, end: string) =>
    SECRET_NAME.test(name) ? `${start}${REDACTED}${end}` : whole,
  );
  return withoutHandles(safe);
}
