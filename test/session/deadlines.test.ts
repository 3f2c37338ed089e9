import t from 'tap';
import { Deadlines, type Due } from '../../src/session/deadlines.js';
import { TestClock } from '../gate/fixture.js';

/** A deadline that notes when it was served. */
function due(name: string, served: string[]): Due {
  return {
    expiresAt: 0,
    dueMonotonic: 0,
    key: 0,
    place: -1,
    expire: () => {
      served.push(name);
      return undefined;
    },
  };
}

function started(t: { teardown(end: () => void): void }) {
  const clock = new TestClock();
  const deadlines = new Deadlines(clock);
  t.teardown(() => deadlines.stop());
  const served: string[] = [];
  const arm = (name: string, inMs: number) => {
    const one = due(name, served);
    deadlines.move(one, clock.wall() + inMs);
    return one;
  };
  return { clock, deadlines, served, arm };
}

t.test('a deadline has come at the exact instant: expiresAt <= now', async (t) => {
  const { clock, deadlines, served, arm } = started(t);
  const one = arm('one', 1_000);
  clock.pass(999);
  deadlines.serve();
  t.notOk(deadlines.isOver(one));
  t.same(served, []);
  clock.pass(1);
  t.ok(deadlines.isOver(one));
  deadlines.serve();
  t.same(served, ['one']);
  deadlines.serve();
  t.same(served, ['one'], 'once');
  t.equal(deadlines.size, 0);
});

t.test(
  'something may pass until the instant that either clock, or what is known, comes to its end, and not at it',
  async (t) => {
    const byWall = started(t);
    const one = byWall.arm('one', 1_000);
    byWall.clock.wallTime += 999;
    t.ok(byWall.deadlines.mayPass(one));
    t.notOk(byWall.deadlines.mayPass(one, 1), 'nor when that comes within as long');
    byWall.clock.wallTime += 1;
    t.notOk(byWall.deadlines.mayPass(one));
    const byMonotonic = started(t);
    const two = byMonotonic.arm('two', 1_000);
    byMonotonic.clock.monotonicTime += 999;
    t.ok(byMonotonic.deadlines.mayPass(two));
    byMonotonic.clock.monotonicTime += 1;
    t.notOk(byMonotonic.deadlines.mayPass(two));
    const { clock, deadlines, arm } = started(t);
    const three = arm('three', 1_000);
    deadlines.knownUntil = clock.monotonic() + 10;
    clock.pass(9);
    t.ok(deadlines.mayPass(three));
    t.notOk(deadlines.isUnknown);
    clock.pass(1);
    t.notOk(deadlines.mayPass(three));
    t.ok(deadlines.isUnknown);
  },
);

t.test('a wall clock that is set back does not lengthen a deadline', async (t) => {
  const { clock, deadlines, served, arm } = started(t);
  arm('one', 1_000);
  clock.wallTime -= 3_600_000;
  clock.pass(999);
  deadlines.serve();
  t.same(served, []);
  clock.pass(1);
  deadlines.serve();
  t.same(served, ['one']);
});

t.test('a thread that is kept from running between its looks at the two clocks ends nothing early', async (t) => {
  const { clock, deadlines, served, arm } = started(t);
  const look = clock.wall;
  for (const away of [1, 2, 3]) {
    const one = arm(`kept ${away} times`, 20_000);
    const expiresAt = clock.wallTime + 10_000;
    let kept = away;
    clock.wall = () => {
      if (kept-- > 0) clock.pass(52);
      return look.call(clock);
    };
    deadlines.move(one, expiresAt);
    clock.wall = look;
    clock.pass(expiresAt - clock.wallTime - 1);
    deadlines.serve();
    t.same(served.splice(0), [], 'a millisecond before its end');
    clock.pass(1);
    deadlines.serve();
    t.same(served.splice(0), [`kept ${away} times`]);
  }
});

t.test('a wall clock that is set forward ends what it has passed, and nothing else', async (t) => {
  const { clock, deadlines, served, arm } = started(t);
  arm('soon', 1_000);
  arm('later', 10_000);
  clock.wallTime += 5_000;
  deadlines.serve();
  t.same(served, ['soon']);
  clock.pass(4_999);
  deadlines.serve();
  t.same(served, ['soon']);
  clock.pass(1);
  deadlines.serve();
  t.same(served, ['soon', 'later']);
});

