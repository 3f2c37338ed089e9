import t from 'tap';
import * as ws from 'ws';
import { ClientFrames } from '../../src/http/websocket/client-frames.js';
import { closePayload, NO_CODE } from '../../src/http/websocket/frames.js';
import { maskedFrame } from '../../src/http/websocket/masked-frame.js';
import { masked } from './ws-frames.js';

const MOST = 1_000;

/** What is heard of these bytes in pieces of one size. */
function heard(bytes: Buffer, size: number, most = MOST): string[] {
  const said: string[] = [];
  const frames = new ClientFrames(most, {
    frame: (kind, data) => said.push(`${kind} ${data.toString('latin1')}`),
    close: (code, reason) => said.push(`close ${code} ${reason}`),
    mayHold: () => true,
    fault: (code) => said.push(`fault ${code}`),
  });
  for (let at = 0; at < bytes.length; at += size) frames.write(bytes.subarray(at, at + size));
  return said;
}

t.test('messages are put together however their bytes are cut, control frames between their pieces', async (t) => {
  const long = 'x'.repeat(700);
  const bytes = Buffer.concat([
    masked(0x01, 'ab'),
    masked(0x89, 'p'),
    masked(0x00, ''),
    masked(0x80, 'c'),
    masked(0x82, long, [0, 0, 0, 0]),
    masked(0x81, ''),
    masked(0x8a, ''),
    masked(0x88, Buffer.from([0x0f, 0xa1, 0x62])),
    masked(0x81, 'behind the close'),
  ]);
  for (const size of [1, 2, 5, 64, 5_000])
    t.same(
      heard(bytes, size),
      ['ping p', 'text abc', `binary ${long}`, 'text ', 'pong ', 'close 4001 b'],
      `by ${size}`,
    );
});

