import t from 'tap';
import { mayHold, Names, type Portal } from '../../src/postgres/names.js';

t.test('a name stands for everything it could be until the server says which', async (t) => {
  const names = new Names<string>();
  t.same(names.candidates('s'), [], 'nothing, before it is given');
  names.propose('s', 'first');
  names.sync();
  names.propose('s', 'second');
  names.sync();
  t.same(names.candidates('s'), ['first', 'second']);
  names.confirm('s', 'first');
  t.same(names.candidates('s'), ['first', 'second'], 'the second may still replace it');
  names.withdraw('s', 'second');
  t.same(names.candidates('s'), ['first']);
  names.close('s');
  t.same(names.candidates('s'), []);
});

t.test('what was asked for once does not change under the asker', async (t) => {
  const names = new Names<string>();
  names.propose('s', 'first');
  const then = names.candidates('s');
  names.propose('s', 'second');
  t.same(then, ['first']);
});

t.test('closing a name does not forget what is on its way to it', async (t) => {
  const names = new Names<string>();
  names.propose('s', 'old');
  names.confirm('s', 'old');
  names.propose('s', 'new');
  names.close('s');
  t.same(names.candidates('s'), ['new']);
});

t.test('withdrawing takes one meaning out, once, and nothing that is not there', async (t) => {
  const names = new Names<string>();
  names.withdraw('s', 'never');
  names.propose('s', 'same');
  names.propose('s', 'same');
  names.sync();
  names.withdraw('s', 'same');
  t.same(names.candidates('s'), ['same']);
  names.withdraw('s', 'same');
  names.withdraw('s', 'same');
  t.same(names.candidates('s'), []);
});

t.test('a client cannot fill the memory with names, nor with meanings of one name', async (t) => {
  const names = new Names<number>();
  for (let n = 0; n < 10_000; n += 1) if (names.hasRoom(`s${n}`)) names.propose(`s${n}`, n);
  t.notOk(names.hasRoom('one more'));
  t.ok(names.hasRoom('s1'), 'though what it has may change');
  const meanings = new Names<number>();
  for (let n = 0; n < 100; n += 1) meanings.define('s', n);
  t.notOk(meanings.mayDefine('s'));
  t.ok(meanings.mayDefine('another'));
});

t.test('between two Syncs the newest meaning is the one: were it not, what uses it would be skipped', async (t) => {
  const names = new Names<string>();
  names.propose('s', 'old');
  names.confirm('s', 'old');
  names.propose('s', 'new');
  t.same(names.candidates('s'), ['new']);
  t.same(names.all('s'), ['old', 'new']);
  names.sync();
  t.same(names.candidates('s'), ['old', 'new'], 'behind the Sync it may have failed');
  names.propose('s', 'newest');
  names.closing('s');
  t.same(names.candidates('s'), ['old', 'new', 'newest'], 'a Close may have closed it');
  names.propose('s', 'last');
  names.define('s', 'by SQL');
  t.same(names.candidates('s').slice(-2), ['last', 'by SQL'], 'SQL may have given it another');
  names.propose('s', 'refused');
  names.withdraw('s', 'refused');
  t.notOk(names.candidates('s').includes('refused'));
});

t.test('a client that never waits for an answer cannot make judging long', async (t) => {
  const names = new Names<number>();
  for (let n = 0; n <= 100; n += 1) names.propose('s', n);
  t.same(names.candidates('s'), [100]);
  names.sync();
  t.throws(() => names.candidates('s'), { name: 'FramingError', tooLarge: true });
  names.confirm('s', 0);
  for (let n = 1; n <= 10; n += 1) names.confirm('s', n);
  t.equal(names.candidates('s').length, 91, 'and it is as before once the answers came');
});

t.test('a name outside of ASCII is one name, whichever way it is given and used', async (t) => {
  const names = new Names<string>();
  names.define('é', 'by SQL');
  t.same(names.candidates('é'), ['by SQL']);
  names.confirm('é', 'by SQL');
  names.propose('é', 'by Parse');
  names.sync();
  t.same(names.candidates('é'), ['by SQL', 'by Parse']);
  names.confirm('é', 'by Parse');
  t.equal(names.confirmed('é'), 'by Parse');
  t.same(names.candidates('é'), ['by Parse']);
});

t.test('a name that stands for nothing any more leaves its room to others', async (t) => {
  const names = new Names<number>();
  for (let n = 0; n < 10_000; n += 1) names.propose(`s${n}`, n);
  t.notOk(names.hasRoom('one more'));
  names.withdraw('s1', 1);
  t.ok(names.hasRoom('one more'));
  names.propose('one more', 1);
  names.confirm('s2', 2);
  names.sync();
  names.close('s2');
  t.ok(names.hasRoom('another'));
  names.closeAll();
  t.same(names.candidates('s3'), [3], 'what is on its way is not closed');
});

t.test('only what survives the end of a transaction is kept', async (t) => {
  const names = new Names<string>();
  for (const meaning of ['with hold', 'plain']) {
    names.propose(meaning, meaning);
    names.confirm(meaning, meaning);
    names.propose('both', meaning);
  }
  names.retain((meaning) => meaning === 'with hold');
  t.same(names.candidates('with hold'), ['with hold']);
  t.same(names.candidates('plain'), []);
  t.same(names.candidates('both'), ['with hold']);
});

t.test('a long statement is looked through once for whether its portals may hold, however many they are', (t) => {
  let reads = 0;
  const statement = {
    analysis: { ok: true, statements: [] } as const,
    get text() {
      reads += 1;
      return "select 'hold'";
    },
  };
  const portals = new Names<Portal>();
  for (let n = 0; n < 100; n += 1) portals.propose(`p${n}`, { statements: [statement], parameters: [] });
  portals.retain(mayHold);
  portals.retain(mayHold);
  t.equal(portals.all('p99').length, 1);
  t.equal(reads, 1);
  t.end();
});

t.test('behind a simple Query the empty name stands for what is surely put in its place', async (t) => {
  const names = new Names<string>();
  names.propose('', 'before');
  names.queried();
  names.sync();
  t.same([names.candidates(''), names.newest('')], [[], []]);
  names.confirm('', 'before');
  t.same(names.candidates(''), [], 'confirmed behind it, but sent before');
  t.equal(names.confirmed(''), 'before', 'to the server, which has not come to the Query yet');
  names.propose('', 'in this segment');
  t.same(names.candidates(''), ['in this segment']);
  names.sync();
  t.same(names.candidates(''), [], 'it may have failed');
  names.confirm('', 'in this segment');
  t.same(names.candidates(''), ['in this segment']);
});