t.test('what was armed after a step of the wall clock is not hidden behind what was armed before', async (t) => {
  const { clock, deadlines, served, arm } = started(t);
  clock.wallTime -= 10_000; // set back before: its monotonic end comes first, its wall end does not
  arm('before', 10_000);
  clock.wallTime -= 5_000;
  arm('after', 11_000);
  clock.wallTime += 10_000; // and put right again
  clock.pass(999);
  deadlines.serve();
  t.same(served, [], 'nobody is over yet');
  clock.pass(1);
  deadlines.serve();
  t.same(served, ['after'], 'by the wall clock, although its monotonic end comes last');
  clock.pass(4_000);
  deadlines.serve();
  t.same(served, ['after', 'before']);
});

t.test('a step of the wall clock that nobody looked at hides no end, whichever clock it comes by', async (t) => {
  const back = started(t);
  back.arm('other', 3_000);
  back.clock.wallTime -= 10_000;
  back.arm('one', 5_000);
  back.clock.wallTime += 10_000;
  back.deadlines.serve();
  t.same(back.served, ['one'], 'by the wall clock, which was put right again');
  const ahead = started(t);
  ahead.arm('other', 12_000);
  ahead.clock.wallTime += 10_000;
  ahead.arm('one', 5_000);
  ahead.clock.wallTime -= 10_000;
  ahead.clock.pass(5_000);
  ahead.deadlines.serve();
  t.same(ahead.served, ['one'], 'by the monotonic clock');
  const seen = started(t);
  seen.arm('one', 3_000);
  seen.clock.wallTime -= 10_000;
  seen.deadlines.serve();
  seen.arm('other', 5_000);
  seen.clock.pass(3_000);
  seen.deadlines.serve();
  t.same(seen.served, ['one'], 'nor does one that somebody looked at');
});

t.test('ten thousand deadlines, moved and removed at random, are served in order and not one too many', async (t) => {
  const { clock, deadlines, served, arm } = started(t);
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const from = clock.wall();
  const all = new Map<string, Due>();
  for (let n = 0; n < 10_000; n += 1) all.set(`d${n}`, arm(`d${n}`, 1 + random(100_000)));
  for (const [name, one] of [...all]) {
    if (random(4) === 0) {
      deadlines.remove(one);
      deadlines.remove(one);
      all.delete(name);
    } else if (random(2) === 0) deadlines.move(one, from + 1 + random(100_000));
  }
  t.equal(deadlines.size, all.size);
  const expected = new Map([...all].map(([name, { expiresAt }]) => [name, expiresAt]));
  for (let passed = 0; passed < 100_000; passed += 5_000) {
    clock.pass(5_000);
    const before = served.length;
    while (deadlines.size > 0 && served.length >= before) {
      const sizeBefore = deadlines.size;
      deadlines.serve();
      if (deadlines.size === sizeBefore) break;
    }
    const late = served.slice(before).some((name) => (expected.get(name) ?? Number.POSITIVE_INFINITY) > clock.wall());
    if (late) t.fail('one was served early');
  }
  t.equal(served.length, expected.size);
  const ends = served.map((name) => expected.get(name) ?? 0);
  t.same(
    ends,
    [...ends].sort((a, b) => a - b),
    'in order',
  );
});

t.test('an end that throws does not keep the others from theirs', async (t) => {
  const { clock, deadlines, served, arm } = started(t);
  const bad = arm('bad', 10);
  bad.expire = () => {
    throw new Error('boom');
  };
  arm('good', 11);
  const receipts: string[] = [];
  const slow = arm('slow', 12);
  slow.expire = () => () => receipts.push('slow');
  arm('later', 1_000);
  clock.pass(20);
  t.throws(() => deadlines.serve(), /boom/);
  t.same(served, ['good']);
  await new Promise((resolve) => setImmediate(resolve));
  t.same(receipts, ['slow'], 'and receipts are written behind all of them');
  clock.pass(1_000);
  deadlines.serve();
  t.same(served, ['good', 'later']);
});

t.test('the timer serves by itself, and a deadline in the past at once', async (t) => {
  const { systemClock } = await import('../../src/clock.js');
  const deadlines = new Deadlines(systemClock);
  t.teardown(() => deadlines.stop());
  const at = await new Promise<number>((resolve) => {
    const served: string[] = [];
    const one = due('one', served);
    one.expire = () => {
      resolve(Date.now());
      return undefined;
    };
    deadlines.move(one, Date.now() - 5);
  });
  t.ok(at > 0);
  t.equal(deadlines.size, 0);
});
