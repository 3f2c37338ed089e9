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
  t.ok(Number(sizes[0]) > 8 * 1024);
  t.equal(Buffer.byteLength(summary.row().text), 8 * 1024);
});

t.test('words are looked for as they are: what means something to LIKE is escaped', async (t) => {
  t.equal(likeOf(undefined), null);
  t.equal(likeOf('100%_\\'), '%100\\%\\_\\\\%');
});

const RULE = `select on ${'x'.repeat(600)}`;
/** A stretch with everything in it that is searched, and something that is not. */
const STRETCH: readonly RecordedEvent[] = [
  action(4, { verb: 'GET', on: ['/a'], outcome: 'allow', rule: RULE }, 'GET /a'),
  {
    ...{ seq: 5, at: 30, kind: 'result', payload: { text: 'body' } },
    facts: { of: 4, rows: 2, bytesIn: 3, bytesOut: 5, reason: 'broken', outcome: 'deny' },
  },
  action(6, { verb: 'POST', on: ['/b', '/a'], outcome: 'deny', rule: 'none', reason: 'out_of_scope' }, 'POST /b'),
  { seq: 7, at: 7, kind: 'notice', facts: { about: 'secret_seen', secret: 'env X' }, payload: null },
  { seq: 8, at: 8, kind: 'notice', facts: { about: 'secret_seen', secret: 'env X' }, payload: { text: 'GET /a' } },
  { seq: 9, at: 9, kind: 'notice', facts: { about: 'something', secret: 'env Y' }, payload: null },
  { seq: 10, at: 10, kind: 'result', facts: { about: 'secret_seen', secret: 'env Z', rows: 1 }, payload: null },
  action(11, { verb: 'GET', rows: -5, bytesIn: 1.5, bytesOut: Number.NaN, reason: 'expired' }, 'last'),
];

t.test('of a stretch is searched who did what to what, and what came of it is counted', async (t) => {
  t.same(summarise('a session', STRETCH), {
    ...{ sessionId: 'a session', firstSeq: 4, lastSeq: 11, fromAt: 4, toAt: 30, actions: 3, denied: 1 },
    ...{ verbs: ['GET', 'POST'], targets: ['/a', '/b'], reasons: ['out_of_scope', 'expired'], rules: [RULE] },
    ...{ rows: 3, bytesIn: 3, bytesOut: 5, text: 'GET /a\nbody\nPOST /b\nlast' },
    sightings: [{ secret: 'env X', at: 7 }],
  });
});

t.test('what is summed up in parts, or behind others, is what is summed up in one', async (t) => {
  const summed = (events: readonly RecordedEvent[]) => {
    const summary = new Summary('a session', events[0] ?? action(1, {}));
    for (const event of events) summary.add(event);
    return summary;
  };
  const whole = summarise('a session', STRETCH);
  for (let cut = 1; cut < STRETCH.length; cut += 1) {
    const first = summed(STRETCH.slice(0, cut));
    const all = new Summary('a session', first);
    all.append(first);
    all.append(summed(STRETCH.slice(cut)));
    t.same(all.row(), whole, `cut at ${cut}`);
    all.move(3);
    t.same(all.row(), { ...whole, firstSeq: 7, lastSeq: 14 });
  }
});

t.test('nor does it grow with what is named in it', async (t) => {
  const summary = new Summary('a session', action(1, {}));
  const before = summary.size;
  for (let at = 0; at < 300; at += 1) {
    const name = `${at} ${'x'.repeat(1_000)}`;
    summary.add({ seq: 1, at: 1, kind: 'notice', facts: { about: 'secret_seen', secret: name }, payload: null });
    summary.add(action(1, { verb: name, on: [name], outcome: 'allow', rule: name, reason: name }));
  }
  const { verbs, targets, reasons, rules, sightings } = summary.row();
  for (const terms of [verbs, targets, reasons, sightings.map(({ secret }) => secret)]) {
    t.equal(terms.length, 256);
    t.ok(terms.every(({ length }) => length === 512));
  }
  t.equal(rules.length, 256);
  t.equal(summary.size, before + 5 * 256 * 100, 'and how much it holds is known');
});

t.test('a text is cut between characters, and none is lost before it', async (t) => {
  const euros = '€'.repeat(3_000);
  const { text } = summarise('a session', [action(1, {}, `a${euros}`)]) ?? {};
  t.equal(text, `a${'€'.repeat((8 * 1024 - 1) / 3)}`);
});
