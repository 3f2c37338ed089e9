/*
 * Cases 1 to 7 of the Autobahn WebSocket test suite (framing, pings, reserved bits, opcodes, fragmentation, UTF-8, closing), put
 * down anew from what it publishes of each, under its numbers. Its own program runs on Python 2 alone.
 */

/** How the bytes of a case are cut: all at once, a write for each frame, or pieces of so many bytes. */
export type Cut = 'whole' | 'frames' | number;

/** One case: what is sent, what comes back, how it ends. */
export interface Case {
  readonly number: string;
  readonly what: string;
  readonly sent: readonly Buffer[];
  readonly cut: Cut;
  /** Messages and pongs that come back; of those before a fault, as many as got through. */
  readonly echoed: readonly string[];
  /** The code the connection is closed with, 1005 for none; null when it stays open. */
  readonly closed: number | null;
}

const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];
const MASK = [0x37, 0xfa, 0x21, 0x3d];

/** A masked frame, its length in the shortest form. */
export function frame(opcode: number, payload: Buffer | string = '', { fin = true, rsv = 0 } = {}): Buffer {
  const data = Buffer.from(payload);
  const { length } = data;
  const long = Buffer.alloc(8);
  long.writeBigUInt64BE(BigInt(length));
  const size = length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 0xff] : [127, ...long];
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode, 0x80 | (size[0] ?? 0), ...size.slice(1), ...MASK];
  return Buffer.concat([Buffer.from(head), data.map((byte, at) => byte ^ (MASK[at & 3] ?? 0))]);
}

const NOT_FINAL = { fin: false };
const text = (payload: Buffer | string = '', options = {}) => frame(TEXT, payload, options);
const more = (payload: Buffer | string = '', options = {}) => frame(CONTINUATION, payload, options);
const ping = (payload: Buffer | string = '', options = {}) => frame(PING, payload, options);
const closing = (code = 1000, reason: Buffer | string = '') =>
  frame(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]));

/** A message in frames of these payloads. */
function inFrames(parts: readonly (Buffer | string)[]): Buffer[] {
  return parts.map((part, at) => frame(at === 0 ? TEXT : CONTINUATION, part, { fin: at === parts.length - 1 }));
}

const inBytes = (bytes: Buffer) => inFrames([...bytes].map((byte) => Buffer.of(byte)));

export const said = (kind: 'text' | 'binary' | 'pong', payload: Buffer | string = '') =>
  `${kind} ${Buffer.from(payload).toString('latin1')}`;

function passes(number: string, what: string, sent: Buffer[], echoed: string[], cut: Cut = 'whole'): Case {
  return { number, what, sent, cut, echoed, closed: null };
}

function fails(
  number: string,
  what: string,
  sent: Buffer[],
  code: number,
  echoed: string[] = [],
  cut: Cut = 'whole',
): Case {
  return { number, what, sent, cut, echoed, closed: code };
}

function ends(number: string, what: string, sent: Buffer[], code: number, echoed: string[] = []): Case {
  return { number, what, sent, cut: 'whole', echoed, closed: code };
}

/** Numbers the cases of a group: `6.6.` and 1, 2, 3 … */
const numbered = <T>(group: string, of: readonly T[], make: (number: string, one: T) => Case) =>
  of.map((one, at) => make(`${group}.${at + 1}`, one));

const SIZES = [0, 125, 126, 127, 128, 65_535, 65_536];

const FRAMING: readonly Case[] = [
  ...numbered('1.1', SIZES, (number, size) => {
    const payload = '*'.repeat(size);
    return passes(number, `a text of ${size} bytes comes back`, [text(payload)], [said('text', payload)]);
  }),
  passes(
    '1.1.8',
    'a text of 65,536 bytes comes back, sent by 997 bytes',
    [text('*'.repeat(65_536))],
    [said('text', '*'.repeat(65_536))],
    997,
  ),
  ...numbered('1.2', SIZES, (number, size) => {
    const payload = Buffer.alloc(size, 0xfe);
    return passes(number, `${size} binary bytes come back`, [frame(BINARY, payload)], [said('binary', payload)]);
  }),
  passes(
    '1.2.8',
    '65,536 binary bytes come back, sent by 997',
    [frame(BINARY, Buffer.alloc(65_536, 0xfe))],
    [said('binary', Buffer.alloc(65_536, 0xfe))],
    997,
  ),
];

