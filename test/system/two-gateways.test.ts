import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ACL_RIGHTS } from '../../src/grant/scripts.js';
import { answeredAt } from '../metrics/scrape.js';
import { command } from '../support/commands.js';
import { readEvents } from '../support/gateway.js';
import { CLI, type GatewayProcess } from '../support/gateway-process.js';
import { type Database, startPostgres } from '../support/postgres.js';
import { type RedisServer, redisClient } from '../support/redis.js';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { database, type Ended, refusal, webSocket } from './clients.js';
import { ground, twoGateways } from './fixture.js';

/** For those tests that leave the gateways and Redis as they were. */
let shared: ReturnType<typeof twoGateways> | undefined;

function standing(): ReturnType<typeof twoGateways> {
  shared ??= twoGateways(t);
  return shared;
}

/** What two clocks that count whole milliseconds may differ by. */
const ROUNDED = 5;
const REVOCATION = { reason: 'the task is done', by: 'ops' };

/** Revokes on the first of two gateways; how long until these ends were seen, milliseconds. */
async function revoked(
  t: Test,
  [on, other]: readonly [GatewayProcess, GatewayProcess],
  id: string,
  ends: readonly Promise<Ended>[],
  limit: number,
) {
  const starved = starvation(process.pid, on.pid, other.pid);
  const from = Date.now();
  t.equal((await on.operator('POST', `/v1/grants/${id}/revoke`, REVOCATION)).status, 200);
  const seen = await Promise.all(ends);
  const took = seen.map(({ at }) => at - from);
  t.comment(`revocation to cut: ${took.join(', ')} ms`);
  for (const ms of took) t.ok(ms <= limit + starved(), `${ms} ms <= ${limit} ms`);
  return seen;
}

t.test(
  'a grant of one gateway works on the other, and a revocation on one cuts the live connections of both',
  async (t) => {
    const { a, b } = await standing();
    const db = await a.issue({ service: 'orders-db' });
    const web = await a.issue({ service: 'orders-web' });
    const here = await database(t, a.ports.postgres, db.handle);
    const there = await database(t, b.ports.postgres, db.handle);
    t.equal((await there.client.query('select count(*)::int as n from orders')).rows[0].n, 1000);
    const running = there.client.query('select pg_sleep(30)').catch(() => {});
    const socket = await webSocket(t, b.ports.http, web.handle);
    const ends = await revoked(t, [a, b], db.id, [here.ended, there.ended], 1_000);
    for (const end of ends) t.match(end, { code: '57P01', message: /the grant was revoked/ });
    await running;
    const [closed] = await revoked(t, [a, b], web.id, [socket.ended], 1_000);
    t.match(closed, { code: '4001', message: /the grant was revoked/ });
    t.match(await refusal(a.ports.postgres, db.handle), { code: '28P01' });
    t.match(await refusal(b.ports.postgres, db.handle), { code: '28P01' });
    await t.rejects(webSocket(t, b.ports.http, web.handle), /answered 401/);
  },
);

t.test('a renewal on one gateway moves the deadline of a live connection of the other', async (t) => {
  const { a, b } = await standing();
  const { handle, id, expiresAt } = await a.issue({ service: 'orders-db', for: '4s' });
  const { client, ended } = await database(t, b.ports.postgres, handle);
  const first = Date.parse(expiresAt);
  const renewed = await a.operator('POST', `/v1/grants/${id}/renew`, {
    durationSeconds: 2,
    reason: 'a little longer',
    by: 'ops',
  });
  t.equal(renewed.status, 200);
  await client.query('select pg_sleep($1)', [(first + 300 - Date.now()) / 1_000]);
  const starved = starvation(process.pid, b.pid);
  const { at, code } = await ended;
  const due = first + 2_000;
  t.equal(code, '57P01');
  t.ok(at >= due && at <= due + 250 + starved(), `${at - due} ms after the second end`);
});

t.test(
  'a session is ended through the gateway that does not have it, and its record says by whom and why',
  async (t) => {
    const { a, b, ledger, redis } = await standing();
    const { handle, id } = await a.issue({ service: 'orders-db' });
    const one = await database(t, b.ports.postgres, handle);
    const [first] = await sessionsOf(ledger, id, 1);
    const other = await database(t, b.ports.postgres, handle);
    const [, second] = await sessionsOf(ledger, id, 2);
    await redisClient(t, redis).publish('dp:feed', `session:${second}`);
    const end = { reason: 'the wrong database', by: 'olga' };
    t.match(await a.operator('POST', `/v1/sessions/${first}/end`, end), { status: 200, body: { state: 'ended' } });
    t.match(await one.ended, { code: '57P01', message: /ended by an operator/ });
    const noted = (await readEvents(ledger)).find(({ facts }) => facts.about === 'ended_by_operator');
    t.match(noted, { session: first, facts: { by: 'olga', why: 'the wrong database' } });
    t.match(await ledger.query(`select actor, reason, result from daypass.audit where target = 'session:${first}'`), [
      { actor: 'olga', reason: 'the wrong database', result: 'done' },
    ]);
    t.match(
      (await other.client.query('select 1 as n')).rows,
      [{ n: 1 }],
      'whoever writes to the feed alone ends nothing',
    );
    t.match(await a.operator('POST', `/v1/sessions/${first}/end`, end), { body: { error: { code: 'already_ended' } } });
    const [lost] = await ledger.query<{ id: string }>(
      `insert into daypass.sessions (id, gateway_id, grant_id, service, protocol, principal, role, client, mode, policy_version, started_at)
     select gen_random_uuid(), gen_random_uuid(), grant_id, service, protocol, principal, role, client, mode, policy_version, started_at
     from daypass.sessions where id = $1 returning id`,
      [first],
    );
    const queued = await a.operator('POST', `/v1/sessions/${lost?.id}/end`, end);
    t.match(queued, { status: 202, body: { state: 'queued' } }, 'what nobody confirms is said to be queued');
  },
);

