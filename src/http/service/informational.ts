import type { ResponseHead } from './response-head.js';

/** Informational answers before the one that counts. */
const MOST_INFORMATIONAL = 64;

/**
 * What is wrong with the head of an informational answer, a 101 among them; null when nothing is.
 * RFC 9110 sections 8.6 and 15.2, RFC 9112 section 6.1: HTTP/1.0 knows no such answer, and none has a body. That of a service
 * which says otherwise would begin for one reader where for another what comes next does. `Content-Length: 0` is harmless:
 * many services send it, and all readers agree on it.
 */
export function faultOfInformational({ version, framing }: ResponseHead): string | null {
  if (version !== '1.1') return 'an informational answer that is not of HTTP/1.1';
  return framing === 'close' || framing === 0 ? null : 'an informational answer with a body';
}

/**
 * What is wrong with an informational answer (RFC 9110 section 15.2) where it stands; null when nothing is. Services may send hints
 * before any answer. Nobody asked for 100; nor for 101, where it comes here: a service that says so does not know where it is.
 * @param count - how many there were, with this one
 */
export function faultOfInterim(head: ResponseHead, count: number): string | null {
  if (head.status < 102) return `${head.status}, which nobody asked for`;
  return count > MOST_INFORMATIONAL ? 'no end of informational answers' : faultOfInformational(head);
}
