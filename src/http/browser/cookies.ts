import { trimmed } from '../headers/header-line.js';

/**
 * The gateway's cookies. `__Host-` keeps them to one host: browsers take one only with Secure, with `Path=/` and without a
 * Domain, so that no sibling host can set or see it (RFC 6265bis section 4.1.3.2).
 */
export const SESSION_COOKIE = '__Host-daypass';
/** How the names of what a browser keeps while it is handed over begin: each tab that is has one of its own. */
export const STATE_COOKIES = '__Host-dp-state';
/** What binds a login at the company's directory to the browser that began it; at the gateway's own host. */
export const FLOW_COOKIE = '__Host-dp-flow';
/** What a browser keeps at the gateway's own host while a passkey is made or used: nobody else can finish what it began. */
export const CEREMONY_COOKIE = '__Host-dp-ceremony';

const OURS = new RegExp(`^(?:${SESSION_COOKIE}$|${STATE_COOKIES})`, 'i');
/** A nameless cookie is sent back as its value alone: one that spells our name would come back as ours. */
const SETS_OURS = new RegExp(`^[\\s=]*(?:${SESSION_COOKIE}\\s*(?:[=;]|$)|${STATE_COOKIES})`, 'i');

/**
 * What a host beside this one may set for both: browsers look for `__Host-` at the beginning of a name, and U+00A0 is no blank to
 * them. To services that take it for one (Python's `strip`, Java's and JavaScript's `trim`) it would be their own cookie.
 */
const POSES = /^[^!-~]+__(?:host|secure)-/i;

/**
 * The values of all cookies of a name, in order: more than one means that somebody else set one.
 * @param values - of the request's Cookie headers
 */
export function cookiesNamed(values: readonly string[], name: string): string[] {
  return values.flatMap(cookiesOf).flatMap((cookie) => (nameOf(cookie) === name ? [contentOf(cookie)] : []));
}

/** The cookies whose names begin so, by name and in order; one that is there more than once is nobody's. */
export function cookiesBeginning(values: readonly string[], beginning: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const twice = new Set<string>();
  for (const cookie of values.flatMap(cookiesOf)) {
    const name = nameOf(cookie);
    if (!name.startsWith(beginning)) continue;
    if (found.has(name)) twice.add(name);
    found.set(name, contentOf(cookie));
  }
  for (const name of twice) found.delete(name);
  return found;
}

/**
 * A Cookie header's value without our cookies, in any spelling, and without what poses as a cookie of this host alone; empty when
 * there are no others. As it is when those are not in it.
 */
export function withoutOurCookies(value: string): string {
  const cookies = cookiesOf(value);
  const kept = cookies.filter((cookie) => !OURS.test(nameOf(cookie)) && !POSES.test(cookie));
  return kept.length === cookies.length ? value : kept.join('; ');
}

/** Whether a Set-Cookie of a service would set a cookie of ours. */
export function setsOurs(value: string): boolean {
  return SETS_OURS.test(value);
}

/** A Set-Cookie for one of our cookies. @param seconds - how long the browser keeps it; 0 takes it away */
export function setCookie(name: string, value: string, seconds: number): string {
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=${Math.max(0, Math.floor(seconds))}`;
}

/** The Set-Cookie for a login, or for a session at a service, as long as that lasts. @param now - milliseconds since the epoch, as its end */
export function sessionCookie({ secret, expiresAt }: { secret: string; expiresAt: number }, now: number): string {
  return setCookie(SESSION_COOKIE, secret, (expiresAt - now) / 1_000);
}

/** Blanks and tabs alone are left out around names and values, as browsers do (RFC 6265 section 5.2). */
function cookiesOf(value: string): string[] {
  return value
    .split(';')
    .map(trimmed)
    .filter((cookie) => cookie !== '');
}

function nameOf(cookie: string): string {
  const end = cookie.indexOf('=');
  return trimmed(end === -1 ? cookie : cookie.slice(0, end));
}

function contentOf(cookie: string): string {
  return trimmed(cookie.slice(cookie.indexOf('=') + 1));
}
