import { randomBytes } from 'node:crypto';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import t from 'tap';
import type { Header } from '../../src/http/action.js';
import { unpackedBeginning } from '../../src/http/packed/beginning.js';
import { type Coding, codingAsked, codingOf, isZlibAlone } from '../../src/http/packed/coding.js';
import { Unpacking } from '../../src/http/packed/unpacking.js';
import { startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';
import { freeUnpackings, MOST_UNPACKINGS } from './unpackings.js';

const TEXT = JSON.stringify(Array.from({ length: 20_000 }, (_, n) => ({ n, squared: n * n })));
const PACKED = [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
] as const;

/** What is heard of a body that comes in pieces. */
async function heard(packed: Buffer, coding: Coding, size = packed.length) {
  const pieces: Buffer[] = [];
  const unpacking = Unpacking.of(coding, 'alice', (bytes) => pieces.push(bytes));
  /** How much was heard when each of the pieces was said to be. */
  const lengths: number[] = [];
  for (let at = 0; at < packed.length; at += size) {
    await new Promise<void>((done) => unpacking?.push(packed.subarray(at, at + size), done));
    lengths.push(Buffer.concat(pieces).length);
  }
  await new Promise(setImmediate);
  unpacking?.close();
  return { text: Buffer.concat(pieces).toString(), lengths, isBroken: unpacking?.isBroken };
}

t.test('a body is unpacked as it passes, wherever it is cut', async (t) => {
  for (const [coding, pack] of PACKED) {
    const packed = pack(TEXT);
    for (const size of [1_000, 16 * 1024, packed.length]) {
      const { text, lengths, isBroken } = await heard(packed, coding, size);
      t.ok(text === TEXT && !isBroken, `${coding}, ${size}`);
      t.equal(lengths.at(-1), TEXT.length, 'all of it by the time when it is said to be');
    }
    const { text } = await heard(packed.subarray(0, 200), coding, 1);
    t.ok(TEXT.startsWith(text) && (text.length > 0 || coding === 'br'), coding); // Brotli begins with its tables
  }
  for (const size of [1, 7, 1_000]) t.same((await heard(gzipSync('x'), 'gzip', size)).text, 'x');
  const two = Buffer.concat([gzipSync('one '), gzipSync('two')]);
  for (const size of [1, gzipSync('one ').length, 1_000])
    t.match(await heard(two, 'gzip', size), { text: 'one two', isBroken: false });
});

t.test('what is not packed as it says, or goes on behind its end, is broken', async (t) => {
  const gzip = gzipSync('text');
  for (const [bytes, coding] of [
    [Buffer.from('{"plain":1}'), 'gzip'],
    [Buffer.from('{"plain":1}'), 'br'],
    [deflateRawSync('text'), 'deflate'],
    [deflateSync('text'), 'gzip'], // others skip what they take for its header
    [gzip, 'deflate'],
    [Buffer.concat([gzip, Buffer.from('more')]), 'gzip'],
    [Buffer.concat([gzip, Buffer.alloc(3), gzip]), 'gzip'], // Python's reader goes on behind the zeros
    [Buffer.concat([deflateSync('text'), gzip]), 'deflate'],
    [Buffer.concat([brotliCompressSync('text'), gzip]), 'br'],
    [Buffer.concat([gzip.subarray(0, -8), Buffer.alloc(8)]), 'gzip'],
    [Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0xe0]), gzip.subarray(4)]), 'gzip'], // Java's reads it
  ] as const)
    for (const size of [1, 4, gzip.length, bytes.length])
      t.ok((await heard(bytes, coding, size)).isBroken, `${coding} ${bytes.toString('hex')}`);
});

t.test('what is out of all proportion is not unpacked to its end', async (t) => {
  for (const [coding, pack] of PACKED) {
    const { text, isBroken } = await heard(pack(Buffer.alloc(64 * 1024 * 1024)), coding);
    t.ok(isBroken, coding);
    t.ok(text.length < 20 * 1024 * 1024, `${coding} ${text.length}`);
  }
});

