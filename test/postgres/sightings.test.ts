import t, { type Test } from 'tap';
import { readNeedsHand } from '../../src/access/leaving-hand.js';
import { openDatabase } from '../../src/recording/database.js';
import { until } from '../recording/fixture.js';
import { throughGateway } from '../support/gateway.js';
import { gatewayToOrders } from './fixture.js';

const MASTER = '  master:\n    allow:\n      - { statements: [any] }\n';
/** Put together by the server, so that the record's own statement does not hold it. */
const READERS = `'reader' || '-secret'`;
const FIXERS = `'fixer' || '-secret'`;

async function started(t: Test) {
  const gateway = await gatewayToOrders(t, { policy: { more: MASTER } });
  const connect = async () => {
    const { handle } = await gateway.issue({ service: 'orders-db', role: 'master' });
    return throughGateway(t, gateway.ports.postgres, handle);
  };
  return { gateway, connect };
}

const isSighting = ({ kind, facts }: { kind: string; facts: Record<string, unknown> }) =>
  kind === 'notice' && facts.about === 'secret_seen';

t.test('a password that comes back is told of once a session, and the session goes on', async (t) => {
  const { gateway, connect } = await started(t);
  const client = await connect();
  t.same(
    (await client.query(`select ${READERS} as it`)).rows,
    [{ it: 'reader-secret' }],
    'the answer is the service’s',
  );
  await client.query(`select ${READERS} as it`);
  t.same((await client.query('select 1 as n')).rows, [{ n: 1 }]);
  await client.end();
  const again = await connect();
  await again.query(`select 'x' || ${READERS} || 'y', ${FIXERS}`);
  await again.end();
  await until(gateway.ledger, 'select count(*) = 3 from daypass.secret_sightings');
  const sightings = (await gateway.events()).filter(isSighting);
  t.same(sightings.map(({ facts }) => facts.secret).sort(), [
    'env FIXER_PASSWORD',
    'env READER_PASSWORD',
    'env READER_PASSWORD',
  ]);
  t.notMatch(JSON.stringify(sightings), /-secret/, 'no bytes of it');
  const lines = gateway.lines.filter(({ msg }) => /injected towards it/.test(String(msg)));
  t.match(lines[0], { level: 40, service: 'orders-db', principal: 'alice', secret: 'env READER_PASSWORD' });
  t.equal(lines.length, 3);
  const pool = openDatabase(gateway.ledger.url, { max: 1 });
  t.teardown(() => pool.end());
  const { rotate } = await readNeedsHand({ pool, services: () => [] }, 'alice', Date.now());
  t.match(rotate, [
    { service: 'orders-db', secret: 'env FIXER_PASSWORD', sessions: [String] },
    { service: 'orders-db', secret: 'env READER_PASSWORD', sessions: [String, String] },
  ]);
});

t.test('a password is seen in errors, notices and copied data, in text and in binary', async (t) => {
  const { gateway, connect } = await started(t);
  for (const [what, sql] of [
    ['error', `do $$ begin raise exception '%', ${READERS}; end $$`],
    ['notice', `do $$ begin raise notice '%', ${READERS}; end $$`],
    ['copy', `copy (select ${READERS}) to stdout`],
    ['binary copy', `copy (select ${READERS}) to stdout (format binary)`],
    ['a long row', `select repeat('x', 200000) || ${READERS} || repeat('y', 200000)`],
    ['many rows', `select case when n = 50000 then ${READERS} else n::text end from generate_series(1, 60000) n`],
    [
      'a column’s name',
      `do $$ begin execute format('create temp view v as select 1 as %I', ${READERS}); end $$; select * from v`,
    ],
  ] as const) {
    const client = await connect();
    await client.query(sql).catch(() => {});
    await client.end();
    const events = await gateway.events();
    const { session } = events.findLast(({ kind }) => kind === 'open') ?? {};
    await until(gateway.ledger, 'exists (select from daypass.sessions where id = $1 and ended_at is not null)', [
      session,
    ]);
    const own = (await gateway.events()).filter((event) => event.session === session && isSighting(event));
    t.match(own, [{ facts: { secret: 'env READER_PASSWORD' } }], what);
  }
});

t.test('an ordinary session sights nothing', async (t) => {
  const { gateway, connect } = await started(t);
  const client = await connect();
  await client.query('select * from orders');
  await client.query(`select 'reader_secret', 'eader-secret', 'reader-secre'`);
  await client.end();
  await gateway.stop();
  t.notOk((await gateway.events()).some(isSighting));
});
