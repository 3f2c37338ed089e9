import type { GatewayStatus } from './parts.js';

/** What a hint needs to know of a grant. */
export interface Connecting {
  readonly service: string;
  readonly principal: string;
  readonly handle: string;
  /** Whether the principal has an account, and so can log in; not unless given. */
  readonly account?: boolean;
}

/**
 * Lines to paste for a fresh grant: for whoever can log in the way without a password comes first. The handle goes into a header or the environment, never into a URL (THREATS.md A16).
 * A protocol that has no line here simply gets none.
 */
export function connectHints(protocol: string, grant: Connecting, status: GatewayStatus): string[] {
  const lines = linesWithHandle(protocol, grant, status);
  return lines.length > 0 && grant.account === true ? [tunnelLine(grant.service), ...lines] : lines;
}

/** What needs no handle. */
function tunnelLine(service: string): string {
  return `daypass connect ${service}`;
}

function linesWithHandle(protocol: string, grant: Connecting, status: GatewayStatus): string[] {
  if (protocol === 'http' && status.listen.http !== null) return [curlLine(grant, status)];
  if (protocol === 'postgres' && status.listen.postgres !== null)
    return [psqlLine(grant, status.public?.postgres ?? split(status.listen.postgres))];
  return [];
}

function curlLine({ service, handle }: Connecting, status: GatewayStatus): string {
  const address = gatewayAddress(status).replace('://', `://${service}.`);
  return `curl -H 'Authorization: Bearer ${handle}' ${address}/`;
}

/** The gateway's own address for a browser. A proxy that speaks TLS in front of a plain listener has the usual port unless told. */
export function gatewayAddress({ domain, scheme, httpsOnly, listen, public: outside }: GatewayStatus): string {
  if (outside?.url !== undefined) return outside.url;
  const { port } = split(listen.http ?? '');
  const proxied = scheme === 'https' && httpsOnly !== true;
  return `${scheme}://${domain}${proxied || isUsual(scheme, port) ? '' : `:${port}`}`;
}

function isUsual(scheme: string, port: string): boolean {
  return port === (scheme === 'https' ? '443' : '80');
}

function psqlLine(
  { service, principal, handle }: Connecting,
  { host, port }: { readonly host: string; readonly port: string | number },
): string {
  return `PGPASSWORD=${handle} psql "host=${host} port=${port} dbname=${service} user=${principal}"`;
}

/** `127.0.0.1:6432` or `[::1]:6432`; bound to every address, a client on this machine uses loopback. */
function split(listen: string): { host: string; port: string } {
  const at = listen.lastIndexOf(':');
  const host = listen.slice(0, at).replace(/^\[|\]$/g, '');
  return { host: host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port: listen.slice(at + 1) };
}