t.test('what is no frame of a client is a fault with its code, and nothing behind it is read', async (t) => {
  const broken: readonly (readonly [number, Buffer])[] = [
    [1002, Buffer.from([0x81, 0x01, 0x61])],
    [1002, masked(0xc1, 'a')],
    [1002, masked(0x83, 'a')],
    [1002, masked(0x8b, '')],
    [1002, masked(0x80, 'a')],
    [1002, Buffer.concat([masked(0x01, 'a'), masked(0x81, 'b')])],
    [1002, masked(0x09, 'a')],
    [1002, masked(0x89, 'x'.repeat(126))],
    [1002, masked(0x88, 'x')],
    [1002, masked(0x88, Buffer.from([0x03, 0xed]))],
    [1002, masked(0x88, Buffer.from([0x13, 0x88]))],
    [1002, Buffer.from([0x81, 0xfe, 0, 1, 0, 0, 0, 0, 0x61])],
    [1002, Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x61])],
    [1007, masked(0x81, Buffer.from([0xc0, 0xaf]))],
    [1007, masked(0x88, Buffer.from([0x03, 0xe8, 0xff]))],
    [1009, masked(0x82, 'x'.repeat(MOST + 1))],
    [1002, Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
    [1009, Buffer.from([0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    [1009, Buffer.concat([masked(0x02, 'x'.repeat(MOST)), masked(0x80, 'x')])],
  ];
  for (const [code, bytes] of broken)
    for (const size of [1, 5_000])
      t.same(
        heard(Buffer.concat([bytes, masked(0x81, 'after')]), size),
        [`fault ${code}`],
        bytes.toString('hex', 0, 12),
      );
});

t.test('a message may have a frame for each byte, and not endlessly many that are empty', async (t) => {
  const bytewise = Buffer.concat([
    masked(0x01, 'x'),
    ...Array.from({ length: MOST - 2 }, () => masked(0, 'x')),
    masked(0x80, 'x'),
  ]);
  t.same(heard(bytewise, 64), [`text ${'x'.repeat(MOST)}`]);
  const flood = Buffer.concat([masked(0x01, 'x'), ...Array.from({ length: 5_000 }, () => masked(0, ''))]);
  t.same(heard(flood, 64), ['fault 1008']);
});

/** The reader of `ws`, which the package exports and its published types do not know. */
const { Receiver } = ws as unknown as {
  Receiver: new (options: object) => NodeJS.EventEmitter & { write(chunk: Buffer): void };
};

async function heardByWs(bytes: Buffer, most = MOST): Promise<string[]> {
  const said: string[] = [];
  const receiver = new Receiver({ isServer: true, maxPayload: most });
  receiver.on('message', (data, binary) => said.push(`${binary ? 'binary' : 'text'} ${data.toString('latin1')}`));
  for (const kind of ['ping', 'pong']) receiver.on(kind, (data) => said.push(`${kind} ${data.toString('latin1')}`));
  receiver.on('conclude', (code, reason) => said.push(`close ${code} ${reason}`));
  receiver.on('error', () => said.push('fault'));
  receiver.write(Buffer.from(bytes));
  await new Promise((resolve) => setImmediate(resolve)); // a stream tells of its error later
  return said;
}

t.test('frames that are nearly right mean to this reader what they mean to that of ws', async (t) => {
  let state = 20_261_127;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const firsts = [0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x89, 0x8a, 0x88, 0x41, 0x83];
  let stricter = 0;
  for (let round = 0; round < 2_000; round += 1) {
    const frames = Array.from({ length: 1 + random(8) }, () => {
      const payload = Buffer.alloc([0, 1, 2, 5, 125, 126, 300, 990][random(8)] ?? 0, random(2) === 0 ? 'a' : 'é');
      const first = firsts[random(random(4) === 0 ? firsts.length : 8)] ?? 0;
      const bytes = masked(first, payload, [random(256), random(256), random(256), random(256)]);
      if (random(20) === 0) bytes[random(bytes.length)] = random(256);
      return bytes;
    });
    const bytes = Buffer.concat(frames);
    const ours = heard(bytes, 1 + random(40)).map((said) => said.replace(/^fault .*/, 'fault'));
    const theirs = await heardByWs(bytes);
    // A length that is not the shortest, which ws lets pass, is a fault here.
    const isStricter = ours.at(-1) === 'fault' && theirs.at(-1) !== 'fault';
    stricter += isStricter ? 1 : 0;
    const same = isStricter ? theirs.slice(0, ours.length - 1).concat('fault') : theirs;
    if (ours.join('|') !== same.join('|')) t.same(ours, same, bytes.toString('hex', 0, 60));
  }
  t.ok(stricter < 20, `${stricter} of them`);
});

t.test('some frames at a time can be read, and reading goes on where it stopped', (t) => {
  const bytes = Buffer.concat([
    masked(0x01, 'a'),
    masked(0x89, ''),
    masked(0x80, 'b'),
    masked(0x88, ''),
    masked(0x81, 'x'),
  ]);
  const said: string[] = [];
  const frames = new ClientFrames(MOST, {
    frame: (kind, data) => said.push(`${kind} ${data}`),
    close: (code) => said.push(`close ${code}`),
    mayHold: () => true,
    fault: (code) => said.push(`fault ${code}`),
  });
  t.equal(frames.write(bytes, 2), 13, 'the first piece and the ping');
  t.same(said, ['ping ']);
  t.equal(frames.write(bytes.subarray(13), 1), 7);
  t.same(said, ['ping ', 'text ab']);
  t.equal(frames.write(bytes.subarray(20), 9), bytes.length - 20, 'what is behind the close is nothing');
  t.same(said, ['ping ', 'text ab', 'close 1005']);
  t.end();
});

/** Bytes of which no four are the four before them. */
const uneven = (length: number) => Buffer.from(Array.from({ length }, (_, at) => at * 7 + (at >> 8)));

t.test('large payloads are unmasked the same wherever their bytes are cut', (t) => {
  const payload = uneven(5_000);
  const bytes = masked(0x82, payload, [0xde, 0xad, 0xbe, 0xef]);
  for (const size of [3, 191, 192, 193, 1_000, 1_001, 1_002, 1_003, 9_000])
    t.same(heard(bytes, size, 9_000), [`binary ${payload.toString('latin1')}`], `by ${size}`);
  t.end();
});

t.test('frames for a service say what they were made of, each under a key of its own', async (t) => {
  const most = 100_000;
  const payloads = [0, 1, 3, 125, 126, 191, 192, 1_001, 65_535, 65_536, 70_003].map(uneven);
  const bytes = Buffer.concat([
    maskedFrame('text', Buffer.from('é')),
    ...payloads.map((payload) => maskedFrame('binary', payload)),
    maskedFrame('ping', Buffer.from('p')),
    maskedFrame('pong', Buffer.alloc(0)),
    maskedFrame('close', closePayload(4001, Buffer.from('over'))),
  ]);
  const meant = [
    `text ${Buffer.from('é').toString('latin1')}`,
    ...payloads.map((payload) => `binary ${payload.toString('latin1')}`),
    'ping p',
    'pong ',
    'close 4001 over',
  ];
  t.same(heard(bytes, most, most), meant);
  t.same(await heardByWs(bytes, most), meant);
  t.same(await heardByWs(maskedFrame('close', closePayload(NO_CODE, Buffer.alloc(0)))), ['close 1005 ']);
  const key = () => maskedFrame('text', Buffer.from('same')).readInt32LE(2);
  t.ok(new Set(Array.from({ length: 2_000 }, key)).size > 1_990);
});