const TEN = Array.from({ length: 10 }, (_, n) => `payload-${n}`);
const ODD = Buffer.from([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff]);

const PINGS: readonly Case[] = [
  passes('2.1', 'a ping without payload is answered', [ping()], [said('pong')]),
  passes('2.2', 'a ping with a text is answered with it', [ping('Hello, world!')], [said('pong', 'Hello, world!')]),
  passes('2.3', 'a ping with what is no text is answered with it', [ping(ODD)], [said('pong', ODD)]),
  passes(
    '2.4',
    'a ping with 125 bytes is answered',
    [ping(Buffer.alloc(125, 0xfe))],
    [said('pong', Buffer.alloc(125, 0xfe))],
  ),
  fails('2.5', 'a ping with 126 bytes is none', [ping(Buffer.alloc(126, 0xfe))], 1002),
  passes(
    '2.6',
    'a ping that comes byte by byte is answered',
    [ping(Buffer.alloc(125, 0xfe))],
    [said('pong', Buffer.alloc(125, 0xfe))],
    1,
  ),
  passes('2.7', 'a pong that nobody asked for is answered with nothing', [frame(PONG)], []),
  passes('2.8', 'nor one with a payload', [frame(PONG, 'unsolicited')], []),
  passes(
    '2.9',
    'a ping behind such a pong is answered',
    [frame(PONG, 'unsolicited'), ping('ours')],
    [said('pong', 'ours')],
  ),
  passes(
    '2.10',
    'ten pings are answered in order',
    TEN.map((one) => ping(one)),
    TEN.map((one) => said('pong', one)),
  ),
  passes(
    '2.11',
    'ten pings that come byte by byte, too',
    TEN.map((one) => ping(one)),
    TEN.map((one) => said('pong', one)),
    1,
  ),
];

const HELLO = 'Hello, world!';
const ECHO = [said('text', HELLO)];
const reserved = (rsv: number) => ({ rsv });

const RESERVED_BITS: readonly Case[] = [
  fails('3.1', 'a text with reserved bit 1', [text(HELLO, reserved(1))], 1002),
  fails(
    '3.2',
    'a text, then one with reserved bit 2, then a ping',
    [text(HELLO), text(HELLO, reserved(2)), ping()],
    1002,
    ECHO,
  ),
  fails(
    '3.3',
    'a text, then one with reserved bits 1 and 2, then a ping, frame by frame',
    [text(HELLO), text(HELLO, reserved(3)), ping()],
    1002,
    ECHO,
    'frames',
  ),
  fails(
    '3.4',
    'a text, then one with reserved bit 3, then a ping, byte by byte',
    [text(HELLO), text(HELLO, reserved(4)), ping()],
    1002,
    ECHO,
    1,
  ),
  fails('3.5', 'a binary message with reserved bits 1 and 3', [frame(BINARY, ODD, reserved(5))], 1002),
  fails('3.6', 'a ping with reserved bits 2 and 3', [ping(HELLO, reserved(6))], 1002),
  fails('3.7', 'a close with all reserved bits', [frame(CLOSE, '', reserved(7))], 1002),
];

const OPCODES: readonly Case[] = [
  ...[
    [3, 4, 5, 6, 7],
    [11, 12, 13, 14, 15],
  ].flatMap((opcodes, group) =>
    numbered(`4.${group + 1}`, opcodes, (number, opcode) => {
      const payload = opcode % 2 === 0 ? HELLO : '';
      const before = number.endsWith('.1') || number.endsWith('.2') ? [] : [text(HELLO)];
      const cut = number.endsWith('.4') ? 1 : number.endsWith('.3') ? 'frames' : 'whole';
      const what = `the reserved opcode ${opcode}`;
      return fails(number, what, [...before, frame(opcode, payload), ping()], 1002, before.length > 0 ? ECHO : [], cut);
    }),
  ),
];

