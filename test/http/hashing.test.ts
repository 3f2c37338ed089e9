import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type * as taps from '../../src/http/body/tap.js';
import type * as lanes from '../../src/http/hashing/lane.js';
import { Lane, type LongDigest } from '../../src/http/hashing/lane.js';
import { STREAMS } from '../../src/http/hashing/ring.js';
import { PAGE_BYTES, takePage } from '../../src/http/memory/pages.js';
import { type Kept, lasting } from '../../src/http/memory/reading.js';
import { Random } from '../fuzz/random.js';
import { waitUntil } from '../support/wait.js';

/** Digests are had from a thread once it has started. */
async function begun(lane: Pick<Lane, 'begin'>): Promise<LongDigest> {
  let digest: LongDigest | null = null;
  await waitUntil('the thread is there', () => {
    digest = lane.begin();
    return digest !== null;
  });
  if (digest === null) throw new Error('no digest');
  return digest;
}

t.test('another thread hashes what comes in pages and beside them as this one would', (t) => hashes(t, 0));
t.test('and goes on where its counts of orders turn negative, and where they turn back', async (t) => {
  await hashes(t, 2 ** 31 - 300);
  await hashes(t, -300);
});

/** Who was waited for as long as this is given nothing new for a minute, milliseconds. */
const SLOW = 50;

/** How long it takes, milliseconds. */
function taken(step: () => unknown): number {
  const from = performance.now();
  step();
  return performance.now() - from;
}

/** @param count - of orders, to begin with */
async function hashes(t: Test, count: number): Promise<void> {
  const lane = new Lane(count);
  t.teardown(() => lane.stop());
  const first = await begun(lane);
  const random = new Random(7);
  const streams = [first, ...Array.from({ length: STREAMS - 1 }, () => lane.begin())].map((digest) => ({
    digest,
    here: createHash('sha256'),
  }));
  t.equal(lane.begin(), null, 'no more than so many at a time');
  let slowest = 0;
  // More pages than the thread knows at a time, and each is written over as soon as nobody holds it.
  for (let round = 0; round < 600; round += 1) {
    const one = random.pick(streams);
    const piece = pieceOf(random.below(256), random.next());
    one.here.update(piece.bytes);
    slowest = Math.max(
      slowest,
      taken(() => one.digest?.update(piece)),
    );
    if (random.chance(0.8)) piece.release(); // a page that nobody releases is not used again
    if (piece.page === null) piece.bytes.fill(0);
  }
  for (const { digest, here } of streams)
    slowest = Math.max(
      slowest,
      taken(() => t.equal(digest?.hex(), here.digest('hex'))),
    );
  const again = lane.begin();
  if (again === null) return void t.ok(slowest >= SLOW, 'on a busy machine it was waited for too long: nothing new');
  again.update(lasting(Buffer.from('abc')));
  t.equal(again.hex(), createHash('sha256').update('abc').digest('hex'), 'a stream begins anew');
  t.equal(lane.begin()?.hex(), createHash('sha256').digest('hex'), 'of nothing it is not the one before');
}

/** Some of a page, or bytes beside any. */
function pieceOf(filled: number, share: number): Kept {
  if (share < 0.3) return lasting(Buffer.alloc(1 + Math.floor(share * 300_000), filled));
  const page = takePage();
  page.bytes.fill(filled);
  const from = Math.floor(share * PAGE_BYTES);
  return { bytes: page.bytes.subarray(from - Math.floor(from / 2), from), release: page.release, page };
}

t.test('a thread that has ended is said to: what needs it fails, and nothing hangs', async (t) => {
  const lane = new Lane();
  const digest = await begun(lane);
  await lane.stop();
  const page = takePage();
  t.throws(() => {
    for (let times = 0; times < 100; times += 1) digest.update({ bytes: page.bytes, release: page.release, page });
  }, /does not answer/);
  t.equal(digest.hex(), null);
  t.equal(lane.begin(), null);
});

const run = promisify(execFile);

/** @returns digests of one long body after the other, in a process with these options of Node */
async function digestsWith(...options: readonly string[]): Promise<string[]> {
  const script = `
    const { BodyTap } = await import('${new URL('../../src/http/body/tap.js', import.meta.url).href}');
    for (let times = 0; times < 15; times += 1) {
      const tap = new BodyTap(0, 2 ** 20);
      tap.push({ bytes: Buffer.from('abc'), release() {}, page: null });
      console.log(tap.sha256());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }`;
  const { stdout } = await run(process.execPath, [...options, '--input-type=module', '--eval', script]);
  return stdout.trim().split('\n');
}

t.test('where no thread can be had, or none comes to work, digests are worked out here', async (t) => {
  const expected = Array.from({ length: 15 }, () => createHash('sha256').update('abc').digest('hex'));
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';
  t.same(await digestsWith(permission, '--allow-fs-read=*'), expected, 'threads are not permitted');
  const preload = `import { isMainThread } from 'node:worker_threads';
    if (!isMainThread) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      throw new Error('not here');
    }`;
  const all = await digestsWith('--import', `data:text/javascript,${encodeURIComponent(preload)}`);
  t.same(all, expected, 'what every thread has to load fails there');
});

/** The modules that hash, with a thread that does something before each order. */
async function withThread(t: Test, before: string) {
  const from = fileURLToPath(new URL('../../src/http', import.meta.url));
  const folder = await mkdtemp(join(tmpdir(), 'dp-hashing-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const room of ['memory', 'body']) await cp(join(from, room), join(folder, room), { recursive: true });
  await cp(join(from, 'hashing'), join(folder, 'hashing'), { recursive: true });
  const thread = join(folder, 'hashing/thread.js');
  const text = await readFile(thread, 'utf8');
  const patched = text.replace('carryOut(readOrder(ring, done));', (order) => `${before}; ${order}`);
  t.not(patched, text);
  await writeFile(thread, patched);
  const { Lane, longDigest }: typeof lanes = await import(pathToFileURL(join(folder, 'hashing/lane.js')).href);
  const { BodyTap }: typeof taps = await import(pathToFileURL(join(folder, 'body/tap.js')).href);
  return { Lane, longDigest, BodyTap };
}

const SLEEP = (ms: number) => `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${ms})`;

t.test(
  'a thread that hangs is waited for two seconds once, costs a digest, and has no successor for a while',
  async (t) => {
    const { longDigest, BodyTap } = await withThread(t, SLEEP(60_000));
    const hung = await begun({ begin: () => longDigest(100_000, 1) });
    hung.update(lasting(Buffer.alloc(1_000)));
    const from = performance.now();
    t.equal(hung.hex(), null);
    t.ok(performance.now() - from > 1_900, 'it was given its time');
    for (let times = 0; times < 20; times += 1) {
      t.equal(longDigest(100_000, 1), null);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const tap = new BodyTap(0, 100_000, 1);
    tap.push(lasting(Buffer.from('abc')));
    t.equal(tap.sha256(), createHash('sha256').update('abc').digest('hex'), 'it is worked out here');
  },
);

t.test('a thread that is slow finishes what it has, and is given nothing new for a while', async (t) => {
  const { Lane } = await withThread(t, SLEEP(60));
  const lane = new Lane();
  t.teardown(() => lane.stop());
  const digest = await begun(lane);
  const other = lane.begin();
  for (const one of [digest, other]) one?.update(lasting(Buffer.from('abc')));
  t.equal(digest.hex(), createHash('sha256').update('abc').digest('hex'));
  t.equal(lane.begin(), null);
  t.equal(other?.hex(), createHash('sha256').update('abc').digest('hex'));
  t.equal(lane.begin(), null);
});