/** Several times as many as are unpacked at a time, of Brotli and large. */
const MANY = 48;

t.test('no more is unpacked at a time than there is memory for, and what is over gives it back', async (t) => {
  const body = randomBytes(20 * 1024 * 1024);
  const large = brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 0 } });
  const open: Unpacking[] = [];
  const take = async (person: string) => {
    const next = Unpacking.of('br', person, () => {});
    if (next === null) return false;
    open.push(next);
    await new Promise<void>((done) => next.push(large.subarray(0, -1), done));
    return !next.isBroken;
  };
  const held = new Map<string, number>();
  for (const person of ['mallory', 'bob', 'carol', 'dave', 'erin']) {
    let theirs = 0;
    while (theirs < MANY && (await take(person))) theirs += 1;
    held.set(person, theirs);
  }
  t.same(
    Object.fromEntries(held),
    { mallory: 5, bob: 3, carol: 1, dave: 1, erin: 0 },
    'each with the whole of its window',
  );
  t.match(
    await heard(gzipSync('text'), 'gzip'),
    { text: 'text', isBroken: false },
    'for what has no window some is left',
  );
  for (const one of open) {
    one.close();
    one.close();
    one.push(Buffer.from('x'), () => {});
  }
  t.match(await heard(brotliCompressSync('text'), 'br'), { text: 'text', isBroken: false });
  for (let times = 0; times < 20; times += 1) await heard(Buffer.from('broken'), 'br');
  t.equal(freeUnpackings(), MOST_UNPACKINGS);
});

t.test('what is small takes little memory: event streams, and pages of many that are loaded at once', async (t) => {
  const open: Unpacking[] = [];
  for (let times = 0; times < 500; times += 1) {
    const next = Unpacking.of('br', 'alice', () => {});
    await new Promise<void>((done) => next?.push(brotliCompressSync('data: 1\n\n').subarray(0, -1), done));
    if (next?.isBroken === false) open.push(next);
  }
  t.equal(open.length, 500);
  t.match(await heard(gzipSync('text'), 'gzip'), { text: 'text', isBroken: false });
  for (const one of open) one.close();
});

t.test('nothing is heard of a body that is closed while it is unpacked', async (t) => {
  let isDone = false;
  const unpacking = Unpacking.of('gzip', 'alice', () => t.fail('heard'));
  unpacking?.push(gzipSync(TEXT), () => (isDone = true));
  unpacking?.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.notOk(isDone);
});

t.test('the beginning of a body is unpacked from the beginning of what it is packed as', (t) => {
  for (const [coding, pack] of PACKED) {
    const packed = pack(TEXT.repeat(3));
    for (const [kept, most] of [
      [packed.length, 3 * TEXT.length],
      [packed.length, 1_000],
      [packed.length, 300],
      [8_192, 8_192],
      [2_000, 8_192],
    ] as const) {
      const beginning = unpackedBeginning(packed.subarray(0, kept), coding, most);
      t.ok((beginning?.bytes.length ?? 0) > 0 && (beginning?.bytes.length ?? 0) <= most, `${coding} ${kept} ${most}`);
      t.ok(TEXT.repeat(3).startsWith(beginning?.bytes.toString() ?? '?'));
      t.equal(beginning?.isWhole, most > TEXT.length, `${coding} ${kept} ${most}`);
    }
    const bomb = pack(Buffer.alloc(64 * 1024 * 1024, 'a')).subarray(0, 8_192);
    t.match(unpackedBeginning(bomb, coding, 1_024) ?? { isWhole: false }, { isWhole: false }, coding);
    t.equal(unpackedBeginning(Buffer.from('{"plain":1}'), coding, 100), null);
  }
  t.equal(unpackedBeginning(gzipSync('x'), 'other', 100), null);
  const wide = { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } };
  t.equal(unpackedBeginning(brotliCompressSync(TEXT, wide), 'br', 100), null, 'a window that takes long to fill');
  t.end();
});

