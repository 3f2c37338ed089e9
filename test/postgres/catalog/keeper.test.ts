import t from 'tap';
import { createLog } from '../../../src/log.js';
import type { Catalog } from '../../../src/postgres/catalog/catalog.js';
import { Catalogs } from '../../../src/postgres/catalog/keeper.js';
import { catalogOf } from '../../../src/postgres/catalog/rows.js';
import { UPSTREAM } from '../role.js';

/** A catalog with one relation of this name. */
function catalog(name: string): Catalog {
  const relation = {
    schema: 'public',
    name,
    kind: 'r',
    row_type: '20000',
    columns: ['id'],
    types: ['23'],
  };
  return catalogOf({
    relations: [relation],
    functions: [],
    operators: [],
    types: [],
    casts: [],
    system: [{ relations: [], types: [], operators: [] }],
  });
}

/** Catalogs over a clock and a database of the test's own. */
function kept() {
  const state = { now: 0, asked: 0, answer: async (): Promise<Catalog> => catalog('orders') };
  const clock = { wall: () => state.now, monotonic: () => state.now };
  const lines: string[] = [];
  const passwords: string[] = [];
  const load = ({ password }: { readonly password: string }) => {
    state.asked += 1;
    passwords.push(password);
    return state.answer();
  };
  return {
    state,
    lines,
    passwords,
    catalogs: new Catalogs(
      load,
      clock,
      createLog('debug', (line) => lines.push(line)),
    ),
  };
}

t.test(
  'a session begins with a catalog that was read within the last second, and many share one reading',
  async (t) => {
    const { state, catalogs } = kept();
    const one = catalogs.hold(() => UPSTREAM);
    const two = catalogs.hold(() => ({ ...UPSTREAM }));
    t.equal(one.current(), null, 'none yet');
    await Promise.all([one.ready(), two.ready()]);
    t.equal(state.asked, 1);
    t.equal(one.current(), two.current());
    state.now = 900;
    await two.ready();
    t.equal(state.asked, 1);
    state.now = 1_000;
    await two.ready();
    t.equal(state.asked, 2);
    const other = catalogs.hold(() => ({ ...UPSTREAM, user: 'somebody_else' }));
    t.equal(other.current(), null, 'another account has a catalog of its own');
    for (const held of [one, two, other]) held.release();
    catalogs.stop();
  },
);

t.test('the catalog stays the same value while nothing changes, and is another one when something did', async (t) => {
  const { state, catalogs } = kept();
  const held = catalogs.hold(() => UPSTREAM);
  await held.ready();
  const first = held.current();
  state.now = 5_000;
  await held.ready();
  t.equal(held.current(), first);
  state.answer = async () => catalog('invoices');
  state.now = 10_000;
  await held.ready();
  t.not(held.current(), first);
  t.ok(held.current()?.relations.get('public')?.has('invoices'));
  held.release();
});

t.test('a catalog that cannot be read again counts for two minutes and then is none', async (t) => {
  const { state, catalogs, lines } = kept();
  const held = catalogs.hold(() => UPSTREAM);
  await held.ready();
  state.answer = () => Promise.reject(new Error('gone'));
  state.now = 120_000;
  await held.ready();
  t.ok(held.current());
  t.match(lines.join(''), /the catalog cannot be read.*gone|gone.*the catalog cannot be read/);
  state.now = 120_001;
  t.equal(held.current(), null);
  held.release();
});

t.test('a change during a reading makes it be read once more', async (t) => {
  const { state, catalogs } = kept();
  const held = catalogs.hold(() => UPSTREAM);
  let answer: (catalog: Catalog) => void = () => {};
  state.answer = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const ready = held.ready();
  held.changed();
  t.equal(state.asked, 1, 'one reading at a time');
  state.answer = async () => catalog('later');
  answer(catalog('earlier'));
  await ready;
  t.equal(state.asked, 2);
  t.ok(held.current()?.relations.get('public')?.has('later'));
  held.release();
});

t.test('a change is heard by every account of the database, and by no other', async (t) => {
  const { state, catalogs } = kept();
  const reader = catalogs.hold(() => UPSTREAM);
  const fixer = catalogs.hold(() => ({ ...UPSTREAM, user: 'fixer' }));
  const elsewhere = catalogs.hold(() => ({ ...UPSTREAM, database: 'other' }));
  await Promise.all([reader.ready(), fixer.ready(), elsewhere.ready()]);
  t.equal(state.asked, 3);
  reader.changed();
  t.equal(state.asked, 5);
  catalogs.stop();
});

t.test('for sessions that never ask for it a catalog is not read, whatever they change', async (t) => {
  const { state, catalogs } = kept();
  const held = catalogs.hold(() => UPSTREAM);
  held.changed();
  t.equal(state.asked, 0);
  await held.ready();
  held.changed();
  t.equal(state.asked, 2, 'once somebody does, it is');
  catalogs.stop();
});

t.test('a password that was replaced is the one that the catalog is read with from then on', async (t) => {
  const { state, catalogs, passwords } = kept();
  let password = 'first';
  const held = catalogs.hold(() => ({ ...UPSTREAM, password }));
  await held.ready();
  password = 'second';
  state.now = 1_000;
  await held.ready();
  const later = catalogs.hold(() => ({ ...UPSTREAM, password }));
  t.equal(later.current(), held.current(), 'and it is the same one');
  t.same(passwords, ['first', 'second']);
  for (const one of [held, held, later]) one.release();
  t.equal(catalogs.hold(() => UPSTREAM).current(), null, 'nobody held it any more');
  catalogs.stop();
});

t.test('rows that are not what was asked for are no catalog', async (t) => {
  t.throws(() => catalogOf({ relations: [{ schema: 'public' }] }));
  t.throws(() => catalogOf(null));
});