const TWO = inFrames(['fragment1', 'fragment2']);
const TOGETHER = said('text', 'fragment1fragment2');
const BETWEEN = [TWO[0] ?? text(), ping('ping payload'), TWO[1] ?? text()];
const CUTS: readonly Cut[] = ['whole', 'frames', 1];
const FIVE = inFrames(['fragment1', 'fragment2', 'fragment3', 'fragment4', 'fragment5']);
const WITH_PINGS = [...FIVE.slice(0, 2), ping('one'), ...FIVE.slice(2, 4), ping('two'), ...FIVE.slice(4)];
const FIVE_ECHOED = [
  said('pong', 'one'),
  said('pong', 'two'),
  said('text', 'fragment1fragment2fragment3fragment4fragment5'),
];

const FRAGMENTS: readonly Case[] = [
  fails('5.1', 'a ping in two fragments', [ping('fragment1', NOT_FINAL), more('fragment2')], 1002),
  fails('5.2', 'a pong in two fragments', [frame(PONG, 'fragment1', NOT_FINAL), more('fragment2')], 1002),
  ...CUTS.map((cut, at) => passes(`5.${3 + at}`, `a text in two fragments, ${cut}`, TWO, [TOGETHER], cut)),
  ...CUTS.map((cut, at) =>
    passes(
      `5.${6 + at}`,
      `a ping between two fragments is answered first, ${cut}`,
      BETWEEN,
      [said('pong', 'ping payload'), TOGETHER],
      cut,
    ),
  ),
  ...CUTS.map((cut, at) =>
    fails(`5.${9 + at}`, `the end of no message, ${cut}`, [more('nothing'), text(HELLO)], 1002, [], cut),
  ),
  ...CUTS.map((cut, at) =>
    fails(
      `5.${12 + at}`,
      `the continuation of no message, ${cut}`,
      [more('nothing', NOT_FINAL), text(HELLO)],
      1002,
      [],
      cut,
    ),
  ),
  fails(
    '5.15',
    'the continuation of a message that is whole',
    [...TWO, more('fragment3', NOT_FINAL), text(HELLO)],
    1002,
    [TOGETHER],
  ),
  fails(
    '5.16',
    'the continuation of no message, before one in two fragments',
    [more('x', NOT_FINAL), ...TWO, more('x', NOT_FINAL), ...TWO],
    1002,
  ),
  fails('5.17', 'the end of no message, before one in two fragments', [more('x'), ...TWO, more('x'), ...TWO], 1002),
  fails('5.18', 'a message within a message', [text('fragment1', NOT_FINAL), text('fragment2')], 1002),
  passes('5.19', 'five fragments with two pings among them, frame by frame', WITH_PINGS, FIVE_ECHOED, 'frames'),
  passes('5.20', 'the same at once', WITH_PINGS, FIVE_ECHOED),
];

const hex = (digits: string) => Buffer.from(digits.replaceAll(' ', ''), 'hex');
/** κόσμε with an accent of three bytes. */
const GREEK = hex('cebae1bdb9cf83cebcceb5');
const MIXED = Buffer.from('Hello-µ@ßöäüàá-UTF-8!!');
/** κόσμε, a surrogate, and more behind it. */
const INVALID = Buffer.concat([GREEK, hex('eda080'), Buffer.from('edited')]);
const TOO_HIGH = hex('f4908080');
const NOT_UTF8 = 1007;

