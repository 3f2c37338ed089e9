/**
 * The gateway's cookies. `__Host-` keeps them to one host: browsers take one only with Secure, with `Path=/` and without a
 * Domain, so that no sibling host can set or see it (RFC 6265bis section 4.1.3.2).
 */
export const SESSION_COOKIE = '__Host-daypass';
/** What a browser keeps while it is handed over. */
export const STATE_COOKIE = '__Host-dp-state';

const OURS = [SESSION_COOKIE, STATE_COOKIE].map((name) => name.toLowerCase());
/** A nameless cookie is sent back as its value alone: one that spells our name would come back as ours. */
const SETS_OURS = new RegExp(`^[\\s=]*(?:${OURS.join('|')})\\s*(?:[=;]|$)`, 'i');

/**
 * The values of all cookies of a name, in order: more than one means that somebody else set one.
 * @param values - of the request's Cookie headers
 */
export function cookiesNamed(values: readonly string[], name: string): string[] {
  return values
    .flatMap(cookiesOf)
    .flatMap((cookie) => (nameOf(cookie) === name ? [cookie.slice(cookie.indexOf('=') + 1).trim()] : []));
}

/** A Cookie header's value without our cookies, in any spelling; empty when there are no others. As it is when ours are not in it. */
export function withoutOurCookies(value: string): string {
  const cookies = cookiesOf(value);
  const kept = cookies.filter((cookie) => !OURS.includes(nameOf(cookie).toLowerCase()));
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

function cookiesOf(value: string): string[] {
  return value
    .split(';')
    .map((cookie) => cookie.trim())
    .filter((cookie) => cookie !== '');
}

function nameOf(cookie: string): string {
  const end = cookie.indexOf('=');
  return (end === -1 ? cookie : cookie.slice(0, end)).trim();
}
