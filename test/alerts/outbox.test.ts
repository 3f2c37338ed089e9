import t from 'tap';
import { Outbox } from '../../src/alerts/outbox.js';
import { openDatabase } from '../../src/recording/database.js';
import { inTransaction } from '../../src/recording/transaction.js';
import { HandClock } from '../grant/fixture.js';
import { ledgerDatabase } from '../support/ledger.js';

t.test('a notice is kept with the act it is about, or not at all, and once', async (t) => {
  const database = await ledgerDatabase(t);
  const pool = openDatabase(database.url);
  t.teardown(() => pool.end());
  const outbox = new Outbox(new HandClock());
  const notice = (dedupe: string) => ({ kind: 'alert', dedupe, data: { what: 'a\0b\ud800' }, to: {} }) as const;
  const failing = inTransaction(pool, async (client) => {
    await outbox.enqueue(client, notice('one'));
    throw new Error('the act failed');
  });
  await t.rejects(failing, /the act failed/);
  t.same(await database.query('select dedupe from daypass.notices'), []);
  const handle = `dp_0123456789abcdefghijkl_${'x'.repeat(43)}`;
  const careless = { kind: 'alert', dedupe: 'handle', data: { what: `with ${handle}` }, to: {} } as const;
  await outbox.enqueue(pool, careless);
  t.same(await database.query("delete from daypass.notices where dedupe = 'handle' returning data"), [
    { data: { what: 'with dp_0123456789abcdefghijkl_[redacted]' } },
  ]);
  const twice = [1, 2].map(() => inTransaction(pool, (client) => outbox.enqueue(client, notice('two'))));
  await Promise.all(twice);
  t.same(await database.query('select dedupe, data, spread_at from daypass.notices'), [
    { dedupe: 'two', data: { what: 'a\ufffdb\ufffd' }, spread_at: null },
  ]);
});
