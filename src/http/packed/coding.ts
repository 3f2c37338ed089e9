import type { Header } from '../action.js';
import { membersOf, valuesOf } from '../headers/headers.js';

/** How a body is packed (RFC 9110 section 8.4.1); `other`: more than once, or in a way that we do not know. */
export type Coding = 'gzip' | 'deflate' | 'br' | 'other';

const KNOWN = new Map<string, Coding>([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
]);

/** What stands in the field and packs nothing. */
const NOTHING: ReadonlySet<string> = new Set(['identity']);
/** The same of requests: chunks that a store of objects takes apart, and a character set in the wrong place. */
const NOTHING_ASKED: ReadonlySet<string> = new Set(['identity', 'aws-chunked', 'utf-8']);

/** As which a body is said to be packed; null: it is not. */
export function codingOf(headers: readonly Header[]): Coding | null {
  return codingIn(headers, NOTHING);
}

/** As `codingOf`, for services that unpack what they are asked. */
export function codingAsked(headers: readonly Header[]): Coding | null {
  return codingIn(headers, NOTHING_ASKED);
}

function codingIn(headers: readonly Header[], none: ReadonlySet<string>): Coding | null {
  const values = valuesOf(headers, 'content-encoding');
  if (values.length === 0) return null;
  const [first, second] = membersOf(values).filter((coding) => !none.has(coding));
  if (first === undefined) return null;
  return (second === undefined ? KNOWN.get(first) : undefined) ?? 'other';
}

/** So much of a body has to be there, bytes: a header, and the length of a block that is stored. */
const ZLIB_BEGINNING = 5;

/**
 * Whether what is called `deflate` (RFC 9110 section 8.4.1.2) begins with a header, and is nothing to those who read it without one: to
 * them a block is stored there, and its length does not stand there twice (RFC 1951 section 3.2.4).
 */
export function isZlibAlone(beginning: Buffer): boolean {
  if (beginning.byteLength < ZLIB_BEGINNING) return false;
  const header = beginning.readUInt16BE(0);
  if (((header >> 8) & 0x0f) !== 8 || header % 31 !== 0) return false; // RFC 1950 section 2.2
  return (beginning.readUInt16LE(1) ^ beginning.readUInt16LE(3)) !== 0xffff;
}
