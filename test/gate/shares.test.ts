import { randomInt } from 'node:crypto';
import t from 'tap';
import { Shares } from '../../src/gate/shares.js';

/** As many as somebody can have. */
function fill(shares: Shares, person: string): number {
  let taken = 0;
  while (shares.take(person)) taken += 1;
  return taken;
}

t.test('one has half of the room, of two each a third, of three each a quarter', async (t) => {
  for (const people of [1, 2, 3, 9]) {
    const shares = new Shares(1_200);
    const names = Array.from({ length: people }, (_, at) => `p${at}`);
    const taken = new Map(names.map((name) => [name, 0]));
    // In turns, as who comes at once does.
    for (let round = 0; round < 1_200; round += 1)
      for (const name of names) if (shares.take(name)) taken.set(name, taken.get(name)! + 1);
    for (const count of taken.values()) t.ok(Math.abs(count - 1_200 / (people + 1)) <= 1);
    t.ok(shares.take('somebody else'));
  }
});

t.test('whoever comes behind those who took all they could has some', async (t) => {
  const shares = new Shares(1_000);
  t.equal(fill(shares, 'alice'), 500);
  t.equal(fill(shares, 'bob'), 250);
  t.equal(fill(shares, 'carol'), 125);
  shares.giveBack('alice');
  t.notOk(shares.take('alice'), 'who has more than are free has what they have');
  t.ok(shares.take('dave'));
});

t.test('whatever comes and goes: never more than the room, and all of it is free in the end', async (t) => {
  const shares = new Shares(40);
  const held: string[] = [];
  for (let at = 0; at < 20_000; at += 1) {
    const person = `p${randomInt(12)}`;
    if (randomInt(5) > 1 && shares.take(person)) held.push(person);
    else if (held.length > 0) shares.giveBack(held.splice(randomInt(held.length), 1)[0]!);
    if (held.length > 40) t.fail('more than there is room for');
  }
  for (const person of held) shares.giveBack(person);
  t.equal(fill(shares, 'alice'), 20);
});

t.test('what rests takes what is free, and the longest at rest gives way first', async (t) => {
  const shares = new Shares(4);
  const gone: string[] = [];
  const resting: string[] = [];
  const giver = { giveWay: () => giveWay() };
  const giveWay = () => {
    const first = resting.shift();
    if (first === undefined) return false;
    gone.push(first);
    shares.wakes();
    return true;
  };
  const rests = (name: string) => {
    resting.push(name);
    shares.rests(giver);
  };
  for (const name of ['a', 'b', 'c', 'd', 'e']) rests(name);
  t.same(gone, ['a']);
  t.equal(resting.shift(), 'b');
  shares.wakes();
  t.ok(shares.take('alice'), 'it keeps nobody out');
  t.same(gone, ['a'], 'and what is used again is nowhere in the way');
  t.ok(shares.take('bob'));
  t.same(gone, ['a', 'c']);
  shares.giveBack('alice');
  rests('b');
  t.same(gone, ['a', 'c']);
});

t.test('who has nothing to give is asked once for it', async (t) => {
  const shares = new Shares(2);
  let asked = 0;
  const busy = {
    giveWay: () => {
      asked += 1;
      return false;
    },
  };
  shares.rests(busy);
  shares.wakes(); // it is used again
  for (let at = 0; at < 50; at += 1) {
    const giveWay = () => {
      shares.wakes();
      return true;
    };
    shares.rests({ giveWay });
  }
  t.equal(asked, 1);
});
