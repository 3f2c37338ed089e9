import t from 'tap';
import { Rates } from '../../src/http/rules/rate.js';

t.test('a rule may be used as often as it says, then again as its time passes', async (t) => {
  const rates = new Rates();
  const take = (now: number, who = 'a grant', rule = 'POST /x') =>
    rates.take(who, rule, { count: 3, seconds: 60 }, now);
  t.same([take(0), take(0), take(0)], [0, 0, 0]);
  t.equal(take(0), 20_000, 'the next one is there after a third of a minute');
  t.equal(take(5_000), 15_000, 'asking does not put it off');
  t.equal(take(19_999), 1);
  t.equal(take(20_000), 0);
  t.equal(take(20_000), 20_000);
  t.same([take(1_000_000), take(1_000_000), take(1_000_000)], [0, 0, 0], 'never more than its count is saved up');
  t.ok(take(1_000_000) > 0);
  t.equal(take(1_000_000, 'another grant'), 0, 'another grant has its own');
  t.equal(take(1_000_000, 'a grant', 'POST /y'), 0, 'another rule too');
});

t.test('buckets that are full again are not kept, and those in use are', async (t) => {
  const rates = new Rates();
  const take = (grant: string, now: number) => rates.take(grant, 'GET /', { count: 1, seconds: 1 }, now);
  t.equal(take('kept', 9_500), 0);
  for (let n = 0; n < 5_000; n += 1) take(`grant ${n}`, n);
  t.ok(take('kept', 9_600) > 0);
});
