import { randomUUID } from 'node:crypto';
import t from 'tap';
import { alarm } from '../../src/alerts/alarm.js';
import { AlertBook } from '../../src/alerts/book.js';
import { Bursts } from '../../src/alerts/bursts.js';
import { LeftBehind } from '../../src/alerts/left-behind.js';
import type { Notice } from '../../src/alerts/outbox.js';
import { AlertSweep } from '../../src/alerts/sweep.js';
import { AlertWatch } from '../../src/alerts/watch.js';
import { systemClock } from '../../src/clock.js';
import { alertsSchema } from '../../src/config/alerts.js';
import { operatorNamed } from '../../src/identity/actor.js';
import { Metrics } from '../../src/metrics.js';
import type { Facts } from '../../src/recording/event.js';
import { Presence } from '../../src/recording/gateways.js';
import { listenAll } from '../../src/recording/hearing.js';
import { IndexWriter } from '../../src/recording/index.js';
import { close, freshLedger, open, quiet, safe, type sessionRow, startRecorder } from '../recording/fixture.js';

const { pool, database } = await freshLedger(t);
const settings = alertsSchema.parse({
  denials: { count: 3, within: '1m' },
  volume: { rows: 100, bytes: '1KiB', times: 10 },
});
/** Ahead of the machine's by so much, milliseconds. How long something lasts is for the test to say, however slowly it runs. */
const clock = { ahead: 0, wall: () => Date.now() + clock.ahead, monotonic: () => clock.ahead };
const notices: Notice[] = [];
const metrics = new Metrics();
const raise = alarm(settings, {
  enqueue: async (client, notice) => {
    const { rows } = await client.query('select 1 from alerts where id = $1', [notice.data.alert]);
    if (rows.length === 1) notices.push(notice); // the alert's own transaction
  },
});
let raised = 0;
const watch = new AlertWatch({
  ...{ pool, raise, settings, clock, log: quiet, metrics },
  raised: () => {
    raised += 1;
  },
});
t.teardown(() => watch.stop());
/** What of a process is behind its recorder. */
async function startProcess(watch: AlertWatch) {
  const bursts = new Bursts({ pool, watch, settings: settings.denials, log: quiet });
  const index = new IndexWriter({ pool, log: quiet, written: bursts.indexed });
  const { recorder } = await startRecorder(t, pool, {
    listen: listenAll([index.listen, watch.listen]),
  });
  return { watch, bursts, index, recorder };
}
type Process = Awaited<ReturnType<typeof startProcess>>;
const here = await startProcess(watch);
const readings = { fed: true, recorded: true, queued: 0 };
const sweep = new AlertSweep(
  {
    ...{ pool, watch, settings, clock, log: quiet, gatewayId: 'here', ledger: true },
    readings: { feed: () => readings.fed, recording: () => readings.recorded, queuedBytes: () => readings.queued },
  },
  3_600_000,
);
t.teardown(() => sweep.stop());
const book = new AlertBook(pool, clock);

/** The alerts of one rule, the oldest first. */
async function alerts(kind: string) {
  await here.bursts.settled();
  await watch.settled();
  return (await book.list({ kind, limit: 100 })).alerts.toReversed();
}

/** An event, as far as these tests say it. */
type Said = readonly ['action' | 'result', Facts];

/** Records actions and results of one session, and waits until they are committed and indexed. */
async function session(over: Parameters<typeof sessionRow>[0], events: readonly Said[], at: Process = here) {
  const log = open(at.recorder, over);
  for (const [kind, facts] of events) log.append(kind, facts, {});
  close(log);
  await safe(log);
  await at.index.flush();
  await at.bursts.settled();
  await at.watch.settled();
  return log.row;
}

const denied = (reason = 'out_of_scope'): Said => ['action', { verb: 'select', outcome: 'deny', rule: 'r', reason }];
const did = (verb: string): Said => ['action', { verb, on: ['public.orders'], outcome: 'allow', rule: 'r' }];
const given = (rows: number): Said => ['result', { of: 1, status: '00000', rows, bytesOut: 10 }];

/** Looks as a gateway does every ten seconds. */
async function looks(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await sweep.tick();
  await watch.settled();
}

async function grant(id: string, { ago = 0, token = 'a.b.c' }: { ago?: number; token?: string }): Promise<void> {
  const now = clock.wall();
  const at = (milliseconds: number) => new Date(now + milliseconds);
  await database.query(
    `insert into daypass.grants (id, service, principal, role, sponsor, reason, token, issued_at, not_before, expires_at)
     values ($1, 'orders-db', 'alice', 'reader', 'dana', 'r', $2, $3, $3, $4)`,
    [id, token, at(-ago), at(3_600_000)],
  );
}

