import t from 'tap';
import type { Facts, RecordedEvent } from '../../src/recording/event.js';
import { likeOf } from '../../src/recording/read.js';
import { Summary, summarise } from '../../src/recording/summary.js';

const HANDLE = `dp_${'a'.repeat(22)}_${'b'.repeat(43)}`;
const action = (seq: number, facts: Facts, text = ''): RecordedEvent => ({
  ...{ seq, at: seq, kind: 'action', facts },
  payload: text === '' ? null : { text },
});

t.test('A16: no term and no text that is searched holds a handle', async (t) => {
  const facts = { verb: HANDLE, on: [`/x/${HANDLE}`], reason: HANDLE, rule: HANDLE, outcome: 'allow' } as const;
  const row = summarise('a session', [action(1, facts, `GET /x/${HANDLE}`)]);
  t.notMatch(JSON.stringify(row), 'b'.repeat(43));
  const long = summarise('a session', [action(1, { on: [`/${'x'.repeat(484)}${HANDLE}`] })]);
  t.notMatch(JSON.stringify(long), /ab|_b/, 'nor what a bound left of one');
  t.match(row, { actions: 1, targets: [/^\/x\/dp_a+/] });
});

t.test('what is searched of a stretch is bounded, however much was said in it', async (t) => {
  const summary = new Summary('a session', action(1, {}));
  const sizes = [1, 2].map((round) => {
    for (let at = 0; at < 100; at += 1) summary.add(action(at, {}, `${round} ${at} ${'x'.repeat(1_000)}`));
    return summary.size;
  });
  t.equal(sizes[1], sizes[0], 'nothing more of it is kept');
  t.equal(Buffer.byteLength(summary.row().text), 8 * 1024);
});

t.test('words are looked for as they are: what means something to LIKE is escaped', async (t) => {
  t.equal(likeOf(undefined), null);
  t.equal(likeOf('100%_\\'), '%100\\%\\_\\\\%');
});
