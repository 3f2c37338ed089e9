import { once } from 'node:events';
import t from 'tap';
import { OwnReading } from '../../src/http/memory/own-reading.js';
import { acceptedEnds } from '../support/accepted.js';
import { closed, waitUntil } from '../support/wait.js';

t.test('the Node that runs this reads accepted connections into memory of ours', async (t) => {
  const { client, accepted } = await acceptedEnds(t);
  const heard: string[] = [];
  const memory = new Set<ArrayBufferLike>();
  const reading = OwnReading.of(accepted, (bytes) => {
    heard.push(bytes.toString());
    memory.add(bytes.buffer);
    return heard.length !== 2;
  });
  if (reading === null) return void t.fail('the names are others: see OwnReading');
  for (const text of ['one', 'two']) {
    client.write(text);
    await waitUntil(text, () => heard.includes(text));
  }
  t.equal(memory.size, 1, 'the same for each read');
  client.write('three');
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(heard, ['one', 'two'], 'what is not wanted is not read');
  accepted.resume();
  await waitUntil('three', () => heard.includes('three'));
  reading.giveBack();
  accepted.pause();
  Object.assign(accepted, { readableFlowing: null });
  client.write('four');
  const [four]: Buffer[] = await once(accepted, 'data');
  t.equal(four?.toString(), 'four', 'given back, the stream has what comes');
  t.notOk(memory.has(four?.buffer ?? new ArrayBuffer()), 'in memory of its own');
  client.end();
  await once(accepted, 'end');
});

t.test('much is read into pages, and what is kept of them stays', async (t) => {
  const { client, accepted } = await acceptedEnds(t);
  const sent = Buffer.from(Array.from({ length: 400_000 }, (_, at) => at % 251));
  const kept: Buffer[] = [];
  const reading = OwnReading.of(accepted, (bytes) => {
    if (reading !== null) kept.push(reading.keep(bytes).bytes);
    return true;
  });
  client.write(sent);
  await waitUntil('all of it came', () => kept.reduce((sum, one) => sum + one.length, 0) === sent.length);
  t.ok(Buffer.concat(kept).equals(sent));
});

t.test('what was read by others is not taken over', async (t) => {
  const { client, accepted } = await acceptedEnds(t);
  accepted.pause();
  client.write('early');
  accepted.read(0);
  await waitUntil('it came', () => accepted.readableLength > 0);
  t.equal(
    OwnReading.of(accepted, () => true),
    null,
  );
  t.equal(accepted.read()?.toString(), 'early');
});

t.test('given back and paused, it holds back who sends much, and notices who leaves', async (t) => {
  const { client, accepted } = await acceptedEnds(t);
  const reading = OwnReading.of(accepted, () => true);
  if (reading === null) return void t.fail('the names are others: see OwnReading');
  reading.giveBack();
  let bytes = 0;
  accepted.on('data', (chunk: Buffer) => (bytes += chunk.byteLength)).on('error', () => {});
  accepted.pause();
  const much = 8 * 1024 * 1024;
  client.write(Buffer.alloc(much));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.ok(accepted.readableLength < 256 * 1024, `${accepted.readableLength} bytes wait`);
  accepted.resume();
  await waitUntil('all of it came', () => bytes === much);
  accepted.pause();
  client.resetAndDestroy();
  await closed(accepted);
});

t.test('given back and read a little at a time, the rest put back, it holds back who sends much', async (t) => {
  const { client, accepted } = await acceptedEnds(t);
  const reading = OwnReading.of(accepted, () => true);
  if (reading === null) return void t.fail('the names are others: see OwnReading');
  reading.giveBack();
  const [much, little] = [16 * 1024 * 1024, 64];
  let [bytes, most, turns] = [0, 0, 0];
  accepted.on('data', (chunk: Buffer) => {
    const isSlow = turns < 1_000; // then all of the rest, to see that none is missing
    const taken = isSlow ? chunk.subarray(0, little) : chunk;
    bytes += taken.byteLength;
    turns += 1;
    if (taken.byteLength === chunk.byteLength) return;
    accepted.pause();
    accepted.unshift(chunk.subarray(taken.byteLength));
    most = Math.max(most, accepted.readableLength);
    setImmediate(() => accepted.resume());
  });
  client.end(Buffer.alloc(much));
  await once(accepted, 'end');
  t.equal(bytes, much, 'nothing is lost');
  const atMost = accepted.readableHighWaterMark + 128 * 1024;
  t.ok(most <= atMost, `${most} bytes waited, and may be ${atMost}`);
});
