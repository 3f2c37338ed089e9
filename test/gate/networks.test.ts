import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { Gate } from '../../src/gate/gate.js';
import { Networks } from '../../src/gate/networks.js';
import { createLog } from '../../src/log.js';
import { Metrics } from '../../src/metrics.js';
import { freshLedger } from '../recording/fixture.js';
import { waitUntil } from '../support/wait.js';
import { policyOf, startGate } from './fixture.js';

const USE = { session: '01990000-0000-7000-8000-00000000000a', grant: 'g', principal: 'alice', service: 'echo' };

async function noting(t: Test, ledger?: Awaited<ReturnType<typeof freshLedger>>) {
  const { pool, database } = ledger ?? (await freshLedger(t));
  const lines: Record<string, unknown>[] = [];
  const log = createLog('info', (line) => lines.push(JSON.parse(line)));
  const metrics = new Metrics();
  const networks = new Networks({ pool, clock: systemClock, log, metrics });
  t.teardown(() => networks.stop());
  const alerts = () =>
    database.query(
      'select kind, principal, service, grant_id, session_id::text, detail, acknowledged_at from daypass.alerts' +
        // Two that are written at once come in any order.
        ` order by detail ->> 'network' collate "C" desc, id`,
    );
  const counted = async () =>
    /daypass_alerts_total\{kind="second_network"\} (\d+)/.exec(await metrics.registry.metrics())?.[1];
  return { pool, database, networks, lines, alerts, counted };
}

t.test('a handle that is used from a second network raises an alert, once for each network', async (t) => {
  const { database, networks, lines, alerts, counted } = await noting(t);
  t.equal(await counted(), '0');
  for (const address of [
    '192.0.2.1',
    '192.0.2.9',
    '::ffff:192.0.2.1',
    '127.0.0.1',
    '::1',
    '127.0.0.1',
    '2001:db8::1',
    'unknown',
  ]) {
    networks.note({ ...USE, address });
  }
  networks.note({ ...USE, grant: 'another', address: '198.51.100.1' });
  await networks.settled();
  const about = { kind: 'second_network', principal: 'alice', service: 'echo', grant_id: 'g', session_id: USE.session };
  t.match(await alerts(), [
    { ...about, detail: { network: 'loopback', client: '127.0.0.1', others: ['192.0.2.0/24'] }, acknowledged_at: null },
    { ...about, detail: { network: '2001:db8::/48', client: '2001:db8::1' } },
  ]);
  t.equal((await database.query('select * from daypass.grant_networks')).length, 4);
  t.match(
    lines.toSorted((a, b) => String(b.network).localeCompare(String(a.network))),
    [{ level: 40, alert: 'second_network', grant: 'g', network: 'loopback' }, { network: '2001:db8::/48' }],
  );
  t.equal(lines.length, 2);
  t.equal(await counted(), '2');
});

t.test('what one gateway saw the others know: two that see a first network each at once raise one alert', async (t) => {
  const one = await noting(t);
  const two = await noting(t, one);
  for (let round = 0; round < 10; round += 1) {
    one.networks.note({ ...USE, grant: `g${round}`, address: '192.0.2.1' });
    two.networks.note({ ...USE, grant: `g${round}`, address: '198.51.100.1' });
    await Promise.all([one.networks.settled(), two.networks.settled()]);
    t.equal((await one.alerts()).length, round + 1);
  }
  one.networks.note({ ...USE, grant: 'g0', address: '198.51.100.7' });
  await one.networks.settled();
  t.equal((await one.alerts()).length, 10, 'the other gateway told of it already');
});

t.test('a ledger that does not take it keeps nobody waiting and gets it later', async (t) => {
  const { database, networks, alerts } = await noting(t);
  await database.query('alter table daypass.grant_networks rename to away');
  networks.note({ ...USE, address: '192.0.2.1' });
  networks.note({ ...USE, address: '198.51.100.1' });
  await networks.settled();
  t.same(await alerts(), []);
  await database.query('alter table daypass.away rename to grant_networks');
  await waitUntil('the alert', async () => (await alerts()).length === 1);
});

t.test('of uses without end only so many are remembered, and so many wait for the ledger', async (t) => {
  const { networks, lines, database } = await noting(t);
  await database.query('alter table daypass.grant_networks rename to away');
  const lost = () => lines.filter(({ level }) => level === 50).map(({ grant }) => grant);
  for (let at = 0; at < 10_000; at += 1) networks.note({ ...USE, grant: `g${at}`, address: '192.0.2.1' });
  t.same(lost(), []);
  networks.note({ ...USE, grant: 'more', address: '192.0.2.1' });
  t.same(lost(), ['more']);
  networks.note({ ...USE, grant: 'g1', address: '192.0.2.1' });
  t.same(lost(), ['more'], 'what is remembered is not noted again');
  networks.note({ ...USE, grant: 'g0', address: '192.0.2.1' });
  t.same(lost(), ['more', 'g0'], 'the oldest was forgotten');
  await networks.settled();
});

t.test('the gate tells of every network: of a new session, and of a shared one that goes on elsewhere', async (t) => {
  const parts = await startGate(t, policyOf('echo', { reader: new Set(['read']) }));
  const seen: string[] = [];
  const networks = {
    note: ({ address, service }: { address: string; service: string }) => void seen.push(`${service} ${address}`),
  };
  const gate = new Gate({ ...parts, networks });
  t.teardown(() => {
    gate.live.cutAll('shutdown');
    gate.live.deadlines.stop();
  });
  const { handle } = parts.grants.add();
  const request = { protocol: 'echo', service: 'echo', credential: handle };
  await gate.admit({ ...request, client: '192.0.2.1:5000', address: '192.0.2.1' });
  await gate.admit({ ...request, client: '192.0.2.2', shared: true });
  t.ok(gate.admitted('echo', handle, '198.51.100.1'));
  await gate.admit({ ...request, client: '203.0.113.1', shared: true });
  t.same(seen, ['echo 192.0.2.1', 'echo 192.0.2.2', 'echo 198.51.100.1', 'echo 203.0.113.1']);
  t.not(await gate.admit({ ...request, credential: `${handle}x`, client: '203.0.113.9' }).then(({ ok }) => ok), true);
  t.equal(seen.length, 4, 'whoever is refused is not noted');
  const { handle: another } = parts.grants.add();
  const together = ['192.0.2.3', '198.51.100.3'].map((client) =>
    gate.admit({ ...request, credential: another, client, shared: true }),
  );
  await Promise.all(together);
  t.same(seen.slice(4), ['echo 192.0.2.3', 'echo 198.51.100.3'], 'nor is who waits with another overlooked');
});
