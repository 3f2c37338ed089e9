import t from 'tap';
import { type BodyGuard, GuardedBody, type Verdict } from '../../src/http/body/guarded.js';
import type { Kept } from '../../src/http/memory/reading.js';

/** A guarded body, whose guard answers when the test does, or at once; and what becomes of its pieces. */
function guarded({ length = null as number | null, atOnce = (_heard: string): Verdict | Error | null => null } = {}) {
  const seen: string[] = [];
  const [passed, released]: [string[], string[]] = [[], []];
  let verdict: (verdict: Verdict) => void = () => {};
  let isRead = true;
  const here: string[] = [];
  const source = {
    length,
    pause: () => {
      isRead = false;
    },
    resume: () => {
      isRead = true;
      while (isRead && here.length > 0) body.data(piece(here.shift() ?? ''));
    },
  };
  const guard: BodyGuard = {
    hear: (bytes, isLast, heard, answer) => {
      seen.push(bytes.toString() + (isLast ? '.' : ''));
      const now = atOnce(bytes.toString());
      if (now instanceof Error) heard.fail(now);
      else if (now === null) verdict = answer;
      else answer(now);
    },
    close: () => {},
  };
  const body = new GuardedBody(source, guard, {
    data: ({ bytes }) => void passed.push(bytes.toString()),
    end: () => void passed.push('the end'),
    fail: ({ message }) => void passed.push(message),
    narrow: () => {},
  });
  const piece = (text: string): Kept => ({
    bytes: Buffer.from(text),
    release: () => void released.push(text),
    page: null,
  });
  const answer = (how: Verdict) => verdict(how);
  return {
    body,
    answer,
    seen,
    passed,
    released,
    comes: (text: string) => body.data(piece(text)),
    isRead: () => isRead,
    source,
    here,
  };
}

t.test('while a guard has not answered nothing goes on, and its client is not read', async (t) => {
  const { body, answer, seen, passed, comes, isRead, source } = guarded();
  comes('a');
  t.notOk(isRead());
  source.resume(); // the service takes more
  comes('b');
  t.same([seen, passed, isRead()], [['a'], [], false]);
  answer('more');
  t.same([seen, passed, isRead()], [['a', 'b'], [], false], 'it is read only until the next piece is there');
  answer('more');
  t.ok(isRead());
  comes('c');
  answer('go');
  t.same([passed, isRead()], [['a', 'b', 'c'], true]);
  body.end();
  t.same(passed, ['a', 'b', 'c'], 'nor is the end told before the guard has heard of it');
  answer('go');
  t.same(
    [seen, passed],
    [
      ['a', 'b', 'c', '.'],
      ['a', 'b', 'c', 'the end'],
    ],
  );
});

t.test(
  'a guard is told which bytes are the last as soon as the length says so, and the end is told once',
  async (t) => {
    const { body, answer, seen, passed, comes } = guarded({ length: 2 });
    comes('a');
    answer('go');
    comes('b');
    body.end();
    answer('go');
    answer('go');
    t.same(
      [seen, passed],
      [
        ['a', 'b.', '.'],
        ['a', 'b', 'the end'],
      ],
    );
  },
);

t.test('of a body that has failed nothing goes on, and its bytes are let go of', async (t) => {
  const { body, answer, seen, passed, released, comes } = guarded();
  comes('a');
  answer('more');
  comes('b');
  body.fail(new Error('refused'));
  answer('go');
  comes('c');
  body.end();
  body.fail(new Error('again'));
  t.same([seen, passed, released], [['a', 'b'], ['refused'], ['a', 'b', 'c']]);
  const last = guarded();
  last.body.end();
  last.body.fail(new Error('refused'));
  last.answer('go');
  t.same(last.passed, ['refused'], 'it has no end either');
});

t.test('pieces keep their order where the guard answers at once, and where its source gives all it has', async (t) => {
  const verdicts: Readonly<Record<string, Verdict>> = { a: 'more', b: 'go', c: 'more', '': 'go' };
  const quick = guarded({ atOnce: (heard) => verdicts[heard] ?? null });
  for (const text of ['a', 'b', 'c']) quick.comes(text);
  t.same([quick.passed, quick.isRead()], [['a', 'b'], true]);
  quick.body.end();
  t.same(quick.passed, ['a', 'b', 'c', 'the end']);
  const { here, comes, answer, seen, passed } = guarded();
  comes('a');
  here.push('b', 'c');
  answer('go');
  t.same([seen, passed], [['a', 'b'], ['a']], 'each is heard when the one before has gone on');
});

t.test('a body that its guard refuses is read to its end, and not a byte of it goes on', async (t) => {
  const { body, seen, passed, released, comes, isRead } = guarded({ atOnce: () => new Error('refused') });
  for (const text of ['a', 'b']) comes(text);
  body.end();
  t.same([seen, passed, released, isRead()], [['a'], ['refused'], ['a', 'b'], true]);
});
