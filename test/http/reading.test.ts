import t from 'tap';
import { PAGE_BYTES, takePage } from '../../src/http/memory/pages.js';
import { Reading } from '../../src/http/memory/reading.js';

const KiB = 1024;

t.test('pages that nobody holds are taken again before any is made anew, however many there were', async (t) => {
  const many = Array.from({ length: 500 }, takePage);
  t.equal(new Set(many).size, 500);
  for (const page of many) page.release();
  const again = Array.from({ length: 500 }, takePage);
  t.equal(new Set([...many, ...again]).size, 500);
  t.equal(new Set(again).size, 500, 'and each by one alone');
  for (const page of again) page.release();
});

t.test('pieces that are kept for long share a page, and none is read into', async (t) => {
  const reading = new Reading(Buffer.alloc(16 * KiB));
  reading.came(16 * KiB);
  const kept = Array.from({ length: 32 }, (_, number) => {
    reading.next().fill(number, 0, 40 * KiB);
    return reading.keep(reading.came(40 * KiB));
  });
  for (const [number, { bytes }] of kept.entries()) t.ok(bytes.equals(Buffer.alloc(40 * KiB, number)));
  t.equal(new Set(kept.map(({ page }) => page)).size, 16);
  for (const { release } of kept) release();
  reading.close();
});

t.test('a page of which nothing is kept is read into from its beginning', async (t) => {
  const reading = new Reading(Buffer.alloc(16 * KiB));
  reading.came(16 * KiB);
  const first = reading.next();
  t.equal(first.byteLength, PAGE_BYTES);
  for (let times = 0; times < 5; times += 1) {
    reading.keep(reading.came(50 * KiB)).release();
    t.equal(reading.next(), first);
  }
  reading.close();
});
