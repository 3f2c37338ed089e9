import type { Header } from '../action.js';
import { valuesOf } from '../headers/headers.js';
import { prefersHtml } from '../refusals/deny.js';

/*
 * Whose idea a request with a cookie was. Browsers send cookies along with what other sites ask for; a request counts as the
 * person's own only when the browser says that it comes from the very same origin. Sibling hosts are other origins:
 * `Sec-Fetch-Site: same-site` is foreign.
 */

/** What a browser says of where a request comes from. `null`: it says nothing; `twice`: somebody else spoke, too. */
function said(headers: readonly Header[], name: string): string | null {
  const [value, ...more] = valuesOf(headers, name);
  return more.length > 0 ? 'twice' : (value ?? null);
}

/**
 * Why a request that a cookie vouches for is refused; null when it is not.
 * @param own - the origin of the host that is asked, `https://web.gw.example.com`
 */
export function foreignRequest(method: string, headers: readonly Header[], own: string): string | null {
  const origin = said(headers, 'origin');
  const site = said(headers, 'sec-fetch-site');
  if (origin !== null && origin !== 'null' && origin !== own) return 'it comes from another origin';
  if (site === 'same-origin') return null;
  if (isAhead(headers)) return 'it was fetched ahead, before anybody went there';
  if (method !== 'GET' && method !== 'HEAD')
    return site === null && origin === own ? null : 'it does not come from a page of this host';
  if (site === null) return origin === 'null' ? 'it comes from another origin' : null;
  return site === 'none' || isTopNavigation(method, headers) ? null : 'it comes from another site';
}

/** As `foreignRequest` for a WebSocket, whose messages no other mechanism of browsers protects: the origin must be exact. */
export function foreignSocket(headers: readonly Header[], own: string): string | null {
  if (said(headers, 'origin') !== own) return 'its Origin is not this host';
  const site = said(headers, 'sec-fetch-site');
  return site === null || site === 'same-origin' ? null : 'it comes from another site';
}

/** Whether a browser says that a page of this very host asks. No proof of anything: others may say so, too. */
export function isOfOwnPage(headers: readonly Header[], own: string): boolean {
  const site = said(headers, 'sec-fetch-site');
  return site === null ? said(headers, 'origin') === own : site === 'same-origin';
}

/** Whether a browser says that a form was sent, and waits for a page. */
export function isForm(method: string, headers: readonly Header[]): boolean {
  return method === 'POST' && said(headers, 'sec-fetch-mode') === 'navigate';
}

/** Whether a person goes to a page in a whole tab: only then a redirect leads them anywhere. */
export function isNavigation(method: string, headers: readonly Header[]): boolean {
  if (method !== 'GET' || isAhead(headers) || !prefersHtml(said(headers, 'accept') ?? undefined)) return false;
  return said(headers, 'sec-fetch-mode') === null || isTopNavigation(method, headers);
}

/**
 * Whether a browser fetches a page before anybody goes there. Pages of siblings can have it do so, unseen and with cookies, and
 * Chromium then says `Sec-Fetch-Site: none` and that it is a navigation (speculation rules). It asks again when somebody goes there.
 */
function isAhead(headers: readonly Header[]): boolean {
  return valuesOf(headers, 'sec-purpose').length > 0;
}

function isTopNavigation(method: string, headers: readonly Header[]): boolean {
  const [mode, dest] = [said(headers, 'sec-fetch-mode'), said(headers, 'sec-fetch-dest')];
  return method === 'GET' && mode === 'navigate' && dest === 'document';
}
