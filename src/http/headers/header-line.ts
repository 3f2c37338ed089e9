import type { Header } from '../action.js';
import { MalformedMessage } from '../malformed.js';

/** RFC 9112 section 5: a token, a colon right behind it, a value without control characters. Neither folding nor bare CR or LF. */
const LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;

/** Reads a header line without its end. @throws MalformedMessage */
export function readHeaderLine(line: string): Header {
  const [, name, value] = LINE.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new MalformedMessage('a header that is none');
  return [name, trimmed(value)];
}

/** Without the blanks and tabs around it; `trim` would take U+00A0 away, too, and an expression take quadratic time. */
export function trimmed(value: string): string {
  let [from, to] = [0, value.length];
  while (from < to && isBlank(value.charCodeAt(from))) from += 1;
  while (to > from && isBlank(value.charCodeAt(to - 1))) to -= 1;
  return value.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Names and values as RFC 9110 section 5 has them; what is beyond latin1 would become other bytes on its way out. */
const LINES = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/** Header lines as they are sent, each with its end; null when one of them would be read as something else. */
export function headerLines(headers: Iterable<readonly [string, string]>): string | null {
  let lines = '';
  for (const [name, value] of headers) lines += `${name}: ${value}\r\n`;
  return LINES.test(lines) ? lines : null;
}
