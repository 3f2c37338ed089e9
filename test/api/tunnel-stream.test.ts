import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { type Closing, MOST_MESSAGE, TunnelStream } from '../../src/api/tunnel-stream.js';
import { listen } from '../http/gateway.js';
import { closed, waitUntil } from '../support/wait.js';

const MEBIBYTE = 2 ** 20;

/** Both ends of a tunnel, and the WebSockets under them. */
async function tunnel(t: Test, closing?: () => Closing) {
  const server = createServer();
  const sockets = new WebSocketServer({ server, maxPayload: MOST_MESSAGE });
  const port = await listen(t, server);
  const near = new WebSocket(`ws://127.0.0.1:${port}`, { maxPayload: MOST_MESSAGE });
  const [far]: WebSocket[] = await Promise.all([once(sockets, 'connection'), once(near, 'open')]).then(
    ([args]) => args,
  );
  if (far === undefined) throw new Error('no connection');
  const [here, there] = [new TunnelStream(near), new TunnelStream(far, closing)];
  for (const stream of [here, there]) {
    stream.on('error', () => {});
    t.teardown(() => stream.destroy());
  }
  return { here, there, near, far };
}

t.test('an end that does not read holds the other one back, in both directions, and loses nothing', async (t) => {
  const { here, there } = await tunnel(t);
  for (const [from, to] of [
    [here, there],
    [there, here],
  ] as const) {
    to.pause();
    let written = 0;
    let flushed = 0;
    const chunk = Buffer.alloc(MEBIBYTE, 'x');
    while (written < 64) {
      written += 1;
      from.write(chunk, () => (flushed += 1));
    }
    await pause(200);
    t.ok(flushed < 64, `${flushed} of 64 MiB are on their way`);
    t.ok(to.readableLength <= MOST_MESSAGE, `${to.readableLength} bytes wait where nobody reads`);
    t.ok(from.writableNeedDrain, 'whoever writes is told to wait');
    let read = 0;
    to.on('data', (piece: Buffer) => (read += piece.byteLength));
    to.resume();
    await waitUntil('all of it', () => read === 64 * MEBIBYTE);
  }
});

t.test('the code and the reason of an end come to the other one, behind everything that was said before', async (t) => {
  const reason = `revoked: ${'ü'.repeat(100)}`;
  const { here, there } = await tunnel(t, () => ({ code: 4001, reason }));
  let read = '';
  here.setEncoding('utf8').on('data', (text: string) => (read += text));
  there.resume().end('the last words');
  await closed(here);
  t.equal(read, 'the last words');
  t.match(here.ending, { code: 4001, reason: /^revoked: ü+$/ }, 'cut to what a close frame holds');
  await waitUntil('the other end', () => there.destroyed);
});

t.test('a tunnel that breaks, or carries anything but bytes, is no end that a reader could take for one', async (t) => {
  const broken = await tunnel(t);
  let ended = false;
  broken.here.on('end', () => (ended = true)).resume();
  broken.far.terminate();
  await closed(broken.here);
  t.match(broken.here.ending, { code: 1006 });
  t.notOk(ended);
  const odd = await tunnel(t);
  odd.far.send('text');
  await closed(odd.here);
  const large = await tunnel(t);
  large.far.send(Buffer.alloc(MOST_MESSAGE + 1));
  await closed(large.here);
});
