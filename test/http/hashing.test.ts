import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { Lane, type LongDigest } from '../../src/http/hashing/lane.js';
import { STREAMS } from '../../src/http/hashing/ring.js';
import { PAGE_BYTES, takePage } from '../../src/http/pages.js';
import { type Kept, lasting } from '../../src/http/reading.js';
import { Random } from '../fuzz/random.js';
import { waitUntil } from '../support/wait.js';

/** Digests are had from a thread once it has started. */
async function begun(lane: Lane): Promise<LongDigest> {
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
  // More pages than the thread knows at a time, and each is written over as soon as nobody holds it.
  for (let round = 0; round < 600; round += 1) {
    const one = random.pick(streams);
    const piece = pieceOf(random.below(256), random.next());
    one.here.update(piece.bytes);
    one.digest?.update(piece);
    if (random.chance(0.8)) piece.release(); // a page that nobody releases is not used again
    if (piece.page === null) piece.bytes.fill(0);
  }
  for (const { digest, here } of streams) t.equal(digest?.hex(), here.digest('hex'));
  const again = lane.begin();
  again?.update(lasting(Buffer.from('abc')));
  t.equal(again?.hex(), createHash('sha256').update('abc').digest('hex'), 'a stream begins anew');
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
    const { BodyTap } = await import('${new URL('../../src/http/body-tap.js', import.meta.url).href}');
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
