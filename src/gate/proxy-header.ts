import { isIPv4, isIPv6 } from 'node:net';
import { plainAddress } from '../config/proxies.js';

/**
 * How a connection begins that a proxy passes on: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, versions 1 and 2.
 */
export type ProxyHeader =
  /** What is there may become one. */
  | { readonly kind: 'begun' }
  | {
      readonly kind: 'whole';
      /** Bytes; what comes after is the client's. */
      readonly length: number;
      /** Whom the connection is passed on for; null when it is the proxy's own, `unknown` when the proxy does not say. */
      readonly source: { readonly address: string; readonly port: number } | 'unknown' | null;
    }
  | { readonly kind: 'garbage'; readonly why: string };

/** The longest header of version 2 that is taken, bytes; what it holds besides addresses is not looked at. */
export const MOST_HEADER = 4_096;
const BEGUN: ProxyHeader = { kind: 'begun' };
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const FIRST_WORD = Buffer.from('PROXY ');
/** Of version 1, its line break included (section 2.1). */
const LONGEST_LINE = 107;

/** Reads what a connection began with. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (beginsAs(bytes, SIGNATURE)) return bytes.length < SIGNATURE.length + 4 ? BEGUN : readBinary(bytes);
  if (beginsAs(bytes, FIRST_WORD)) return readLine(bytes);
  return garbage('neither version 1 nor version 2');
}

function beginsAs(bytes: Buffer, expected: Buffer): boolean {
  const length = Math.min(bytes.length, expected.length);
  return bytes.subarray(0, length).equals(expected.subarray(0, length));
}

function garbage(why: string): ProxyHeader {
  return { kind: 'garbage', why };
}

/** Section 2.1. */
const LINE = /^PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/;
/** Somebody, whom the proxy cannot say (HAProxy: an IPv4 client of an IPv6 address): what follows in the line is not to be looked at. */
const UNKNOWN = /^PROXY UNKNOWN(?: [ -~]*)?$/;

function readLine(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, LONGEST_LINE).indexOf('\r\n');
  if (end === -1) return bytes.length < LONGEST_LINE ? BEGUN : garbage('a line that does not end');
  const line = bytes.toString('latin1', 0, end);
  const length = end + 2;
  if (UNKNOWN.test(line)) return { kind: 'whole', length, source: 'unknown' };
  const [, family, from = '', to = '', ...ports] = LINE.exec(line) ?? [];
  const [port = 0, ...others] = ports.map(Number);
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6;
  if (family === undefined || !isAddress(from) || !isAddress(to)) return garbage('addresses of version 1');
  if ([port, ...others].some((one) => one > 65_535)) return garbage('ports of version 1');
  return wholeOf(length, from, port);
}

function wholeOf(length: number, text: string, port: number): ProxyHeader {
  const address = plainAddress(text);
  return address === null ? garbage('an address') : { kind: 'whole', length, source: { address, port } };
}

/** Section 2.2: version and command, family, then how much follows. */
function readBinary(bytes: Buffer): ProxyHeader {
  const [command = 0, family = 0] = bytes.subarray(SIGNATURE.length);
  const start = SIGNATURE.length + 4;
  const length = start + bytes.readUInt16BE(SIGNATURE.length + 2);
  if (command !== LOCAL && command !== PROXY) return garbage('a version or command that is not known');
  if (length > MOST_HEADER) return garbage(`more than ${MOST_HEADER} bytes`);
  if (bytes.length < length) return BEGUN;
  if (command === LOCAL) return { kind: 'whole', length, source: null };
  if (family === UNSPECIFIED) return { kind: 'whole', length, source: 'unknown' };
  return readAddresses(bytes.subarray(start, length), family, length);
}

const LOCAL = 0x20;
const PROXY = 0x21;
const UNSPECIFIED = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;

function readAddresses(block: Buffer, family: number, length: number): ProxyHeader {
  if (family !== TCP4 && family !== TCP6) return garbage('neither TCP over IPv4 nor over IPv6');
  const size = family === TCP4 ? 4 : 16;
  const ports = 2 * size;
  if (block.length < ports + 4) return garbage('too short for its addresses');
  if (!areWhole(block.subarray(ports + 4))) return garbage('additions that break their lengths');
  return wholeOf(length, wordsOf(block.subarray(0, size)), block.readUInt16BE(ports));
}

function wordsOf(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  return Array.from({ length: 8 }, (_, at) => address.readUInt16BE(at * 2).toString(16)).join(':');
}

/** What else is told (type, length, value) must fill the header to its end. */
function areWhole(additions: Buffer): boolean {
  let at = 0;
  while (at + 3 <= additions.length) at += 3 + additions.readUInt16BE(at + 1);
  return at === additions.length;
}
