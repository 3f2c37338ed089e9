import { isIPv4, isIPv6 } from 'node:net';

/** A TCP address. An IPv6 host stands without its brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** An `http:` or `https:` address without credentials, query or fragment. */
export interface WebAddress {
  /** The whole address, normalised, without a trailing slash. */
  readonly href: string;
  /** Scheme, host and port: `http://127.0.0.1:7080`. */
  readonly origin: string;
  /** What stands before every forwarded path: empty, or `/base` without a trailing slash. */
  readonly basePath: string;
}

const BRACKETED = /^\[([0-9A-Fa-f:.]+)\]:(\d{1,5})$/;
const PLAIN = /^([A-Za-z0-9.-]+):(\d{1,5})$/;
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/**
 * Reads `127.0.0.1:8080`, `[::1]:8080` or `db.internal:5432`.
 * Hosts that only look like names (`127.1`, `0x7f.1`) are refused: resolvers disagree about them.
 * @returns undefined when the text is no such address
 */
export function parseAddress(text: string): Address | undefined {
  const bracketed = BRACKETED.exec(text);
  const match = bracketed ?? PLAIN.exec(text);
  const host = match?.[1];
  if (match === null || host === undefined) return undefined;
  const port = Number(match[2]);
  if (port > 65_535) return undefined;
  const known = bracketed === null ? isIPv4(host) || isHostName(host) : isIPv6(host);
  return known ? { host, port } : undefined;
}

function isHostName(host: string): boolean {
  const labels = host.split('.');
  const last = labels.at(-1) ?? '';
  return host.length <= 253 && labels.every((label) => LABEL.test(label)) && !/^(?:\d+|0[xX][0-9A-Fa-f]*)$/.test(last);
}

/**
 * Reads an upstream's web address.
 * @returns undefined when the text is not http(s), or carries credentials, a query, a fragment or a backslash
 */
export function parseWebAddress(text: string): WebAddress | undefined {
  if (!/^https?:\/\/[^\s\\?#@]+$/.test(text) || !URL.canParse(text)) return undefined;
  const { origin, pathname } = new URL(text);
  const basePath = pathname.replace(/\/+$/, '');
  return { href: origin + basePath, origin, basePath };
}

/** Whether only this machine can reach a listener on this host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
