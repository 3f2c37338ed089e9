import t from 'tap';
import { Names } from '../../src/postgres/names.js';

t.test('a name stands for everything it could be until the server says which', async (t) => {
  const names = new Names<string>();
  t.same(names.candidates('s'), [], 'nothing, before it is given');
  names.propose('s', 'first');
  names.propose('s', 'second');
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
  const meanings = new Names<number>();
  for (let n = 0; n < 1_000; n += 1) meanings.propose('s', n);
  t.notOk(meanings.hasRoom('s'));
  t.ok(meanings.hasRoom('another'));
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
