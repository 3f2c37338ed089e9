import { isUtf8 } from 'node:buffer';

/**
 * The text that bytes are; null when they are none.
 * @param whole - false for a beginning: its last character may be cut in two, and is left out then
 */
export function textOf(bytes: Buffer, whole = true): string | null {
  return textWithoutNul(bytes, whole, 0);
}

/**
 * The text that a WebSocket's message is, or its beginning; null when it is none. The first byte of a binary one may be NUL: in
 * Kubernetes' `remotecommand` it names the channel, and that of what somebody types is 0.
 */
export function messageText(frame: string, bytes: Buffer, whole = true): string | null {
  return textWithoutNul(bytes, whole, frame === 'binary' ? 1 : 0);
}

function textWithoutNul(bytes: Buffer, whole: boolean, from: number): string | null {
  const complete = whole ? bytes : bytes.subarray(0, lastWholeCharacter(bytes));
  return isUtf8(complete) && !complete.includes(0, from) ? complete.toString('utf8') : null;
}

function lastWholeCharacter(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) return bytes.length - back;
    if (byte < 0x80) break;
  }
  return bytes.length;
}

/** Of a longer one nobody can tell what it names, and it would take long to look: no type has so many characters. */
const LONGEST_TYPE = 1_000;

/** Whether every character set that a content type may name is one of these; if nothing is said, has ASCII's characters at ASCII's places. */
export function isReadableAs(type: string, isOne: (name: string) => boolean = isAsciiSet): boolean {
  if (type.length > LONGEST_TYPE) return false;
  const named = [...type.matchAll(/charset([^=;]*)=\s*["']?([^\s;"',]*)/gi)];
  return named.every(([, more = '', set = '']) => more.trim() === '' && isOne(set));
}

/** Whether a character set has ASCII's characters at ASCII's places. */
export function isAsciiSet(name: string): boolean {
  return /^(?:utf-?8|(?:us-)?ascii|iso-8859-\d+|latin-?1|windows-125\d|euc-(?:jp|kr)|shift_jis|gb2312|gbk|big5)$/i.test(
    name,
  );
}
