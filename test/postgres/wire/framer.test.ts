import t from 'tap';
import { BACKEND, BackendFramer, type BackendHandler } from '../../../src/postgres/wire/backend-framer.js';
import { FramingError } from '../../../src/postgres/wire/framing.js';
import { FRONTEND, FrontendFramer, type FrontendHandler } from '../../../src/postgres/wire/frontend-framer.js';
import { bind, cstring, execute, front, int32, parse, query, sync } from '../../support/wire.js';

/** Remembers what it hears; copy data is joined, so that the way it was cut does not show. */
class Heard implements FrontendHandler {
  readonly messages: string[] = [];
  #copy: Buffer[] = [];

  message(type: number, frame: Buffer): void {
    this.messages.push(`${String.fromCharCode(type)} ${frame.toString('hex')}`);
  }

  copyData(piece: Buffer, starts: boolean): void {
    if (starts) {
      this.#copy = [];
      this.messages.push('');
    }
    this.#copy.push(piece);
    this.messages[this.messages.length - 1] = `d ${Buffer.concat(this.#copy).toString('hex')}`;
  }
}

const PASS: BackendHandler = { message: () => undefined };

/** What tells a FramingError from every other. */
const FRAMING = { name: 'FramingError' };

t.test('what a client sends is the same messages however it is cut', async (t) => {
  const stream = Buffer.concat([
    query('select 1'),
    parse('s', 'select $1'),
    bind('', 's', 'x'),
    execute(''),
    sync(),
    front('d', Buffer.from('a,b\n1,2\n')),
    front('d'),
    front('c'),
  ]);
  const whole = new Heard();
  new FrontendFramer().push(stream, whole);
  t.equal(whole.messages.length, 8);
  for (let first = 0; first <= stream.length; first += 1) {
    for (const second of [first, first + 1, first + 5, stream.length]) {
      const heard = new Heard();
      const framer = new FrontendFramer();
      for (const piece of [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)])
        framer.push(piece, heard);
      if (heard.messages.join() !== whole.messages.join())
        t.same(heard.messages, whole.messages, `cut at ${first} and ${second}`);
    }
  }
  const heard = new Heard();
  const framer = new FrontendFramer();
  for (const byte of stream) framer.push(Buffer.of(byte), heard);
  t.same(heard.messages, whole.messages, 'byte by byte');
});

t.test('a length of a client is never trusted, whatever the type', async (t) => {
  for (const type of Object.values(FRONTEND)) {
    for (const length of [0, 3, -1, -(2 ** 31), 2 ** 31 - 1]) {
      const bytes = Buffer.concat([Buffer.of(type), int32(length)]);
      t.throws(() => new FrontendFramer().push(bytes, new Heard()), FRAMING, `0x${type.toString(16)} ${length}`);
    }
  }
});

t.test('a message over the cap of its type is refused by its header alone, as too large', async (t) => {
  const caps = {
    Q: 16 * 2 ** 20,
    P: 16 * 2 ** 20,
    B: 256 * 2 ** 20,
    E: 65_536,
    S: 65_536,
    C: 65_536,
    D: 65_536,
    X: 65_536,
  };
  for (const [type, cap] of Object.entries(caps)) {
    new FrontendFramer().push(Buffer.concat([Buffer.from(type), int32(cap)]), new Heard());
    try {
      new FrontendFramer().push(Buffer.concat([Buffer.from(type), int32(cap + 1)]), new Heard());
      t.fail(type);
    } catch (thrown) {
      t.match(thrown, { tooLarge: true }, type);
    }
  }
});

t.test('who takes long messages gets them in pieces, and no more of them than came is held', async (t) => {
  const pieces: number[] = [];
  const rest: number[] = [];
  const heard: FrontendHandler = {
    takesLong: true,
    message: (type) => pieces.push(-type),
    copyData: () => t.fail(),
    longMessage: (type, piece, left) => {
      t.equal(type, FRONTEND.bind);
      pieces.push(piece.length);
      rest.push(left);
    },
  };
  const framer = new FrontendFramer();
  const size = 256 * 2 ** 20 + 1;
  const header = Buffer.concat([Buffer.from('B'), int32(size)]);
  framer.push(header.subarray(0, 3), heard);
  framer.push(header.subarray(3), heard);
  const chunk = Buffer.alloc(2 ** 20);
  for (let left = size - 4; left > 0; left -= chunk.length) {
    const end = Buffer.concat([Buffer.from('S'), int32(4)]);
    framer.push(left > chunk.length ? chunk : Buffer.concat([chunk.subarray(0, left), end]), heard);
  }
  t.equal(pieces[0], 5);
  t.equal(pieces.at(-1), -FRONTEND.sync, 'what comes behind it is read as ever');
  t.equal(
    pieces.slice(0, -1).reduce((sum, one) => sum + one, 0),
    size + 1,
  );
  t.equal(rest.at(-1), 0);
  for (const type of ['E', 'S'])
    t.throws(() => new FrontendFramer().push(Buffer.concat([Buffer.from(type), int32(2 ** 20)]), heard), FRAMING);
  for (const type of ['Q', 'P', 'B', 'F'])
    t.throws(() => new FrontendFramer().push(Buffer.concat([Buffer.from(type), int32(2 ** 30)]), heard), FRAMING);
});

