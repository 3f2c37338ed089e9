import {
  type Case,
  fails,
  inFrames,
  inPieces,
  more,
  NOT_FINAL,
  numbered,
  passes,
  said,
  TEXT,
  text,
} from './autobahn-frames.js';

/* Group 6 of the Autobahn suite: what is UTF-8 and what is not. */

const hex = (digits: string) => Buffer.from(digits.replaceAll(' ', ''), 'hex');
/** κόσμε with an accent of three bytes. */
const GREEK = hex('cebae1bdb9cf83cebcceb5');
const MIXED = Buffer.from('Hello-µ@ßöäüàá-UTF-8!!');
/** κόσμε, a surrogate, and more behind it. */
export const INVALID = Buffer.concat([GREEK, hex('eda080'), Buffer.from('edited')]);
const TOO_HIGH = hex('f4908080');
const NOT_UTF8 = 1007;

/** Long enough for what is sent together to have been read, milliseconds: the suite waits for a second. */
const PAUSE = { pause: 20 };
const apart = ([first = text(), ...others]: readonly Buffer[]) => [first, ...others.flatMap((one) => [PAUSE, one])];

/** κόσμε, what no text can go on with, and more, in three parts: cut around the fault or within it. */
const AROUND = [GREEK, TOO_HIGH, Buffer.from('edited')];
const WITHIN = cutAt(Buffer.concat(AROUND), GREEK.length + 1, GREEK.length + 2);

function cutAt(bytes: Buffer, first: number, second: number): Buffer[] {
  return [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
}

/** One frame that comes in these parts, and the empty one that ends its message. */
function oneFrame([first = GREEK, second = GREEK, third = GREEK]: readonly Buffer[]): Buffer[] {
  const whole = Buffer.concat([text(Buffer.concat([first, second, third]), NOT_FINAL), more()]);
  const head = 6 + first.length;
  return cutAt(whole, head, head + second.length);
}

const textOf = (number: string, bytes: Buffer, isValid: boolean): Case =>
  isValid
    ? passes(number, `${bytes.toString('hex')} is a text`, [text(bytes)], [said('text', bytes)])
    : fails(number, `${bytes.toString('hex')} is no text`, [text(bytes)], NOT_UTF8);
const texts = (group: string, isValid: boolean, digits: readonly string[]) =>
  numbered(group, digits.map(hex), (number, bytes) => textOf(number, bytes, isValid));

/** Prefixes of κόσμε, of which those that end within a character are no texts: 6.6.1 to 6.6.11. */
const PREFIXES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((length) => GREEK.subarray(0, length));
const isWhole = (bytes: Buffer) => Buffer.from(bytes.toString('utf8')).equals(bytes);

const CONTINUATIONS = ['80', 'bf', '80bf', '80bf80', '80bf80bf', '80bf80bf80', '80bf80bf80bf'];
const ALL_CONTINUATIONS = Buffer.from(Array.from({ length: 64 }, (_, n) => 0x80 + n)).toString('hex');
const starts = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `${(from + n).toString(16)}20`).join('');
const CUT_SHORT = ['c0', 'e080', 'f08080', 'f8808080', 'fc80808080', 'df', 'efbf', 'f7bfbf', 'fbbfbfbf', 'fdbfbfbfbf'];
const SURROGATES = ['eda080', 'edadbf', 'edae80', 'edafbf', 'edb080', 'edbe80', 'edbfbf'];
const PAIRS = [
  'eda080edb080',
  'eda080edbfbf',
  'edadbfedb080',
  'edadbfedbfbf',
  'edae80edb080',
  'edae80edbfbf',
  'edafbfedb080',
  'edafbfedbfbf',
];
const NONCHARACTERS = [
  ...['efbfbe', 'efbfbf'],
  ...Array.from({ length: 16 }, (_, plane) => [0xfffe, 0xffff].map((end) => (plane + 1) * 0x10000 + end))
    .flat()
    .map((point) => Buffer.from(String.fromCodePoint(point)).toString('hex')),
];

