import t from 'tap';
import { Unbroken } from '../../src/recording/unbroken.js';

t.test('answers in a row count from the first to the last', async (t) => {
  const unbroken = new Unbroken(20);
  t.equal(unbroken.length, 0);
  unbroken.answered(1_000);
  t.equal(unbroken.length, 0, 'one answer is no time');
  for (const at of [1_010, 1_030, 1_050]) unbroken.answered(at);
  t.equal(unbroken.length, 50);
});

t.test('a question that was not answered breaks the row', async (t) => {
  const unbroken = new Unbroken(20);
  for (const at of [1_000, 1_020]) unbroken.answered(at);
  unbroken.failed();
  t.equal(unbroken.length, 0);
  unbroken.answered(1_030);
  t.equal(unbroken.length, 0);
  unbroken.answered(1_045);
  t.equal(unbroken.length, 15);
});

t.test('a gap too long breaks the row though no question failed, and so does a clock that is set back', async (t) => {
  const unbroken = new Unbroken(20);
  for (const at of [1_000, 1_020]) unbroken.answered(at);
  unbroken.answered(1_041);
  t.equal(unbroken.length, 0, 'the machine slept');
  unbroken.answered(1_050);
  unbroken.answered(900);
  t.equal(unbroken.length, 0, 'the ledger was set back');
  unbroken.answered(910);
  t.equal(unbroken.length, 10);
});

t.test('answers that overtake each other by a little break nothing', async (t) => {
  const unbroken = new Unbroken(20);
  for (const at of [1_000, 1_020, 1_018, 1_030]) unbroken.answered(at);
  t.equal(unbroken.length, 30);
});
