import { outOfDate } from './pem.js';
import type { ServicePolicy } from './protocol.js';

/**
 * Which of the certificates that the gateway shows are believed by nobody at this time, in words. It is no fault of the configuration: what
 * takes access away must not wait for a new certificate.
 * @param tls - what clients are shown
 * @param now - milliseconds since the epoch
 */
export function outdated(
  tls: { readonly cert: string } | undefined,
  services: Iterable<Pick<ServicePolicy, 'name' | 'certificate'>>,
  now: number,
): readonly string[] {
  const shown: [string, string | null][] = [['the TLS certificate', tls?.cert ?? null]];
  for (const { name, certificate } of services) shown.push([`the client certificate of ${name}`, certificate]);
  return shown.flatMap(([which, cert]) => {
    const fault = cert === null ? null : outOfDate(cert, now);
    return fault === null ? [] : [`${which} ${fault}`];
  });
}