t.test('no more is unpacked for the record in one turn than others can wait for', async (t) => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 'a')).subarray(0, 8_192);
  await new Promise(setImmediate);
  const known = Array.from({ length: 100 }, () => unpackedBeginning(bomb, 'gzip', 8_192) !== null);
  t.ok(known[0]);
  t.ok(known.indexOf(false) > 10);
  t.notOk(known.at(-1));
  await new Promise(setImmediate);
  t.ok(unpackedBeginning(bomb, 'gzip', 8_192));
});

t.test('what goes on behind its end is not taken for the whole of it', (t) => {
  for (const [coding, pack] of PACKED)
    for (const more of [Buffer.alloc(10), pack('more').subarray(1), Buffer.concat([Buffer.alloc(10), pack('more')])])
      t.equal(unpackedBeginning(Buffer.concat([pack('text'), more]), coding, 100), null, `${coding} ${more[0]}`);
  const two = Buffer.concat([gzipSync('one '), gzipSync('two')]);
  t.match(unpackedBeginning(two, 'gzip', 100), { bytes: Buffer.from('one two'), isWhole: true });
  t.end();
});

t.test('as what a body is packed is what its head says', (t) => {
  const said = (...values: string[]) => values.map((value): Header => ['Content-Encoding', value]);
  for (const [values, coding] of [
    [[], null],
    [[''], null],
    [[' Identity ,'], null],
    [['GZIP'], 'gzip'],
    [['x-gzip'], 'gzip'],
    [['identity, br'], 'br'],
    [['deflate'], 'deflate'],
    [['gzip, gzip'], 'other'],
    [['gzip', 'br'], 'other'],
    [['zstd'], 'other'],
    [['x-own'], 'other'],
  ] as const) {
    t.equal(codingOf(said(...values)), coding, values.join(' | '));
    t.equal(codingAsked(said(...values)), coding, values.join(' | '));
  }
  for (const one of ['aws-chunked', 'utf-8']) t.same([codingOf(said(one)), codingAsked(said(one))], ['other', null]);
  t.end();
});

t.test('what is called deflate is read where it means nothing without its header', (t) => {
  const [, ...rest] = deflateSync(TEXT);
  const check = 0x7700 + 31 - (0x7700 % 31);
  for (const [name, bytes, expected] of [
    ['with a header', [0x78, ...rest], true],
    ['without one', deflateRawSync(TEXT), false],
    ['a header whose check fails', [0x78, 0x9d, ...rest.slice(1)], false],
    ['a header of something else', [check >> 8, check & 0xff, ...rest.slice(1)], false],
    ['a header that is a stored block as well', [0x78, 0x9c, 0x05, 0x63, 0xfa, ...rest.slice(4)], false],
    ['no more than four bytes', [0x78, ...rest.slice(0, 3)], false],
  ] as const)
    t.equal(isZlibAlone(Buffer.from(bytes)), expected, name);
  t.end();
});

t.test('a service is told of no way of packing that cannot be read here', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /'] } } });
  const { handle } = gateway.issue('web');
  for (const [asked, told] of [
    ['gzip, deflate, br, zstd', 'gzip, deflate, br'],
    ['zstd;q=1.0, gzip;q=0.5', 'gzip;q=0.5'],
    ['zstd, dcb', 'identity'],
    ['br;q=1.0,*;q=0', 'br;q=1.0,*;q=0'],
    ['', 'identity'],
    ['brx', 'identity'],
  ] as const) {
    const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n`;
    await raw(t, gateway.port, `${head}Accept-Encoding: ${asked}\r\n\r\n`).ended;
    const headers = new Map(echo.requests.at(-1)?.headers);
    t.equal(headers.get('accept-encoding'), told, asked);
  }
});
