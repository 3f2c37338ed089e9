import t from 'tap';
import { MessageMemory } from '../../src/session/message-memory.js';

/** A memory of 100, and shares of it that tell when they are crowded out. */
function memory() {
  const all = new MessageMemory(100);
  const crowdedOut: string[] = [];
  const share = (person: string, name = person) => all.share(person, () => crowdedOut.push(name));
  return { all, share, crowdedOut };
}

t.test('what is taken is there again when it is given back', async (t) => {
  const { all, share, crowdedOut } = memory();
  const [one, other] = [share('alice'), share('bob')];
  t.ok(one.take(60, 60));
  t.notOk(other.take(60, 60));
  one.keep(30);
  t.ok(other.take(60, 60));
  one.keep(90);
  t.same([all.taken, one.taken, other.taken], [90, 30, 60], 'to keep more than was taken takes nothing');
  one.keep(0);
  other.keep(0);
  t.equal(all.taken, 0);
  t.same(crowdedOut, []);
});

t.test('one message may be as large as there is room, several of one person a quarter together', async (t) => {
  const { share } = memory();
  const [one, another] = [share('alice'), share('alice')];
  t.ok(one.take(20, 20));
  t.notOk(another.take(10, 10));
  t.ok(another.take(5, 5));
  one.keep(0);
  t.ok(another.take(80, 85));
});

t.test('where it is full who takes most makes room for who would have less, and for nobody else', async (t) => {
  const { all, share, crowdedOut } = memory();
  const hoarders = ['mallory', 'mike', 'moe'].map((name) => [share(name, `${name} 1`), share(name, `${name} 2`)]);
  for (const [first, second] of hoarders) t.ok(first?.take(20, 20) && second?.take(5, 5));
  const large = share('peggy');
  t.ok(large.take(25, 25));
  t.equal(all.taken, 100);
  const late = share('alice');
  t.notOk(late.take(10, 30), 'a message that may become as large as theirs waits for its turn');
  t.same(crowdedOut, []);
  t.ok(late.take(10, 10));
  t.same(crowdedOut, ['mallory 1'], 'the largest one that there is');
  t.equal(all.taken, 90);
  t.notOk(hoarders[0]?.[0]?.take(1, 1), 'what was crowded out takes no more');
  t.ok(hoarders[0]?.[1]?.take(10, 15));
  t.notOk(share('bob').take(20, 20), 'nor would they have as much then');
  t.ok(share('bob').take(15, 15));
  t.same(crowdedOut.slice(1), ['mike 1']);
});

t.test('nobody is crowded out for a message that finds no room then, either', async (t) => {
  const { all, share, crowdedOut } = memory();
  for (const name of ['a', 'b', 'c', 'd']) t.ok(share(name).take(25, 25));
  t.notOk(share('late').take(20, 24), 'each may be left with as much');
  t.notOk(share('late').take(101, 101));
  t.same(crowdedOut, []);
  t.equal(all.taken, 100);
});