export const UTF8: readonly Case[] = [
  passes('6.1.1', 'an empty text', [text()], [said('text')]),
  passes('6.1.2', 'an empty text in three fragments', inFrames(['', '', '']), [said('text')]),
  passes('6.1.3', 'a text between two empty fragments', inFrames(['', 'middle frame payload', '']), [
    said('text', 'middle frame payload'),
  ]),
  passes('6.2.1', 'a text of many scripts', [text(MIXED)], [said('text', MIXED)]),
  passes('6.2.2', 'the same in two fragments', inFrames([MIXED.subarray(0, 15), MIXED.subarray(15)]), [
    said('text', MIXED),
  ]),
  passes('6.2.3', 'the same in fragments of a byte, cut within characters', inPieces(TEXT, MIXED, 1), [
    said('text', MIXED),
  ]),
  passes('6.2.4', 'κόσμε in fragments of a byte', inPieces(TEXT, GREEK, 1), [said('text', GREEK)]),
  fails('6.3.1', 'a surrogate within a text', [text(INVALID)], NOT_UTF8),
  fails('6.3.2', 'the same in fragments of a byte', inPieces(TEXT, INVALID, 1), NOT_UTF8),
  // The suite takes the end of the message for late ("non-strict"): nothing of it has been passed on by then.
  fails('6.4.1', 'what no text can go on with, in a fragment of its own', apart(inFrames(AROUND)), NOT_UTF8),
  fails('6.4.2', 'the same, found with its second byte', apart(inFrames(WITHIN)), NOT_UTF8),
  fails('6.4.3', 'the same in one frame, which comes in three parts', apart(oneFrame(AROUND)), NOT_UTF8),
  fails('6.4.4', 'the same, cut within the character', apart(oneFrame(WITHIN)), NOT_UTF8),
  ...texts(
    '6.5',
    true,
    [...['hello$world', 'hello¢world', 'hello€world', 'hello𤭢world'].map((one) => Buffer.from(one)), GREEK].map(
      (one) => one.toString('hex'),
    ),
  ),
  ...numbered('6.6', PREFIXES, (number, bytes) => textOf(number, bytes, isWhole(bytes))),
  ...texts('6.7', true, ['00', 'c280', 'e0a080', 'f0908080']),
  ...texts('6.8', false, ['f888808080', 'fc8480808080']),
  ...texts('6.9', true, ['7f', 'dfbf', 'efbfbf', 'f48fbfbf']),
  ...texts('6.10', false, ['f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf']),
  ...texts('6.11', true, ['ed9fbf', 'ee8080', 'efbfbd', 'f48fbfbf']),
  textOf('6.11.5', TOO_HIGH, false),
  ...texts('6.12', false, [...CONTINUATIONS, ALL_CONTINUATIONS]),
  ...texts('6.13', false, [
    starts(0xc0, 0xe0),
    starts(0xe0, 0xf0),
    starts(0xf0, 0xf8),
    starts(0xf8, 0xfc),
    starts(0xfc, 0xfe),
  ]),
  ...texts('6.14', false, CUT_SHORT),
  ...texts('6.15', false, [CUT_SHORT.join('')]),
  ...texts('6.16', false, ['fe', 'ff', 'fefeffff']),
  ...texts('6.17', false, ['c0af', 'e080af', 'f08080af', 'f8808080af', 'fc80808080af']),
  ...texts('6.18', false, ['c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf', 'fc83bfbfbfbf']),
  ...texts('6.19', false, ['c080', 'e08080', 'f0808080', 'f880808080', 'fc8080808080']),
  ...texts('6.20', false, SURROGATES),
  ...texts('6.21', false, PAIRS),
  ...texts('6.22', true, NONCHARACTERS),
  ...texts('6.23', true, ['efbfb9', 'efbfba', 'efbfbb', 'efbfbc', 'efbfbd', 'efbfbe', 'efbfbf']),
];
