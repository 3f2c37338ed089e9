import type { Pool } from 'pg';
import t from 'tap';
import { readNeedsHand } from '../../src/access/leaving-hand.js';
import { IndexWriter } from '../../src/recording/index.js';
import type { SessionLog } from '../../src/recording/log.js';
import { rebuildIndex } from '../../src/recording/rebuild.js';
import { close, freshLedger, open, quiet, safe, startRecorder } from './fixture.js';

const ALL = 'select session_id, principal, service, secret, at from secret_sightings order by session_id, secret';

/** What whoever ends their access is told to replace. */
const secretsSeen = async (pool: Pool, principal: string) =>
  (await readNeedsHand({ pool, services: () => [] }, principal, Date.now())).rotate;

const saw = (log: SessionLog, secret: string) => log.append('notice', { about: 'secret_seen', secret });

t.test('a recorded sighting is found by person, whoever writes the index and however often', async (t) => {
  const { pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 60_000 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  const logs = [open(recorder), open(recorder), open(recorder, { principal: 'bob', service: 'web' })];
  const [first, second, bobs] = logs as [SessionLog, SessionLog, SessionLog];
  saw(first, 'env A');
  saw(first, 'file b\0.key');
  await safe(first);
  await index.flush();
  saw(second, 'env A');
  saw(bobs, 'env A');
  bobs.append('notice', { about: 'expiry', secret: 'env NO' });
  for (const log of logs) {
    close(log);
    await safe(log);
  }
  await index.close();
  const written = (await pool.query(ALL)).rows;
  t.equal(written.length, 4);
  const seen = await secretsSeen(pool, 'alice');
  t.match(seen, [
    { service: 'orders-db', secret: 'env A', sessions: [first.row.id, second.row.id] },
    { service: 'orders-db', secret: 'file b.key', sessions: [first.row.id] },
  ]);
  const [earliest, latest] = [Date.parse(seen[0]?.first ?? ''), Date.parse(seen[0]?.last ?? '')];
  t.ok(earliest <= latest && earliest > Date.now() - 60_000);
  t.match(await secretsSeen(pool, 'bob'), [{ service: 'web', secret: 'env A', sessions: [bobs.row.id] }]);
  t.same(await secretsSeen(pool, 'carol'), []);

  await pool.query(`update sessions set ended_at = ended_at - interval '1 minute'`);
  await pool.query('truncate secret_sightings');
  await rebuildIndex(pool);
  t.same((await pool.query(ALL)).rows, written, 'a rebuild says the same');
  await rebuildIndex(pool);
  t.same((await pool.query(ALL)).rows, written, 'and once more');
});

t.test('a sighting is kept by a rebuild that cannot read its block any more', async (t) => {
  const { pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 60_000 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  const log = open(recorder);
  saw(log, 'env A');
  close(log);
  await safe(log);
  await index.close();
  await pool.query(`update sessions set ended_at = ended_at - interval '1 minute'`);
  await pool.query(`update blocks set payload = '\\x00'`);
  t.match(await rebuildIndex(pool), { unreadable: [log.row.id] });
  t.match(await secretsSeen(pool, 'alice'), [{ secret: 'env A' }]);
});

t.test(
  'a session that claims thousands of sightings, or nonsense, fills the index no more than any other',
  async (t) => {
    const { pool } = await freshLedger(t);
    const index = new IndexWriter({ pool, log: quiet, stretch: 60_000 });
    const { recorder } = await startRecorder(t, pool, { listen: index.listen });
    const log = open(recorder);
    for (let n = 0; n < 1_000; n += 1) saw(log, `env N${n}`);
    log.append('notice', { about: 'secret_seen', secret: 7 });
    log.append('notice', { about: 'secret_seen' });
    await safe(log);
    const other = open(recorder);
    saw(other, 'x'.repeat(9_000));
    await safe(other);
    await index.close();
    const { rows } = await pool.query(
      'select count(*)::int as rows, max(length(secret))::int as longest from secret_sightings',
    );
    t.same(rows, [{ rows: 257, longest: 512 }]);
  },
);