t.test('a burst of denials is an alert; fewer in the time are none', async (t) => {
  await session({ principal: 'ada' }, [denied(), denied()]);
  t.same(await alerts('denials'), []);
  await session({ principal: 'ada' }, [denied()]);
  t.match(await alerts('denials'), [{ principal: 'ada', service: 'orders-db', count: 1, detail: { denials: 3 } }]);
  t.equal(raised, 1, 'and whoever carries it is called');
});

t.test(
  'while an alert is open the same is counted and not told of again; once acknowledged it is another',
  async (t) => {
    await session({ principal: 'ada' }, [denied(), denied(), denied()]);
    const [first, ...more] = await alerts('denials');
    t.match([first, more], [{ count: 2 }, []]);
    t.equal(notices.filter(({ data }) => data.rule === 'denials').length, 1);
    t.equal(raised, 1);
    t.match(notices[0], { kind: 'alert', dedupe: `alert:${first?.id}`, to: { channels: true } });
    await book.acknowledge(operatorNamed('olga'), first?.id ?? '', 'a wrong query in a loop');
    await t.rejects(book.acknowledge(operatorNamed('olga'), first?.id ?? '', 'again'), { code: 'already_decided' });
    await t.rejects(book.acknowledge(operatorNamed('olga'), randomUUID(), 'none'), { code: 'unknown_alert' });
    await session({ principal: 'ada' }, [denied(), denied(), denied()]);
    t.match(await alerts('denials'), [{ acknowledgedBy: 'olga', comment: 'a wrong query in a loop' }, { count: 1 }]);
    t.equal((await book.list({ open: true, kind: 'denials', limit: 10 })).alerts.length, 1);
    t.match(await database.query(`select actor, reason from daypass.audit where act = 'alert.acknowledge'`), [
      { actor: 'olga', reason: 'a wrong query in a loop' },
    ]);
  },
);

t.test('a grant that is tried outside of its hours is an alert', async (t) => {
  const { grantId } = await session({ principal: 'bob' }, [denied('outside_hours')]);
  t.match(await alerts('outside_hours'), [{ principal: 'bob', grant: grantId }]);
});

t.test(
  'far more rows than the person’s sessions usually get are an alert, and nothing below the floor is',
  async (t) => {
    for (const rows of [20, 30, 40]) await session({ principal: 'cleo' }, [did('select'), given(rows)]);
    await session({ principal: 'cleo' }, [did('select'), given(250)]);
    t.same(await alerts('volume'), [], 'the usual is 30: ten times as much is far');
    await session({ principal: 'cleo' }, [did('select'), given(320)]);
    t.match(await alerts('volume'), [{ principal: 'cleo', detail: { rows: 320 } }]);
    await session({ principal: 'dora' }, [did('select'), given(60), given(60)]);
    t.match(await alerts('volume'), [
      {},
      { principal: 'dora', detail: { rows: 120, usualRows: 0, earlierSessions: 0 } },
    ]);
  },
);

t.test('a person’s first write at a service is an alert, once; a refused one is none', async (t) => {
  await session({ principal: 'eve' }, [did('select'), ['action', { ...did('update')[1], outcome: 'deny' }]]);
  t.same(await alerts('first_write'), []);
  await session({ principal: 'eve' }, [did('update,select'), did('insert')]);
  await session({ principal: 'eve' }, [did('delete')]);
  t.match(await alerts('first_write'), [{ principal: 'eve', count: 1, detail: { verb: 'update,select' } }]);
  await session({ principal: 'eve', service: 'orders-web' }, [did('POST')]);
  t.equal((await alerts('first_write')).length, 2, 'at another service');
});

t.test('a change of a database’s shape is an alert', async (t) => {
  await session({ principal: 'eve' }, [did('ddl')]);
  t.match(await alerts('ddl'), [{ principal: 'eve', detail: { on: ['public.orders'] } }]);
});

t.test('what an operator issued past all requests is an alert, once; a grant of a request is none', async (t) => {
  const claims = Buffer.from(JSON.stringify({ req: randomUUID() })).toString('base64url');
  await grant('asked-for', { token: `e30.${claims}.x` });
  await grant('direct', {});
  await looks();
  await looks();
  t.match(await alerts('direct_issue'), [{ grant: 'direct', count: 1, detail: { role: 'reader' } }]);
  t.equal((await alerts('direct_issue')).length, 1);
});

t.test('a grant that is issued here is looked at before the next look', async (t) => {
  await grant('at-once', {});
  await sweep.issued();
  t.ok((await alerts('direct_issue')).some((alert) => alert.grant === 'at-once'));
});

