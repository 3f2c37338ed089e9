import t from 'tap';
import { FrameWatch } from '../../src/http/websocket/frame-watch.js';
import { closeFrame, textFrame } from '../../src/http/websocket/plain-frame.js';

const frames = Buffer.concat([
  Buffer.from([0x81, 0x02, 0x61, 0x62]),
  Buffer.from([0x82, 126, 0x01, 0x00]),
  Buffer.alloc(256),
  Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
  Buffer.alloc(65_536),
  Buffer.from([0x89, 0x00]),
]);

t.test('boundaries are known however the bytes are cut', async (t) => {
  const boundaries = new Set([0, 4, 264, 65_810, 65_812]);
  for (const size of [1, 3, 7, 1000]) {
    const watch = new FrameWatch();
    for (let at = 0; at < frames.length; at += size) {
      const end = Math.min(at + size, frames.length);
      watch.push(frames.subarray(at, end));
      if (watch.atBoundary !== boundaries.has(end)) t.fail(`at ${end} in pieces of ${size}`);
    }
    t.ok(watch.atBoundary);
    t.equal(watch.fault, null);
  }
});

t.test('of many frames so many are looked at as is said, and the next ones later', async (t) => {
  const watch = new FrameWatch();
  const many = Buffer.concat([...Array(5).fill(Buffer.from([0x81, 1, 0x61])), Buffer.from([0x81, 2, 0x62])]);
  const passed: number[] = [];
  for (let at = 0; at < many.length; at += passed.at(-1) ?? 0) passed.push(watch.push(many.subarray(at), 3));
  t.same(passed, [9, 9]);
  t.ok(watch.isAmid);
  t.equal(watch.push(Buffer.from([0x63, 0x83, 0x00]), 3), 1, 'what is no frame is not passed on');
  t.not(watch.fault, null);
});

t.test('messages are told apart however the bytes are cut, control frames between their pieces', async (t) => {
  const bytes = Buffer.concat([
    Buffer.from([0x01, 2, 0x61, 0x62, 0x89, 1, 0x70, 0x00, 0, 0x80, 1, 0x63]),
    textFrame('x'.repeat(200)),
    Buffer.from([0x82, 0]),
    closeFrame(1000, 'bye'),
  ]);
  for (const size of [1, 2, 5, 1000]) {
    const heard: string[] = [];
    let under = '';
    const watch = new FrameWatch({
      piece: (_frame, piece) => (under += Buffer.from(piece).toString()),
      whole: (frame) => {
        heard.push(`${frame} ${under}`);
        under = '';
      },
      control: (frame, payload) => heard.push(`${frame} ${Buffer.from(payload.subarray(-3)).toString()}`),
    });
    const within: number[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      const end = Math.min(at + size, bytes.length);
      watch.push(bytes.subarray(at, end));
      if (watch.atBoundary && !watch.atMessageBoundary) within.push(end);
    }
    t.same(heard, ['ping p', 'text abc', `text ${'x'.repeat(200)}`, 'binary ', 'close bye'], `in pieces of ${size}`);
    if (size === 1) t.same(within, [4, 7, 9, bytes.length], 'between frames of one message, and behind the last');
  }
});

t.test('a close frame gives its code', async (t) => {
  const watch = new FrameWatch();
  watch.push(closeFrame(4001, 'over'));
  t.equal(watch.closeCode, 4001);
  const bare = new FrameWatch();
  bare.push(Buffer.from([0x88, 0]));
  t.equal(bare.closeCode, 1005);
});

t.test('of what is no frame nothing is passed on, and all that came before it is', async (t) => {
  const good = Buffer.concat([textFrame('good'), Buffer.from([0x89, 0])]);
  for (const [bytes, before = 0] of [
    [[0x81, 0x80]],
    [[0xc1, 0x00]],
    [[0x88, 126]],
    [[0x09, 0x00]],
    [[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]],
    [[0x83, 0x00]],
    [[0x87, 0x00]],
    [[0x8b, 0x00]],
    [[0x8f, 0x00]],
    [[0x82, 126, 0, 125]],
    [[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]],
    [[0x80, 0]],
    [[0x01, 0, 0x02, 0], 2],
    [[0x88, 1, 0]],
    [[0x88, 2, 0x03, 0xed]],
    [[0x88, 2, 0x13, 0x88]],
    [[0x88, 4, 0x03, 0xe8, 0xc0, 0xaf]],
  ] as const) {
    const name = JSON.stringify(bytes);
    const watch = new FrameWatch();
    t.equal(watch.push(Buffer.concat([good, Buffer.from(bytes)])), good.length + before, name);
    t.ok(
      watch.fault !== null && watch.atBoundary && !watch.atMessageBoundary,
      `${name}: a close frame may stand behind`,
    );
    const dribbled = new FrameWatch();
    for (const byte of Buffer.concat([good, Buffer.from(bytes)]))
      if (dribbled.fault === null) dribbled.push(Buffer.from([byte]));
    t.ok(dribbled.fault !== null && !dribbled.atBoundary, `${name} in single bytes: half of it was passed on`);
  }
});

t.test('what comes behind a close frame is not passed on', async (t) => {
  for (const behind of [[0x81], [0x88, 0], [0x83, 0], [13, 10]]) {
    const watch = new FrameWatch();
    const close = closeFrame(1000, 'bye');
    t.equal(watch.push(Buffer.concat([close, Buffer.from(behind)])), close.length);
    t.equal(watch.push(Buffer.from(behind)), 0);
    t.match(watch, { fault: null, closeCode: 1000, atBoundary: true, atMessageBoundary: false });
  }
});

t.test('a reason is cut to what a close frame holds, between characters', async (t) => {
  const frame = closeFrame(1000, '€'.repeat(60));
  t.ok(frame.length <= 127);
  t.match(frame.subarray(4).toString('utf8'), /^€+$/);
});

t.test('a reason that is far too long takes no longer than one that fits', async (t) => {
  // A refusal names its path, and each of somebody's WebSockets is told: what grew with the square of it took seconds.
  const frame = closeFrame(1008, 'x'.repeat(4 * 1024 * 1024));
  t.equal(frame.subarray(4).toString('utf8'), 'x'.repeat(123));
});