t.test('with the subscriptions killed again and again the ledger check still cuts within 5 s', async (t) => {
  const { a, b, redis } = await standing();
  const { handle, id } = await a.issue({ service: 'orders-db' });
  const { ended } = await database(t, b.ports.postgres, handle);
  const admin = redisClient(t, redis);
  let killed = 0;
  const killing = setInterval(() => {
    admin.client('KILL', 'TYPE', 'pubsub').then(
      (count) => (killed += Number(count)),
      () => {}, // the test is over
    );
  }, 5);
  t.teardown(() => clearInterval(killing));
  await waitUntil('a subscription is killed', () => killed > 0); // the cut may be quicker than the first kill
  const [end] = await revoked(t, [a, b], id, [ended], 5_000);
  t.match(end, { code: '57P01', message: /revoked/ });
});

t.test(
  'a gateway that may not hear the feed cuts within 5 s by the ledger check, an idle connection too',
  async (t) => {
    const under = await ground(t);
    const admin = redisClient(t, under.redis);
    const rights = ACL_RIGHTS.replace('&dp:feed', '').trim().split(/\s+/);
    await admin.acl('SETUSER', 'deaf', 'on', '>word', 'resetchannels', ...rights);
    const a = await under.gateway();
    const b = await under.gateway({ redisUrl: `redis://deaf:word@127.0.0.1:${under.redis.port}` });
    const { handle, id } = await a.issue({ service: 'orders-db' });
    const { ended } = await database(t, b.ports.postgres, handle);
    const ready = await (await fetch(`http://[::1]:${b.ports.health}/readyz`)).json();
    t.match(ready, { ready: false, missing: { feed: String } }, 'and it says so');
    const apart = await database(t, b.ports.postgres, handle);
    const session = (await sessionsOf(under.ledger, id, 2)).at(-1);
    t.match(await a.operator('POST', `/v1/sessions/${session}/end`, REVOCATION), { status: 200 });
    t.match(await apart.ended, { code: '57P01', message: /ended by an operator/ });
    const [end] = await revoked(t, [a, b], id, [ended], 5_000);
    t.match(end, { code: '57P01', message: /revoked/ });
  },
);

for (const [how, stop] of [
  ['silent', (redis: RedisServer) => redis.pause()],
  ['killed', (redis: RedisServer) => redis.kill()],
] as const) {
  t.test(
    `with Redis ${how} nobody new is admitted, within 500 ms, and live sessions end after the staleness`,
    async (t) => {
      const { a, b, redis } = await twoGateways(t, { settings: 'drain: 0s\nstaleness: 2s' });
      const { handle } = await a.issue({ service: 'orders-db' });
      const web = await a.issue({ service: 'orders-web' });
      const live = [
        await database(t, a.ports.postgres, handle),
        await database(t, b.ports.postgres, handle),
        await webSocket(t, b.ports.http, web.handle),
      ];
      const starved = starvation(process.pid, a.pid, b.pid);
      const confirmed = await Promise.all(
        [a, b].map(({ ports }) => answeredAt(`http://[::1]:${ports.health}`, 'store')),
      );
      await stop(redis);
      const from = Date.now();
      for (const { ports } of [a, b, a, b]) {
        const refused = await refusal(ports.postgres, handle);
        t.match(refused, { code: '57P03' });
        t.ok((refused?.ms ?? Number.NaN) <= 500 + starved(), `refused in ${Math.round(refused?.ms ?? 0)} ms`);
      }
      for (const { ended } of live) {
        const { code, message, at } = await ended;
        t.match(code, /57P01|4001/);
        t.match(message, /could not confirm the grant/);
        const after = at - Math.min(...confirmed);
        t.ok(after >= 2_000 - ROUNDED, `cut ${after} ms after the last answer, not early`);
        t.ok(at - from <= 3_500 + starved(), `cut ${at - from} ms after the outage began, not late`);
      }
    },
  );
}

