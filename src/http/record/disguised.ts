import { REDACTED, withoutHandles } from '../../log.js';

/** One character as a URL or a JSON string may spell it too: `%64`, `%2564`, `\u0064`. */
function spelled(character: string): string {
  const hex = character.charCodeAt(0).toString(16);
  return `(?:${character}|%(?:25)*${hex}|\\\\u00${hex})`;
}

const PREFIX = [...'dp_'].map(spelled).join('');
const LETTER = '(?:[0-9A-Za-z]|%(?:25)*[3-7][0-9A-Fa-f]|\\\\u00[3-7][0-9A-Fa-f])';
/** A grant's id and at least the beginning of its secret. */
const SPELLED = new RegExp(`${PREFIX}${LETTER}{22}${spelled('_')}${LETTER}+`, 'gi');
const WHOLE = new RegExp(`${PREFIX}${LETTER}{22}${spelled('_')}${LETTER}{43}`, 'i');
/** A handle of which the end of a text left only the beginning, down to `dp_`. */
const CUT_OFF = new RegExp(`${PREFIX}${LETTER}{0,22}(?:${spelled('_')}${LETTER}*)?$`, 'i');
/** Longer than digests are, of which one in many millions would pass for the beginning of a handle. */
const WHOLE_HEX = /64705f(?:[3-7][0-9a-f]){22}5f(?:[3-7][0-9a-f]){43}/i;
const HEX = /64705f[0-9a-f]{44}5f[0-9a-f]*/gi;
/** `dp_` in base64, at each of the three places it can have in a group of four. */
const BASE64 = /ZHBf|[GWm2]RwX|kcF[89]/g;
/** Lines that follow one another belong together. */
const BASE64_RUN = /[A-Za-z0-9+/_=-]*(?:\r?\n[A-Za-z0-9+/_=-]+)*/y;
/** Where a group of four begins, seen from a hit. */
const GROUP_AT: Readonly<Record<string, number>> = { Z: 0, k: 1 };

/** The id and one character of the secret. */
const SHORTEST = 27;

/**
 * Whether a handle stands in a target, plain, escaped, in hex or as tools that speak Basic keep it, in base64: what stands in a
 * URL is seen by many (THREATS.md A16).
 */
export function holdsHandle(target: string): boolean {
  if (target.length < SHORTEST) return false;
  return WHOLE.test(target) || WHOLE_HEX.test(target) || withoutBase64(target) !== target;
}

/** Whether a value holds anything that lets in here: a handle, or a token of somebody's command line. */
export function holdsOurs(value: string): boolean {
  return withoutAnyHandle(value) !== value || /dpt_/i.test(value) || /dpt_/.test(decodedBase64(value));
}

/** What a value says that is base64 as a whole behind its first word, as with Basic; its bytes as characters. */
function decodedBase64(value: string): string {
  return Buffer.from(value.slice(value.indexOf(' ') + 1), 'base64').toString('latin1');
}

/** Replaces handles in a text, also those that are escaped, in hex or in base64. Of a plain one the grant's id stays. */
export function withoutAnyHandle(text: string): string {
  if (text.length < SHORTEST) return text;
  return withoutBase64(withoutHandles(text).replace(SPELLED, REDACTED).replace(HEX, REDACTED));
}

/** The same for the beginning of a text: what may be the beginning of a handle goes from its end, too. */
export function beginningWithoutAnyHandle(text: string): string {
  return withoutAnyHandle(text).replace(CUT_OFF, REDACTED);
}

function withoutBase64(text: string): string {
  let safe = '';
  let from = 0;
  BASE64.lastIndex = 0;
  for (let hit = BASE64.exec(text); hit !== null; hit = BASE64.exec(text)) {
    const group = hit.index + (GROUP_AT[hit[0].charAt(0)] ?? -1);
    if (!/p_[0-9A-Za-z]{22}_/.test(Buffer.from(text.slice(group, group + 160), 'base64').toString('latin1'))) continue;
    BASE64_RUN.lastIndex = hit.index;
    BASE64_RUN.exec(text);
    safe += text.slice(from, hit.index) + REDACTED;
    from = BASE64_RUN.lastIndex;
    BASE64.lastIndex = from;
  }
  return safe + text.slice(from);
}
