/**
 * Control characters (C0, DEL, C1), format characters (bidi controls, zero-width, tags, soft hyphen), line and paragraph
 * separators, halves of surrogate pairs, and the invisible fillers of Hangul. None of them reaches a terminal raw (THREATS.md D25, B3).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]/gu;

const NAMES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A text for one line of a terminal: whatever could move a cursor, change an order or hide is shown as a visible escape. */
export function neutral(text: string): string {
  return text.replace(UNSAFE, escapeOf);
}

/** As `neutral`, but line breaks stay breaks: the caller indents the lines that follow, so that none can pose as its own. */
export function neutralLines(text: string): string[] {
  return text.split(/\r?\n/).map(neutral);
}

function escapeOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const named = NAMES[character];
  if (named !== undefined) return named;
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
}