t.test('a Redis that comes back empty brings no revoked grant back', async (t) => {
  const { a, b, redis } = await twoGateways(t);
  const { handle, id } = await a.issue({ service: 'orders-db' });
  await a.operator('POST', `/v1/grants/${id}/revoke`, REVOCATION);
  const other = await a.issue({ service: 'orders-db' });
  await redis.kill();
  await redis.restart();
  await untilChecking(handle, a, b);
  for (const { ports } of [a, b]) {
    t.match(await refusal(ports.postgres, handle), { code: '28P01', message: /revoked/ });
    t.match(await refusal(ports.postgres, other.handle), { code: '28P01' }, 'what was lost is not made up');
  }
  const fresh = await b.issue({ service: 'orders-db' });
  t.equal(await refusal(a.ports.postgres, fresh.handle), null, 'new grants work');
});

t.test(
  'with Redis down a revocation that only the ledger has still cuts on the other gateway within 5 s',
  async (t) => {
    const { a, b, redis } = await twoGateways(t);
    const { handle, id } = await a.issue({ service: 'orders-db' });
    const { ended } = await database(t, b.ports.postgres, handle);
    await redis.kill();
    const starved = starvation(process.pid, a.pid, b.pid);
    const from = Date.now();
    const answer = await a.operator('POST', `/v1/grants/${id}/revoke`, REVOCATION);
    t.match(answer, { status: 503, body: { error: { code: 'announce_failed' } } });
    const { message, at } = await ended;
    t.match(message, /the grant was revoked/);
    t.ok(at - from <= 5_000 + starved(), `${at - from} ms, long before the staleness of 15 s`);
  },
);

t.test('with a staleness of 0 live sessions end at the first failure', async (t) => {
  const { a, redis } = await twoGateways(t, { settings: 'drain: 0s\nstaleness: 0s' });
  const { handle } = await a.issue({ service: 'orders-db' });
  const { ended } = await database(t, a.ports.postgres, handle);
  const starved = starvation(process.pid, a.pid);
  const from = Date.now();
  await redis.kill();
  const { message, at } = await ended;
  t.match(message, /could not confirm the grant/);
  t.ok(at - from <= 2_000 + starved(), `${at - from} ms`);
});

t.test(
  'with the ledger down a revocation is queued, cuts on both gateways at once, and reaches the ledger first',
  async (t) => {
    const ledgerServer = await startPostgres(t);
    const { a, b, ledger } = await twoGateways(t, { ledgerServer });
    const { handle, id } = await a.issue({ service: 'orders-db' });
    const other = await a.issue({ service: 'orders-db' });
    const live = [await database(t, a.ports.postgres, handle), await database(t, b.ports.postgres, handle)];
    await ledgerServer.crash();
    const starved = starvation(process.pid, a.pid, b.pid);
    for (const { ports } of [a, b]) {
      const refused = await refusal(ports.postgres, other.handle);
      t.match(refused, { code: '57P03' });
      t.ok((refused?.ms ?? Number.NaN) <= 500 + starved(), `refused in ${Math.round(refused?.ms ?? 0)} ms`);
    }
    const { code, stdout } = await daypass(a, ['grant', 'revoke', id, '--reason', 'the task is done']);
    const answered = Date.now();
    t.equal(code, 4);
    t.match(stdout, /the ledger does not answer/);
    for (const { ended } of live) {
      const { message, at } = await ended;
      t.match(message, /the grant was revoked/);
      // From then on: how long the command itself takes to start is up to the machine.
      t.ok(at - answered <= 1_000 + starved(), `${at - answered} ms after the command's answer`);
    }
    await ledgerServer.restart();
    t.match(await refusal(b.ports.postgres, handle), { code: '28P01', message: /revoked/ }, 'the tombstone stands');
    while ((await refusal(a.ports.postgres, other.handle)) !== null) await pause(50);
    const [row] = await ledger.query('select revoked_at from daypass.grants where id = $1', [id]);
    t.ok(row?.revoked_at, 'when somebody is admitted again, the ledger has it');
  },
);

/** The ids of a grant's sessions, the oldest first, as soon as there are so many. */
async function sessionsOf(ledger: Database, grant: string, count: number): Promise<string[]> {
  const ask = () =>
    ledger.query<{ id: string }>('select id from daypass.sessions where grant_id = $1 order by id', [grant]);
  await waitUntil('the sessions are recorded', async () => (await ask()).length === count);
  return (await ask()).map(({ id }) => id);
}

/** Both gateways look at this grant again: what /readyz tells may be a second old, and from before the outage. */
async function untilChecking(handle: string, ...gateways: readonly GatewayProcess[]) {
  for (const { ports } of gateways) {
    while ((await refusal(ports.postgres, handle))?.code === '57P03') await pause(20);
    while ((await fetch(`http://[::1]:${ports.health}/readyz`)).status !== 200) await pause(20);
  }
}

function daypass({ dataDirectory }: GatewayProcess, args: readonly string[]) {
  return command(process.execPath, [CLI, ...args, '--data', dataDirectory]);
}
