import { isIP } from 'node:net';
import type { WebAddress } from '../../config/address.js';

/** Where connections to a service lead. */
export interface Reached {
  readonly host: string;
  readonly port: number;
  readonly isSecure: boolean;
  /** The name that its certificate is asked for and verified by; empty for an address, which it is verified by then. */
  readonly servername: string;
}

/** Read once for each way to a service, and for each WebSocket. */
export function reachedAt({ origin }: WebAddress): Reached {
  const { protocol, hostname, port } = new URL(origin);
  const host = hostname.replace(/^\[|\]$/g, '');
  const isSecure = protocol === 'https:';
  return { host, port: Number(port || (isSecure ? 443 : 80)), isSecure, servername: isIP(host) === 0 ? host : '' };
}
