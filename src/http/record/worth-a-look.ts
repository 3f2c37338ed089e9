import { CREDENTIAL_PART } from './looks.js';
import { SECRET_PART } from './secret-names.js';

/** Something of this stands in whatever is cut out of a record, in whatever case. */
const PART = new RegExp(`${SECRET_PART.source}|${CREDENTIAL_PART.source}|//|[\\\\%]`, 'i');

/** Whether a text may hold something that is cut out. That most hold nothing is found out in a fifth of the time that `PART` takes. */
export function isWorthALook(text: string): boolean {
  return mayHoldPart(text) && PART.test(text);
}

/** Three characters at a time, each by its class: whether so begins one of the parts, or so ends one that is no longer. */
function mayHoldPart(text: string): boolean {
  let last = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    last = ((last << CLASS_BITS) | (code < ASCII ? CLASSES[code]! : 0)) & LAST_THREE;
    if (BEGINNINGS[last] !== 0) return true;
  }
  return false;
}

const ASCII = 128;
const CLASS_BITS = 5;
const LAST_THREE = (1 << (3 * CLASS_BITS)) - 1;

/** Of characters: letters in either case, and what else stands in beginnings of parts; 0 is all the rest, digits too. */
const CLASSES = new Uint8Array(ASCII);
for (const [above, same] of [...'abcdefghijklmnopqrstuvwxyz', '_', '-', '.', '/', '\\%'].entries())
  for (const one of same + same.toUpperCase()) CLASSES[one.charCodeAt(0)] = above + 1;

const BEGINNINGS = new Uint8Array(LAST_THREE + 1);
for (const part of PART.source.replaceAll('\\/', '/').split('|'))
  for (const beginning of beginningsOf(part)) BEGINNINGS[beginning] = 1;

/** As three classes in a number: all that a part may begin with. Nothing says what stands before one that is shorter. */
function beginningsOf(part: string): readonly number[] {
  const characters = part.match(/\[[^\]]+\]|\\.|./g)?.slice(0, 4) ?? [];
  if (characters.some((one) => /^[?*+{(|]/.test(one))) throw new Error(`it does not say three characters: ${part}`);
  const classes = characters.slice(0, 3).map(classesOf);
  while (classes.length < 3) classes.unshift([...Array(1 << CLASS_BITS).keys()]);
  return classes.reduce<readonly number[]>(
    (begun, next) => begun.flatMap((one) => next.map((other) => (one << CLASS_BITS) | other)),
    [0],
  );
}

/** @param character - as in a regular expression: itself, an escape of it, or several in brackets */
function classesOf(character: string): readonly number[] {
  const pattern = new RegExp(`^${character}$`, 'i');
  return [...new Set(CLASSES.filter((_, code) => pattern.test(String.fromCharCode(code))))];
}
