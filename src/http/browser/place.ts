/** Paths of a service's host that are the gateway's own, and reach no service. */
export const OWN_PATHS = '/.daypass';

/** The page where a browser is freed of too many cookies, at every host. */
export const FORGET = `${OWN_PATHS}/forget`;

/** Whether a normalised path belongs to the gateway, also to those who take an escaped slash for one. */
export function isOwnPath(path: string): boolean {
  return path === OWN_PATHS || path.startsWith(`${OWN_PATHS}/`) || path.startsWith(`${OWN_PATHS}%2F`);
}

/**
 * How browsers reach the gateway. Off `localhost` it is TLS in any case, its own or that of a proxy on this machine: browsers
 * keep `__Host-` cookies of no other place.
 * @param url - what the configuration says of it
 */
export function schemeOf(domain: string, tls: boolean, url?: string): 'http' | 'https' {
  if (url !== undefined) return url.startsWith('https:') ? 'https' : 'http';
  return tls || !(domain === 'localhost' || domain.endsWith('.localhost')) ? 'https' : 'http';
}

/**
 * The origin of the gateway's own pages, as browsers spell it. A proxy that speaks TLS in front of a plain listener has the usual
 * port unless told.
 * @param tls - whether the listener speaks TLS itself
 * @param url - what the configuration says of it
 */
export function originOf(domain: string, tls: boolean, port: number, url?: string): string {
  if (url !== undefined) return url;
  const scheme = schemeOf(domain, tls);
  const usual = scheme === 'https' ? 443 : 80;
  const proxied = scheme === 'https' && !tls;
  return `${scheme}://${domain}${proxied || port === usual ? '' : `:${port}`}`;
}

/** The gateway's own host, seen from a service's: both with the port that the client asked for. */
export function gatewayHost(host: string, service: string): string {
  return host.slice(service.length + 1);
}
