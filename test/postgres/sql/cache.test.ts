import t from 'tap';
import { SizedCache } from '../../../src/postgres/sql/cache.js';

t.test('the entries used longest ago leave first, also when one is used again and again', async (t) => {
  const cache = new SizedCache<number>(3, 100);
  for (const [n, key] of ['a', 'b', 'c'].entries()) cache.set(key, n, 1);
  for (let n = 0; n < 3; n += 1) t.equal(cache.get('a'), 0);
  cache.set('d', 3, 1);
  t.equal(cache.get('b'), undefined);
  for (let n = 0; n < 3; n += 1) t.equal(cache.get('c'), 2);
  t.equal(cache.get('a'), 0);
  cache.set('e', 4, 1);
  t.same(
    ['a', 'c', 'd', 'e'].map((key) => cache.get(key)),
    [0, 2, undefined, 4],
  );
});

t.test('an entry over the size is not kept, nor what stood in its place', async (t) => {
  const cache = new SizedCache<number>(3, 10);
  cache.set('a', 1, 5);
  cache.set('a', 2, 11);
  t.equal(cache.get('a'), undefined);
  t.equal(cache.count, 0);
});
