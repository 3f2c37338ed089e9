/** Informational answers before the one that counts. */
const MOST_INFORMATIONAL = 64;

/**
 * What is wrong with an informational answer (RFC 9110 section 15.2) where it stands; null when nothing is. Services may send hints
 * before any answer. Nobody asked for 100 or 101: a service that says so does not know where it is.
 * @param count - how many there were, with this one
 */
export function faultOfInterim(status: number, count: number): string | null {
  if (status < 102) return `${status}, which nobody asked for`;
  return count > MOST_INFORMATIONAL ? 'no end of informational answers' : null;
}