t.test('a type that no client may send is refused', async (t) => {
  const known = new Set<number>(Object.values(FRONTEND));
  for (let type = 0; type < 256; type += 1) {
    const push = () => new FrontendFramer().push(Buffer.concat([Buffer.of(type), int32(4)]), new Heard());
    if (known.has(type)) t.doesNotThrow(push);
    else t.throws(push, FRAMING);
  }
});

t.test('COPY data of a gigabyte is announced, and only what came is held', async (t) => {
  const framer = new FrontendFramer();
  let heard = 0;
  const count: FrontendHandler = { message: () => t.fail(), copyData: (piece) => (heard += piece.length) };
  framer.push(Buffer.concat([Buffer.from('d'), int32(2 ** 30 - 1)]), count);
  const piece = Buffer.alloc(64 * 1024);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 1_000; i += 1) framer.push(piece, count);
  t.equal(heard, 5 + 1_000 * piece.length);
  t.ok(process.memoryUsage().arrayBuffers - before < 4 * 2 ** 20, 'nothing is collected');
});

t.test('a message that is sent byte by byte costs about its own size', async (t) => {
  const framer = new FrontendFramer();
  const size = 2 ** 20;
  const before = process.memoryUsage();
  framer.push(Buffer.concat([Buffer.from('Q'), int32(size + 4)]), new Heard());
  for (let i = 0; i < size - 1; i += 1) framer.push(Buffer.of(0x61), new Heard());
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  t.ok(arrayBuffers + heapUsed - before.arrayBuffers - before.heapUsed < 40 * size);
  let text = '';
  framer.push(Buffer.of(0), { message: (_, frame) => (text = frame.toString('latin1', 5)), copyData: () => {} });
  t.equal(text, `${'a'.repeat(size - 1)}\0`);
});

const ANSWERS = Buffer.concat([
  front('T', Buffer.from('columns')),
  front('D', Buffer.from('a row')),
  front('D', Buffer.alloc(300, 1)),
  front('C', cstring('SELECT 2')),
  front('S', cstring('TimeZone'), cstring('UTC')),
  front('N', cstring('Mnotice'), Buffer.of(0)),
  front('E', cstring('C42601'), cstring('Mold'), Buffer.of(0)),
  front('Z', Buffer.from('I')),
]);

t.test('what a server sends comes through unchanged however it is cut, and is read alike', async (t) => {
  for (let first = 0; first <= ANSWERS.length; first += 1) {
    for (const second of [first, first + 3, ANSWERS.length]) {
      const framer = new BackendFramer();
      const types: string[] = [];
      const handler: BackendHandler = { message: (type) => void types.push(String.fromCharCode(type)) };
      const out = [ANSWERS.subarray(0, first), ANSWERS.subarray(first, second), ANSWERS.subarray(second)].flatMap(
        (piece) => framer.push(piece, handler),
      );
      if (!Buffer.concat(out).equals(ANSWERS) || types.join('') !== 'TDDCSNEZ')
        t.fail(`cut at ${first} and ${second}: ${types}`);
      if (framer.midMessage) t.fail('in the middle at the end');
    }
  }
  t.pass();
});

t.test(
  'what is passed on ends where a message ends, however short the pieces, while messages are of ordinary size',
  async (t) => {
    const rows = Array.from({ length: 40 }, (_, n) => front('D', Buffer.alloc(n * 100, n)));
    rows.push(front('D', Buffer.alloc(60_000, 1)), front('d', Buffer.alloc(65_000, 2)));
    const stream = Buffer.concat(rows);
    for (const size of [1, 4, 7, 100, 1_000, 65_536]) {
      const framer = new BackendFramer();
      const ends = new Set(rows.map((_, i) => Buffer.concat(rows.slice(0, i + 1)).length));
      const out: Buffer[] = [];
      let given = 0;
      for (let at = 0; at < stream.length; at += size) {
        const pieces = framer.push(stream.subarray(at, at + size), PASS);
        out.push(...pieces);
        for (const piece of pieces) given += piece.length;
        if (framer.midMessage || (given > 0 && !ends.has(given))) t.fail(`in the middle, by pieces of ${size}`);
      }
      t.ok(Buffer.concat(out).equals(stream), `by ${size}`);
    }
  },
);

