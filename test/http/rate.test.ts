import t from 'tap';
import { Rates } from '../../src/http/rate.js';

t.test('a rule may be used as often as it says, then again as its time passes', async (t) => {
  const rates = new Rates();
  const session = {};
  const take = (now: number, who: object = session, rule = 'POST /x') =>
    rates.take(who, rule, { count: 3, seconds: 60 }, now);
  t.same([take(0), take(0), take(0)], [0, 0, 0]);
  t.equal(take(0), 20_000, 'the next one is there after a third of a minute');
  t.equal(take(5_000), 15_000, 'asking does not put it off');
  t.equal(take(19_999), 1);
  t.equal(take(20_000), 0);
  t.equal(take(20_000), 20_000);
  t.same([take(1_000_000), take(1_000_000), take(1_000_000)], [0, 0, 0], 'never more than its count is saved up');
  t.ok(take(1_000_000) > 0);
  t.equal(take(1_000_000, {}), 0, 'another session has its own');
  t.equal(take(1_000_000, session, 'POST /y'), 0, 'another rule too');
});
