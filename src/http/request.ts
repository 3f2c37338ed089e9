import type { Header } from './action.js';
import { FORGET } from './browser/place.js';
import type { Head } from './head.js';
import { valuesOf } from './headers/headers.js';
import { holdsHandle } from './record/disguised.js';
import { type Refusal, refusalFor } from './refusals/deny.js';

/** Bytes of a request's head: more are 431. */
export const HEAD_BYTES = 16 * 1024;
/** More headers than this are refused, never cut off (A8). Their bytes are bounded by the listener. */
const MAX_HEADERS = 200;

/** What a browser that sends too many cookies can do about it: a page that is there for heads which are too long, too. */
export const TOO_LONG = refusalFor('too_large', `The head of the request is larger than ${HEAD_BYTES} bytes.`, {
  status: 431,
  rule: 'readable request',
  hint: 'in a browser, delete the cookies of this site and of the domain above it',
  way: { href: FORGET, text: 'Delete cookies' },
});

/** What is wrong with a request's head before anybody asks whose it is. */
export function faultOf(target: string, head: Head): Refusal | null {
  if (head.fault !== null) return head.fault;
  if (holdsHandle(target)) return HANDLE_IN_URL;
  return takesOver(target, head.headers) ? NO_WORKER : null;
}

/**
 * What is wrong with headers by themselves: too many, or framing that two readers could understand differently. What frames
 * a body is read from nothing else (A6).
 */
export function faultOfHeaders(httpVersion: string, headers: readonly Header[]): Refusal | null {
  if (headers.length > MAX_HEADERS) {
    return refusalFor('too_large', `The request has more than ${MAX_HEADERS} headers.`, { status: 431 });
  }
  const lengths = valuesOf(headers, 'content-length');
  const codings = valuesOf(headers, 'transfer-encoding');
  if (lengths.length > 1 || lengths.some((value) => !/^\d{1,15}$/.test(value))) return badFraming('Content-Length');
  if (codings.length > 1 || codings.some((value) => value.toLowerCase() !== 'chunked'))
    return badFraming('Transfer-Encoding');
  if (codings.length > 0 && (lengths.length > 0 || httpVersion !== '1.1')) return badFraming('Transfer-Encoding');
  return null;
}

/** Never forwarded and never recorded: it says nothing of the target. */
const HANDLE_IN_URL: Refusal = {
  status: 400,
  reason: 'bad_request',
  detail: 'The address of this request holds a handle.',
  rule: 'no handle in a URL',
  hint: 'send it in Authorization: Bearer or Daypass-Handle; have this one revoked, since addresses are written down on their way',
};

/**
 * A service worker of the whole host would hear of the gateway's own addresses there, hand-over codes among them. One from
 * below (`/app/worker.js`) hears of what is below alone, since answers may not widen it (`Service-Worker-Allowed`).
 */
function takesOver(target: string, headers: readonly Header[]): boolean {
  return /^\/[^/?]*(?:\?|$)/.test(target) && valuesOf(headers, 'service-worker').length > 0;
}

const NO_WORKER: Refusal = {
  status: 403,
  reason: 'out_of_scope',
  detail: 'A service worker of the whole host is not let in.',
  rule: 'no service worker over /.daypass',
  hint: 'serve its script from a folder of the application',
};

function badFraming(header: string): Refusal {
  return { status: 400, reason: 'bad_request', detail: `The ${header} of this request is not understood.` };
}
