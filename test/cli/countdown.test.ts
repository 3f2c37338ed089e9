import t from 'tap';
import { Countdown, clockFace } from '../../src/cli/countdown.js';

/** A machine whose clocks are set by hand, seconds. */
function machine() {
  const at = { monotonic: 1_000, wall: 5_000_000 };
  const countdown = new Countdown({ monotonic: () => at.monotonic * 1_000, wall: () => at.wall * 1_000 });
  const pass = (seconds: number) => {
    at.monotonic += seconds;
    at.wall += seconds;
  };
  return { at, countdown, pass };
}

t.test('the countdown is what the gateway said, counted on; a clock that is set changes nothing of it', async (t) => {
  const { at, countdown, pass } = machine();
  countdown.set(600);
  pass(100);
  t.equal(countdown.left, 500);
  t.notOk(countdown.isDoubtful);
  at.wall += 86_400;
  t.equal(countdown.left, 500);
  t.ok(countdown.isDoubtful, 'the gateway is asked again');
  countdown.set(500);
  t.notOk(countdown.isDoubtful);
  at.wall -= 3_600;
  t.ok(countdown.isDoubtful);
  countdown.set(500);
  at.wall += 1_000; // asleep: on some machines the monotonic clock stood still
  t.ok(countdown.isDoubtful);
  countdown.set(0);
  t.equal(countdown.left, 0);
  pass(10);
  t.equal(countdown.left, 0, 'never below');
});

t.test('fifteen, five and one minute before the end are warned of once, and again after a renewal', async (t) => {
  const { countdown, pass } = machine();
  countdown.set(1_000);
  t.equal(countdown.warning(), null);
  pass(100);
  t.equal(countdown.warning(), 15);
  t.equal(countdown.warning(), null);
  countdown.set(899);
  t.equal(countdown.warning(), null, 'asking the gateway again is no renewal');
  pass(840);
  t.equal(countdown.warning(), 1, 'whoever slept through two is told the nearer one');
  t.equal(countdown.warning(), null);
  countdown.set(600);
  pass(300);
  t.equal(countdown.warning(), 5);
  countdown.set(30);
  t.equal(countdown.warning(), 1, 'also when the end came nearer by itself');
});

t.test('what is left is shown as a clock shows it', async (t) => {
  t.equal(clockFace(3_723), '1:02:03');
  t.equal(clockFace(899), '14:59');
  t.equal(clockFace(0), '0:00');
});
