/** An escape of a URL (RFC 3986 section 2.1), for `replace`. */
export const ESCAPE = /%([0-9A-Fa-f]{2})/g;

/** The character of a byte, or of a code unit, that is written in hexadecimal. */
export function characterOf(digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 16));
}

/** The escape of a character that is a byte. */
export function escapeOf(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** Without escapes: each is the character of its byte. */
export function unescaped(text: string): string {
  return text.includes('%') ? text.replace(ESCAPE, (_, digits: string) => characterOf(digits)) : text;
}
