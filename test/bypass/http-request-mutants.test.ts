import t from 'tap';
import type { Header } from '../../src/http/action.js';
import type { Head } from '../../src/http/head.js';
import { connectionList, valuesOf } from '../../src/http/headers/headers.js';
import { readTarget } from '../../src/http/rules/path.js';
import { readWish } from '../../src/http/websocket/handshake.js';
import { nodeParser } from '../http/node-parser.js';
import {
  bytesOf,
  chunked,
  get,
  inPieces,
  post,
  type Read,
  read,
  readText,
  same,
  WELL_FORMED,
  type Whole,
} from '../http/request-reading.js';

/** What Node takes and we do not: why not, and the shortest of its kind. */
const STRICTER: Readonly<Record<string, readonly string[]>> = {
  'no request line of HTTP/1.1': ['GET  / HTTP/1.1\r\n\r\n', 'GET /\r\n\r\n'],
  'a line that ends without CR': [`\n${get()}`],
  'a tab in what says where the request ends': [
    post('Content-Length:\t5', 'hello'),
    post('Transfer-Encoding:\tchunked', '0\r\n\r\n'),
    get('Connection: keep-alive,\tclose'),
  ],
  'The Content-Length of this request is not understood.': [post('Content-Length: 0000000000000005', 'hello')],
  'The Transfer-Encoding of this request is not understood.': [
    post('Transfer-Encoding: gzip, chunked', '0\r\n\r\n'),
    post('Transfer-Encoding:, chunked', '0\r\n\r\n'),
    post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    post('Transfer-Encoding: chunked', '0\r\n\r\n').replace('1.1', '1.0'),
  ],
  'The request has more than 200 headers.': [get(...Array.from({ length: 200 }, (_, at) => `A${at}: b`))],
  'a chunk beyond measure': [chunked('0000000000005\r\nhello\r\n0\r\n\r\n')],
  'a chunk extension that is none': [
    chunked('2;;a\r\nhi\r\n0\r\n\r\n'),
    chunked('2;a=\r\nhi\r\n0\r\n\r\n'),
    chunked('2;a=b"c"\r\nhi\r\n0\r\n\r\n'),
  ],
  'a trailer that frames the message': [
    chunked('0\r\nConnection: close\r\n\r\n'),
    chunked('0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n'),
  ],
};

t.test('what Node takes for a request and we do not is known, each for its reason', async (t) => {
  const asNode = nodeParser(t);
  for (const [reason, texts] of Object.entries(STRICTER)) {
    for (const text of texts) {
      t.equal((await asNode(bytesOf(text))).length, 1, `Node takes ${JSON.stringify(text.slice(0, 200))}`);
      t.match(readText(text), { why: reason, whole: [] });
    }
  }
});

/** Where the two of them disagree; null when nobody is told anything else by us than by Node. Ours may refuse more. */
function disagreement({ whole, heads, isOver }: Read, node: readonly Whole[]): string | null {
  for (const [at, ours] of whole.entries()) {
    const theirs = node[at];
    if (theirs !== undefined && shown(theirs) === shown(ours)) continue;
    if (isRefusedAnyway(ours, heads[at]?.headers ?? [])) return null;
    return `${JSON.stringify(ours)} is ${JSON.stringify(theirs)} to Node`;
  }
  return !isOver && node.length > whole.length ? `${node.length} to Node, and ${whole.length} to us` : null;
}

const WEBSOCKET = /(?:^|,)[ \t]*websocket(?:\/[^,]*)?[ \t]*(?:$|,)/i;

/** Whether upgrades were ignored that may be, and no other. */
function ignoresUpgrades({ heads }: Read): boolean {
  const asking = heads.filter(({ headers }) => connectionList(headers).has('upgrade'));
  const isRight = ({ version, headers, wantsUpgrade }: Head) =>
    wantsUpgrade === (version === '1.1' && WEBSOCKET.test(valuesOf(headers, 'upgrade').join()));
  return asking.some(({ wantsUpgrade }) => !wantsUpgrade) && asking.every(isRight);
}