/** One frame in three pieces: what is valid, with some bytes of what is not, then the rest of that, then more. */
function inThree(early: number): Buffer[] {
  const whole = text(Buffer.concat([GREEK, TOO_HIGH, Buffer.from('edited')]));
  const [first, second] = [6 + GREEK.length + early, 6 + GREEK.length + TOO_HIGH.length];
  return [whole.subarray(0, first), whole.subarray(first, second), whole.subarray(second)];
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

const UTF8: readonly Case[] = [
  passes('6.1.1', 'an empty text', [text()], [said('text')]),
  passes('6.1.2', 'an empty text in three fragments', inFrames(['', '', '']), [said('text')]),
  passes('6.1.3', 'a text between two empty fragments', inFrames(['', 'middle frame payload', '']), [
    said('text', 'middle frame payload'),
  ]),
  passes('6.2.1', 'a text of many scripts', [text(MIXED)], [said('text', MIXED)]),
  passes('6.2.2', 'the same in two fragments', inFrames([MIXED.subarray(0, 8), MIXED.subarray(8)]), [
    said('text', MIXED),
  ]),
  passes('6.2.3', 'the same in fragments of a byte, cut within characters', inBytes(MIXED), [said('text', MIXED)]),
  passes('6.2.4', 'κόσμε in fragments of a byte', inBytes(GREEK), [said('text', GREEK)]),
  fails('6.3.1', 'a surrogate within a text', [text(INVALID)], NOT_UTF8),
  fails('6.3.2', 'the same in fragments of a byte', inBytes(INVALID), NOT_UTF8),
  // The suite takes the end of the message for late ("non-strict"): nothing of it has been passed on by then.
  fails(
    '6.4.1',
    'what no text can go on with, in a fragment of its own',
    inFrames([GREEK, TOO_HIGH, 'edited']),
    NOT_UTF8,
  ),
  fails(
    '6.4.2',
    'the same, found with its second byte',
    inFrames([Buffer.concat([GREEK, TOO_HIGH.subarray(0, 1)]), TOO_HIGH.subarray(1), 'edited']),
    NOT_UTF8,
  ),
  fails('6.4.3', 'the same in one frame, which comes in three pieces', inThree(0), NOT_UTF8, [], 'frames'),
  fails('6.4.4', 'the same, cut within the character', inThree(1), NOT_UTF8, [], 'frames'),
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

const VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
const INVALID_CODES = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
const LARGE = 'BAsd7&jh23'.repeat(26_214);

const CLOSING: readonly Case[] = [
  ends('7.1.1', 'a text, then a close', [text(HELLO), closing()], 1000, ECHO),
  ends('7.1.2', 'two closes', [closing(), closing()], 1000),
  ends('7.1.3', 'a ping behind a close is not answered', [closing(), ping()], 1000),
  ends('7.1.4', 'nor is a text', [closing(), text(HELLO)], 1000),
  ends(
    '7.1.5',
    'the rest of a message behind a close',
    [text('fragment1', NOT_FINAL), closing(), more('fragment2')],
    1000,
  ),
  ends('7.1.6', 'a text of 256 KiB, a close, a ping', [text(LARGE), closing(), ping()], 1000, [said('text', LARGE)]),
  ends('7.3.1', 'a close without a code', [frame(CLOSE)], 1005),
  fails('7.3.2', 'a close with half a code', [frame(CLOSE, 'a')], 1002),
  ends('7.3.3', 'a close with a code', [closing()], 1000),
  ends('7.3.4', 'a close with a reason', [closing(1000, HELLO)], 1000),
  ends('7.3.5', 'a close with the longest reason', [closing(1000, '*'.repeat(123))], 1000),
  fails('7.3.6', 'a close with one that is too long', [closing(1000, '*'.repeat(124))], 1002),
  fails('7.5.1', 'a close with a reason that is no text', [closing(1000, INVALID)], NOT_UTF8),
  ...numbered('7.7', VALID_CODES, (number, code) =>
    ends(number, `a close with the code ${code}`, [closing(code)], code),
  ),
  ...numbered('7.9', INVALID_CODES, (number, code) =>
    fails(number, `nobody may send the code ${code}`, [closing(code)], 1002),
  ),
  ...numbered('7.13', [5000, 65_535], (number, code) =>
    fails(number, `the code ${code} stands for nothing`, [closing(code)], 1002),
  ),
];

export const CASES: readonly Case[] = [
  ...FRAMING,
  ...PINGS,
  ...RESERVED_BITS,
  ...OPCODES,
  ...FRAGMENTS,
  ...UTF8,
  ...CLOSING,
];