t.test('a grant in force that nobody uses is an alert; a used one is none', async (t) => {
  await grant('unused', { ago: 3_600_000 });
  await grant('used', { ago: 3_600_000 });
  await session({ grantId: 'used' }, []);
  await looks();
  t.match(
    (await alerts('unused_grant')).map((alert) => alert.grant),
    ['unused'],
  );
});

t.test('what was issued as the last gateway died is told of by the next one to start, days later', async (t) => {
  await grant('long-ago', { ago: 6 * 86_400_000 });
  await looks();
  t.notOk(
    (await alerts('direct_issue')).some((alert) => alert.grant === 'long-ago'),
    'one that runs has seen its time',
  );
  const parts = { pool, watch, settings, clock, log: quiet, gatewayId: 'next', ledger: true };
  const next = new AlertSweep(
    { ...parts, readings: { feed: () => true, recording: () => true, queuedBytes: () => 0 } },
    3_600_000,
  );
  await next.tick();
  await next.stop();
  t.match(
    (await alerts('direct_issue')).filter((alert) => alert.grant === 'long-ago'),
    [{ count: 1 }],
  );
});

t.test('an account near its end is an alert, and again when it was extended', async (t) => {
  const now = clock.wall();
  const ends = (days: number) => new Date(now + days * 86_400_000);
  await database.query(
    `insert into daypass.people (subject, kind, source, name, sponsor, ends_at, created_at, created_by)
     values ('dana', 'employee', 'local', 'dana', null, null, now(), 'ops'), ('con', 'contractor', 'local', 'con', 'dana', $1, now(), 'ops'),
       ('cat', 'contractor', 'local', 'cat', 'dana', $2, now(), 'ops')`,
    [ends(6), ends(8)],
  );
  await looks();
  await looks();
  t.match(await alerts('account_ending'), [{ principal: 'con', count: 1, detail: { sponsor: 'dana' } }]);
  await database.query(`update daypass.people set ends_at = $1 where subject = 'con'`, [ends(6.5)]);
  await looks();
  t.equal((await alerts('account_ending')).length, 2);
});

t.test('a recorder that lags and a feed that is lost are alerts when they last, once each time', async (t) => {
  Object.assign(readings, { fed: false, recorded: false });
  await looks();
  t.same([...(await alerts('recorder_lag')), ...(await alerts('feed_lost'))], [], 'it may be back in a moment');
  clock.ahead += 6_000;
  await looks();
  await looks();
  t.match(await alerts('recorder_lag'), [{ count: 1, detail: { recording: false } }]);
  t.match(await alerts('feed_lost'), [{ count: 1 }]);
  Object.assign(readings, { fed: true, recorded: true, queued: 1_000 });
  await looks();
});

t.test('a clock that differs from the ledger’s is an alert', async (t) => {
  t.match(
    (await alerts('clock_off')).map(({ count }) => count),
    [1],
    'this one is six seconds ahead by now',
  );
});

t.test('an alert is written whatever the client put into its request, without handles and without end', async (t) => {
  const handle = `dp_0123456789abcdefghijkl_${'x'.repeat(43)}`;
  const on = ['/a\0b\ud800', `/${handle}`, '/'.padEnd(5_000, 'c'), ...Array(100).fill('/d')];
  await session({ principal: 'gil' }, [['action', { verb: 'POST', on, outcome: 'allow', rule: 'r' }]]);
  const gils = (await alerts('first_write')).filter(({ principal }) => principal === 'gil');
  t.match(gils, [{ detail: { verb: 'POST' } }]);
  const kept = JSON.stringify(gils);
  t.ok(kept.length < 2_000 && !kept.includes('xxx'), kept);
  const told = notices.filter(({ data }) => data.person === 'gil');
  t.ok(told.length === 1 && !JSON.stringify(told).includes('xxx'));
});

t.test('a rule that is off raises nothing', async (t) => {
  const off = alertsSchema.parse({ ddl: { enabled: false } });
  const silent = new AlertWatch({ pool, raise: alarm(off), settings: off, clock, log: quiet, metrics });
  const about = { grant: 'g', principal: 'zoe', service: 'orders-db' };
  const id = randomUUID();
  const hearing = silent.listen(id);
  hearing.hear({ seq: 1, at: clock.wall(), kind: 'open', facts: about, payload: null });
  hearing.hear({ seq: 2, at: clock.wall(), kind: 'action', facts: did('ddl')[1], payload: null });
  hearing.over(true);
  await silent.stop();
  t.notOk((await alerts('ddl')).some(({ principal }) => principal === 'zoe'));
});