t.test('a longer one passes as it comes, and what is behind it is whole again', async (t) => {
  const long = front('D', Buffer.alloc(200_000, 1));
  const short = front('D', Buffer.from('a row'));
  const framer = new BackendFramer();
  const pass = (bytes: Buffer) => Buffer.concat(framer.push(bytes, PASS)).length;
  t.equal(pass(long.subarray(0, 3)), 0, 'not before its header is there');
  t.equal(pass(long.subarray(3, 1_000)), 1_000);
  t.ok(framer.midMessage);
  t.equal(pass(Buffer.concat([long.subarray(1_000), short.subarray(0, 8)])), long.length - 1_000);
  t.notOk(framer.midMessage);
  t.equal(pass(short.subarray(8)), short.length);
});

t.test('an error that is replaced is replaced whole, however it is cut', async (t) => {
  const ours = front('E', cstring('C42501'), Buffer.of(0));
  const theirs = front('E', cstring('C42601'), cstring('Mold'), Buffer.of(0));
  const expected = Buffer.from(ANSWERS.toString('hex').replace(theirs.toString('hex'), ours.toString('hex')), 'hex');
  for (let at = 0; at <= ANSWERS.length; at += 1) {
    const framer = new BackendFramer();
    const handler: BackendHandler = { message: (type) => (type === BACKEND.error ? ours : undefined) };
    const out = [ANSWERS.subarray(0, at), ANSWERS.subarray(at)].flatMap((piece) => framer.push(piece, handler));
    if (!Buffer.concat(out).equals(expected)) t.fail(`cut at ${at}`);
  }
  t.pass();
});

t.test('a length of a server is never trusted, whatever the type', async (t) => {
  for (const type of Object.values(BACKEND)) {
    for (const length of [0, 3, -1, -(2 ** 31), 2 ** 31 - 1]) {
      const bytes = Buffer.concat([Buffer.of(type), int32(length)]);
      t.throws(() => new BackendFramer().push(bytes, PASS), FRAMING, `0x${type.toString(16)} ${length}`);
      const framer = new BackendFramer();
      framer.push(bytes.subarray(0, 2), PASS);
      t.throws(() => framer.push(bytes.subarray(2), PASS), FRAMING, 'cut');
    }
  }
});

t.test('what belongs to the start or to replication does not pass once a session runs', async (t) => {
  for (const type of ['R', 'K', 'v', 'W'])
    t.throws(() => new BackendFramer().push(front(type, int32(0)), PASS), FRAMING, type);
});

t.test('an error longer than what is collected passes by unread', async (t) => {
  const long = front('E', Buffer.alloc(3 * 2 ** 20, 0x61));
  const framer = new BackendFramer();
  const seen: (Buffer | null)[] = [];
  const out: Buffer[] = [];
  const handler: BackendHandler = { message: (_, frame) => void seen.push(frame) };
  for (let at = 0; at < long.length; at += 65_536) out.push(...framer.push(long.subarray(at, at + 65_536), handler));
  t.same(seen, [null]);
  t.ok(Buffer.concat(out).equals(long));
});

t.test(
  'random bytes make neither framer throw anything but a FramingError, nor keep more than it was given',
  async (t) => {
    const random = seeded(20_261_123);
    const types = [...Object.values(FRONTEND), ...Object.values(BACKEND)];
    for (let round = 0; round < 3_000; round += 1) {
      const front = new FrontendFramer();
      const back = new BackendFramer();
      let given = 0;
      let passed = 0;
      try {
        for (let i = 0; i < 20; i += 1) {
          const bytes = Buffer.from(Array.from({ length: random() % 40 }, () => random() % 256));
          // Mostly plausible headers, so that the fuzz gets past the first byte.
          if (bytes.length >= 5 && random() % 8 > 0) {
            bytes[0] = types[random() % types.length] ?? 0;
            bytes.writeInt32BE(random() % 16 === 0 ? random() | 0 : 4 + (random() % 40), 1);
          }
          given += bytes.length;
          if (round % 2 === 0) front.push(bytes, new Heard());
          else for (const piece of back.push(bytes, PASS)) passed += piece.length;
        }
        if (passed > given) t.fail('more than it was given');
      } catch (thrown) {
        if (!(thrown instanceof FramingError)) throw thrown;
      }
    }
    t.pass();
  },
);

/** mulberry32: the same numbers every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}
