import { parseHandle } from '../grant/handle.js';
import type { Header } from './action.js';
import { valuesOf } from './headers/headers.js';
import { holdsOurs } from './record/disguised.js';

/** What a client presented: one credential or none; null when it contradicts itself. */
export type Credential = {
  readonly presented: string | null;
  /** Browsers send it by themselves with whatever any page asks for: whose idea a request was is to be asked first. */
  readonly isAmbient: boolean;
} | null;

/**
 * The handle of a request: `Authorization: Bearer <handle>`, `Daypass-Handle: <handle>`, or either half of
 * `Authorization: Basic` (RFC 7617), which is all that git, pip, docker and many others can send. None is ever forwarded.
 * @returns null when one stands twice or two differ: nobody guesses which one was meant
 */
export function readCredential(headers: readonly Header[]): Credential {
  const schemes = valuesOf(headers, 'authorization');
  const handles = valuesOf(headers, 'daypass-handle').map((value) => value.trim());
  if (schemes.length > 1 || handles.length > 1) return null;
  const [handle] = handles;
  const [authorization] = schemes;
  const authorized = authorization === undefined ? undefined : handleIn(authorization);
  if (authorized === null) return null;
  // Another credential beside a handle (Basic for the service itself) is not ours to forward, nor a second one of ours.
  if (handle !== undefined) {
    const isOne = authorized === undefined || authorized === '' || authorized === handle;
    return isOne ? { presented: handle, isAmbient: false } : null;
  }
  return { presented: authorized ?? null, isAmbient: authorization !== undefined && BASIC.test(authorization) };
}

/**
 * Whether the client's `Authorization` is none of ours: one, and without any handle or token of the gateway's in it, however written.
 * It is the service's where the policy passes it on (docs/decisions/0056), and then says nothing to us.
 */
export function hasForeignAuthorization(headers: readonly Header[]): boolean {
  const [authorization, ...more] = valuesOf(headers, 'authorization');
  return authorization !== undefined && more.length === 0 && !holdsOurs(authorization);
}

/** The credential of a request whose `Authorization` is for the service. */
export function readCredentialBeside(headers: readonly Header[]): Credential {
  return readCredential(headers.filter(([name]) => name.toLowerCase() !== 'authorization'));
}

const BASIC = /^basic(?: |$)/i;

/** The handle in a value of Authorization; empty when it is something else, null when it holds two. */
function handleIn(authorization: string): string | null {
  const [, bearer] = /^bearer +(\S+) *$/i.exec(authorization) ?? [];
  if (bearer !== undefined) return bearer;
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization) ?? [];
  if (encoded === undefined) return '';
  const typed = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = typed.indexOf(':');
  const halves = colon === -1 ? [] : [typed.slice(0, colon), typed.slice(colon + 1)];
  const [one = '', other = one] = halves.filter((half) => parseHandle(half) !== null);
  return one === other ? one : null;
}

/** For answers where there is no request to look at, or no service. */
export const BEARER_CHALLENGE = 'Bearer realm="daypass"';
const BASIC_CHALLENGE = 'Basic realm="daypass", charset="UTF-8"';

/**
 * What a 401 of a service's host asks for (RFC 9110 section 11.6.1): Basic of tools, since those that speak it wait to be asked,
 * and some (OCI clients) take any Bearer for a token service of their own. Never of a browser, which would put its
 * own window for a password over a page, and of nobody who showed that Bearer is known.
 */
export function challengeFor(headers: readonly Header[]): string {
  const [authorization] = valuesOf(headers, 'authorization');
  if (isBrowser(headers) || valuesOf(headers, 'daypass-handle').length > 0) return BEARER_CHALLENGE;
  return authorization === undefined || BASIC.test(authorization) ? BASIC_CHALLENGE : BEARER_CHALLENGE;
}

/** `Sec-Fetch-Mode` alone does not tell: Node's `fetch` sends it, too. Browsers name themselves so where it is not sent. */
function isBrowser(headers: readonly Header[]): boolean {
  return (
    valuesOf(headers, 'sec-fetch-site').length > 0 ||
    valuesOf(headers, 'user-agent').some((value) => value.startsWith('Mozilla/'))
  );
}