t.test('what the ledger does not take is written when it does', async (t) => {
  await database.query('alter table daypass.alerts rename to alerts_away');
  await session({ principal: 'fay' }, [did('ddl')]);
  await watch.settled();
  await database.query('alter table daypass.alerts_away rename to alerts');
  await session({ principal: 'fay' }, [did('ddl')]);
  const fays = (await alerts('ddl')).filter(({ principal }) => principal === 'fay');
  t.match(fays, [{ count: 2 }], 'both are counted');
});

t.test('every alert is a number by its rule', async (t) => {
  t.match(await metrics.registry.metrics(), /daypass_alerts_total\{kind="denials"\} 2/);
});

t.test('a burst that is spread over two processes is one alert, whichever of them sees its end', async (t) => {
  const there = await startProcess(new AlertWatch({ pool, raise, settings, clock, log: quiet, metrics }));
  t.teardown(() => there.watch.stop());
  const of = async (person: string) => (await alerts('denials')).filter(({ principal }) => principal === person);
  await session({ principal: 'hal' }, [denied()]);
  await session({ principal: 'ida' }, [denied()], there);
  await session({ principal: 'hal' }, [denied()], there);
  t.same(await of('hal'), []);
  await session({ principal: 'hal' }, [denied('unparsable')], there);
  const detail = { denials: 3, processes: 2, reason: 'unparsable' };
  t.match(await of('hal'), [{ service: 'orders-db', count: 1, detail }]);
  await session({ principal: 'hal' }, [denied()]);
  t.match(await of('hal'), [{ count: 1 }], 'what was told of is not counted once more');
  const half = (at: Process, times: number) => session({ principal: 'jo' }, Array(times).fill(denied()), at);
  await Promise.all([half(here, 1), half(there, 2)]);
  t.match(await of('jo'), [{ count: 1 }], 'of two that see it at the same time one tells');
  t.same(await of('ida'), []);
});

t.test(
  'what a gateway recorded and did not live to tell of is told by whoever closes its sessions, once',
  async (t) => {
    const dead = await startRecorder(t, pool);
    const write = async (principal: string, events: readonly Said[], told = false) => {
      const log = open(dead.recorder, { principal, grantId: `grant of ${principal}` });
      for (const [kind, facts] of events) log.append(kind, facts, {});
      await safe(log);
      if (told) for (const one of events) heard(log.row, one);
      return log.row.id;
    };
    const heard = ({ id, grantId, principal, service }: Parameters<typeof open>[1] & object, [kind, facts]: Said) => {
      const at = Date.now();
      const opened = { grant: grantId ?? '', principal: principal ?? '', service: service ?? '' };
      const hearing = watch.listen(id ?? '');
      hearing.hear({ seq: 1, at, kind: 'open', facts: opened, payload: null });
      hearing.hear({ seq: 2, at, kind, facts, payload: null });
      hearing.over(true);
    };
    const nia = await write('nia', [did('ddl'), given(320), denied('outside_hours'), denied(), denied()]);
    await write('oda', [did('ddl')], true);
    await watch.settled();
    await database.query("update daypass.gateways set seen_at = now() - interval '1 hour' where id = $1", [
      dead.gatewayId,
    ]);
    const look = new LeftBehind({ pool, watch, bursts: here.bursts, settings }).look;
    const gatewayId = randomUUID();
    const living = new Presence({ pool, gatewayId, clock: systemClock, log: quiet, reaped: look });
    t.equal((await living.reap()).length, 2);
    const kinds = async (person: string) => {
      await here.bursts.settled();
      await watch.settled();
      const { alerts: found } = await book.list({ person, limit: 20 });
      return found.map(({ kind, count }) => `${kind} ${count}`).sort();
    };
    const due = ['ddl 1', 'denials 1', 'first_write 1', 'outside_hours 1', 'volume 1'];
    t.same(await kinds('nia'), due);
    t.same(await kinds('oda'), ['ddl 1', 'first_write 1'], 'what was told is not told again');
    await look(nia);
    t.same(await kinds('nia'), due);
  },
);

t.test('a burst is told of when the ledger answers again', async (t) => {
  await session({ principal: 'kai' }, [denied(), denied()]);
  await database.query('alter table daypass.alerts rename to alerts_away');
  const there = await startProcess(new AlertWatch({ pool, raise, settings, clock, log: quiet, metrics }));
  t.teardown(() => there.watch.stop());
  await session({ principal: 'kai' }, [denied()], there);
  await database.query('alter table daypass.alerts_away rename to alerts');
  await session({ principal: 'lou' }, [denied()], there);
  t.match(
    (await alerts('denials')).filter(({ principal }) => principal === 'kai'),
    [{ count: 1 }],
  );
});