/** What Node, which takes every upgrade for one, makes of it where those are hidden that are ignored. Every byte stays in its place. */
async function asNodeWould(text: string, ours: Read, asNode: (bytes: Buffer) => Promise<Whole[]>): Promise<Whole[]> {
  if (!ignoresUpgrades(ours)) return asNode(bytesOf(text));
  const whole = await asNode(bytesOf(text.replace(/u(?=pgrade:)/gi, (u) => (u === 'U' ? 'X' : 'x'))));
  return whole.map((one, at) => ({ ...one, takesOver: one.takesOver || ours.whole[at]?.takesOver === true }));
}

/** As text in which what is hidden looks as it did. */
function shown(one: Whole): string {
  return JSON.stringify(one).replaceAll('X', 'U').replaceAll('x', 'u');
}

/** Whether the gateway refuses it for what it asks. */
function isRefusedAnyway({ method, target, takesOver }: Whole, headers: readonly Header[]): boolean {
  if (method === 'CONNECT' || !readTarget(target).ok) return true;
  return takesOver && !readWish({ method, headers }, new Uint8Array()).ok;
}

/** Numbers from a seed (mulberry32), each below what it is asked for. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** What parsers have been known to differ about. */
const TELLING = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\0',
    '\t',
    ' ',
    ':',
    ';',
    ',',
    '=',
    '"',
    '\\',
    '/',
    '#',
    '?',
    '%',
    '@',
    '*',
    '\x0b',
    '\x0c',
    '\x7f',
  ],
  ...[
    '\x80',
    '\x85',
    '\xa0',
    '\xff',
    '_',
    '-',
    '+',
    '.',
    '0',
    '1',
    '9',
    'a',
    'F',
    'g',
    'x',
    'HTTP/1.0',
    'PRI',
    '0\r\n\r\n',
  ],
  ...[
    'Content-Length: 3\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Connection: close\r\n',
    'Connection: upgrade\r\n',
    'Upgrade: websocket\r\n',
    'Upgrade: h2c\r\n',
  ],
  ...['X: y\r\n', ' folded\r\n', '\tfolded\r\n', 'chunked', 'close', 'keep-alive', ', ', 'Connection', 'Expect: x\r\n'],
];

/** Requests nearly as they should be: one to three changes, most of them where something ends. */
function mutantsOf(seeds: readonly string[], seed: number, count: number): string[] {
  const below = randomFrom(seed);
  const one = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const place = (text: string) => {
    const ends = [...text.matchAll(/[\r\n:; ,]/g)].map(({ index }) => index + below(2));
    return ends.length > 0 && below(3) > 0 ? one(ends) : below(text.length + 1);
  };
  const change = (text: string): string => {
    const at = place(text);
    const [before, after, some] = [text.slice(0, at), text.slice(at), below(6) + 1];
    const flipped = String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << below(8)));
    return one([
      () => before + one(TELLING) + after,
      () => before + one(TELLING) + after,
      () => before + one(TELLING) + after.slice(1),
      () => before + flipped + after.slice(1),
      () => before + after.slice(some),
      () => before + after.slice(0, some) + after,
      () => before + one(seeds).slice(below(40)) + after,
    ])();
  };
  return Array.from({ length: count }, () => {
    let text = one(seeds);
    for (let left = below(3); left >= 0; left -= 1) text = change(text);
    return text;
  });
}

t.test('A6: what we take for a whole request, Node takes for the very same', async (t) => {
  const seed = Number(process.env.FUZZ_SEED ?? 1);
  const asNode = nodeParser(t);
  const seeds = Object.values(WELL_FORMED).map(([text]) => text);
  const differences: string[] = [];
  let taken = 0;
  for (const [at, text] of [...seeds, ...mutantsOf(seeds, seed, 5_000)].entries()) {
    const ours = readText(text);
    const theirs = await asNodeWould(text, ours, asNode);
    const more = ours.why !== null && theirs.length > ours.whole.length ? ours.why : null;
    const why = disagreement(ours, theirs) ?? (more !== null && !(more in STRICTER) ? `refused for ${more}` : null);
    if (why !== null) differences.push(`${JSON.stringify(text)}: ${why}`);
    if (!same(read(inPieces(bytesOf(text), 1 + (at % 7), 2, 5)), ours))
      differences.push(`${JSON.stringify(text)} in pieces`);
    taken += ours.whole.length;
  }
  t.same(differences.slice(0, 5), [], `with FUZZ_SEED=${seed}`);
  t.ok(taken > 2_000, `${taken} requests were taken`);
});
