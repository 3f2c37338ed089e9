import t from 'tap';
import { CopyData } from '../../src/postgres/copy-data.js';
import type { PostgresAction } from '../../src/postgres/decide.js';
import { type Expectation, Expectations } from '../../src/postgres/expectations.js';

const statement = { text: '', analysis: { ok: true as const, statements: [] } };
const SYNC: Expectation = { kind: 'sync' };
const parse = (name: string): Expectation => ({ kind: 'parse', name, statement });
const ACTION: PostgresAction = {
  text: 'select 1',
  analysis: { ok: true, statements: [] },
  contained: [],
  via: 'query',
};
const execute = (seq: number): Expectation => ({ kind: 'execute', seq, action: ACTION, portal: '', defined: [] });
const copyEnd = (data: string): Expectation => {
  const copy = new CopyData();
  if (data !== '') copy.add(Buffer.from(data));
  return { kind: 'copyEnd', copy };
};
const query = (seq: number): Expectation => ({
  kind: 'query',
  seq,
  action: ACTION,
  done: 0,
  failed: false,
  defined: [],
});

t.test('an error at each position of a pipeline skips everything up to the Sync, and nothing behind it', async (t) => {
  const sent = [parse('a'), execute(1), parse('b'), execute(2), parse('c'), execute(3)];
  for (const [position] of sent.entries()) {
    const expected = new Expectations();
    for (const one of [...sent, SYNC, parse('next'), SYNC]) t.ok(expected.add(one));
    for (let i = 0; i < position; i += 1) t.equal(expected.pop(), sent[i]);
    t.same(expected.fail(), sent.slice(position), `error at ${position}`);
    t.equal(expected.pop(), SYNC);
    t.equal(expected.pop()?.kind, 'parse');
  }
});

t.test('what is sent between an error and the Sync is skipped by the server, a simple query too', async (t) => {
  const expected = new Expectations();
  expected.add(execute(1));
  expected.fail();
  t.notOk(expected.add(parse('s')));
  t.notOk(expected.add(query(2)));
  t.equal(expected.head, undefined);
  t.ok(expected.add(SYNC));
  t.ok(expected.add(parse('s')), 'and not behind it');
  t.same([expected.pop()?.kind, expected.pop()?.kind], ['sync', 'parse']);
});

t.test('a COPY FROM swallows the Syncs that came before its data, and no others', async (t) => {
  const expected = new Expectations();
  for (const one of [execute(1), SYNC, SYNC, parse('s'), SYNC]) expected.add(one);
  t.same(expected.takeData(), parse('s'));
  t.same(
    [expected.pop(), expected.pop()?.kind, expected.pop(), expected.pop()],
    [execute(1), 'parse', SYNC, undefined],
  );
  t.equal(expected.takeData(), undefined);
  t.equal(expected.head, undefined, 'harmless with nothing under way');
});

t.test(
  'data whose end was sent before the server asked for it leaves what is behind that to be answered',
  async (t) => {
    const expected = new Expectations();
    const [one, other] = [copyEnd('1\n'), copyEnd('')];
    for (const sent of [execute(1), SYNC, one, SYNC, query(2), other, SYNC]) expected.add(sent);
    t.equal(expected.takeData(), one);
    t.same([expected.pop(), expected.pop(), expected.head], [execute(1), SYNC, query(2)]);
    t.same([expected.pop(), expected.pop()], [query(2), SYNC], 'the end of what nobody asks for is passed over');
    t.same([expected.size, expected.weight, expected.awaitsResult], [0, 0, false]);
  },
);

t.test('a long session keeps no more than what is under way', async (t) => {
  const expected = new Expectations();
  for (let n = 0; n < 10_000; n += 1) {
    expected.add(query(n));
    const head = expected.pop();
    if (head?.kind !== 'query' || head.seq !== n) t.fail(`at ${n}`);
  }
  t.equal(expected.pop(), undefined);
});
