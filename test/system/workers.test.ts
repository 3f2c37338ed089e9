import { existsSync, lstatSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import t, { type Test } from 'tap';
import { scrape } from '../metrics/scrape.js';
import { command, curl } from '../support/commands.js';
import { CLI, type GatewayProcess } from '../support/gateway-process.js';
import { closed, waitUntil } from '../support/wait.js';
import { int32, packet } from '../support/wire.js';
import { database, webSocket } from './clients.js';
import { type Ground, ground } from './fixture.js';

const ACT = { reason: 'the task is done', by: 'ops' };

interface Workers extends Ground {
  readonly gateway: Ground['gateway'];
  readonly a: GatewayProcess;
}

async function twoWorkers(t: Test, settings?: string): Promise<Workers> {
  const under = await ground(t);
  const a = await under.gateway({ workers: 2, ...(settings === undefined ? {} : { settings }) });
  return { ...under, a };
}

const healthOf = ({ ports }: GatewayProcess) => `http://[::1]:${ports.health}`;

function daypass({ dataDirectory }: GatewayProcess, args: readonly string[]) {
  return command(process.execPath, [CLI, ...args, '--data', dataDirectory]);
}

/** The key of a connection says which worker has it. */
const keyOf = (client: pg.Client) => client as unknown as { readonly processID: number; readonly secretKey: number };
const workerOf = (client: pg.Client) => (keyOf(client).secretKey >>> 24) % 64;

/** By which the ledger tells a client's sessions apart. */
function localPort(client: pg.Client): number {
  const { connection } = client as unknown as {
    readonly connection: { readonly stream: { readonly localPort: number } };
  };
  return connection.stream.localPort;
}

/** Open connections, at least one on each of two workers: connections go to the workers in turns. */
async function onBoth(t: Test, { ports }: GatewayProcess, handle: string) {
  const first = await database(t, ports.postgres, handle);
  let second = await database(t, ports.postgres, handle);
  while (workerOf(second.client) === workerOf(first.client)) second = await database(t, ports.postgres, handle);
  return [first, second] as const;
}

/** The processes of the workers, by index, as the ledger knows them. */
async function pidsOf({ ledger }: Ground, { pid }: GatewayProcess): Promise<number[]> {
  const rows = await ledger.query<{ pid: number }>('select pid from daypass.gateways order by started_at');
  return rows.map((row) => row.pid).filter((each) => each !== pid);
}

/** The process that is a worker now. */
async function pidOf({ ledger }: Ground, { lines }: GatewayProcess, index: number): Promise<number> {
  const serves = lines.findLast(({ msg, worker }) => msg === 'a worker serves' && worker === index);
  const [row] = await ledger.query<{ pid: number }>('select pid from daypass.gateways where id = $1', [
    serves?.gateway,
  ]);
  if (row === undefined) throw new Error(`worker ${index} is not in the ledger`);
  return row.pid;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

t.test('two workers serve one address, and one grant is used through both', async (t) => {
  const under = await twoWorkers(t, 'drain: 60s');
  const { a, ledger } = under;
  const { handle, id } = await a.issue({ service: 'orders-db' });
  const [first, second] = await onBoth(t, a, handle);
  for (const { client } of [first, second])
    t.equal((await client.query('select count(*)::int as n from orders')).rows[0].n, 1000);
  const gateways = await ledger.query('select distinct gateway_id from daypass.sessions where grant_id = $1', [id]);
  t.equal(gateways.length, 2, 'each worker is a gateway of its own in the ledger');
  const web = await a.issue({ service: 'orders-web' });
  const headers = ['-H', 'Host: orders-web.localhost', '-H', `Authorization: Bearer ${web.handle}`];
  for (let i = 0; i < 4; i += 1)
    t.equal((await curl([...headers, `http://127.0.0.1:${a.ports.http}/`])).stdout, 'hello\n');

  await t.test('status, readiness and metrics are those of both together', async (t) => {
    const { body } = await a.operator('GET', '/v1/status');
    t.match(body, { workers: 2, pid: a.pid, notReady: [], listen: { health: `[::1]:${a.ports.health}` } });
    t.ok(Number(body.liveSessions) >= 4, `${body.liveSessions} live sessions`);
    t.match((await daypass(a, ['status'])).stdout, /^workers +2$/m);
    for (const path of ['/livez', '/readyz']) t.equal((await fetch(`${healthOf(a)}${path}`)).status, 200, path);
    const seen = await scrape(healthOf(a));
    t.equal(seen.sum('daypass_sessions_live'), body.liveSessions);
    t.ok(seen.sum('daypass_decisions_total', { service: 'orders-db', outcome: 'allow' }) >= 2);
    t.equal(seen.sum('daypass_ready'), 1);
    t.equal(seen.sum('daypass_build_info'), 1);
    t.equal(seen.samples.filter(({ name }) => name === 'daypass_dependency_up').length, 4, 'once, not for each worker');
    t.notMatch(seen.text, /null|undefined/);
  });

  await t.test('the sockets are the owner’s alone', async (t) => {
    for (const name of ['daypass.sock', 'w0.sock', 'w1.sock'])
      t.equal(lstatSync(join(a.dataDirectory, name)).mode & 0o777, 0o600, name);
  });

  await t.test('a cancel request reaches the session, whichever worker takes it', async (t) => {
    for (let i = 0; i < 4; i += 1) {
      const running = second.client.query(`select pg_sleep(30), ${i}`).then(
        () => 'ran to its end',
        (thrown: { code?: string }) => thrown.code,
      );
      await waitUntil('the query runs', async () => (await runningLike(under, `%pg_sleep(30), ${i}`)) > 0);
      const { processID, secretKey } = keyOf(second.client);
      const request = connect(a.ports.postgres, '127.0.0.1').resume();
      request.write(packet(80877102, int32(processID), int32(secretKey)));
      await closed(request);
      await t.resolves(second.client.query('select pg_sleep(0.05)'), 'which is told when the server was');
      t.equal(await running, '57014');
    }
  });

  await t.test('a wrong key that is passed on cancels nothing', async (t) => {
    const locker = await under.orders.database.client();
    await locker.query('begin; lock table orders in access exclusive mode');
    const running = second.client.query('select count(*) from orders');
    await waitUntil('the query waits', async () => (await runningLike(under, 'select count(*) from orders')) > 0);
    const { processID, secretKey } = keyOf(second.client);
    for (let i = 0; i < 4; i += 1) {
      const wrong = connect(a.ports.postgres, '127.0.0.1').resume();
      wrong.end(packet(80877102, int32(processID), int32(secretKey ^ 1)));
      await closed(wrong);
    }
    await pause(300); // what was passed on has come to the other worker
    await locker.query('rollback');
    await t.resolves(running);
    t.notMatch(JSON.stringify(a.lines), `${secretKey}`, 'and no key is logged');
  });

  await t.test('sessions end finds the worker that has the session; show says that it is live', async (t) => {
    for (const { client, ended } of await onBoth(t, a, handle)) {
      await client.query('select 1');
      const { body } = await a.operator('GET', '/v1/sessions?service=orders-db&limit=1000');
      const sessions = body.sessions as { id: string; client: string; endedAt: string | null }[];
      const session = sessions.find((each) => each.client.endsWith(`:${localPort(client)}`));
      const path = `/v1/sessions/${session?.id}`;
      t.match(await a.operator('GET', `${path}?by=rita`), { status: 200, body: { liveHere: true } });
      t.match(await a.operator('POST', `${path}/end`, ACT), { status: 200, body: { state: 'ended' } });
      t.match(await ended, { code: '57P01' });
      await waitUntil('the end is recorded', async () => {
        return (await a.operator('POST', `${path}/end`, ACT)).body.error !== undefined;
      });
      t.match(await a.operator('GET', `${path}?by=rita`), { body: { liveHere: false } });
    }
    const unknown = '0190a000-0000-7000-8000-000000000000';
    t.match(await a.operator('POST', `/v1/sessions/${unknown}/end`, ACT), { status: 404 });
    t.match(await a.operator('POST', `/v1/sessions/${unknown}/end`, { by: 'ops' }), { status: 400 });
    const viewings = await ledger.query("select 1 from daypass.viewings where act = 'show'");
    t.equal(viewings.length, 4, 'each look is recorded once, not by each worker');
  });

  await t.test('a worker that hangs is not ready, and keeps no session of the other from being ended', async (t) => {
    const [one, other] = await onBoth(t, a, handle);
    await other.client.query('select 1');
    const hung = await pidOf(under, a, workerOf(one.client));
    const { body } = await a.operator('GET', '/v1/sessions?service=orders-db&limit=1000');
    const session = (body.sessions as { id: string; client: string }[]).find((each) =>
      each.client.endsWith(`:${localPort(other.client)}`),
    );
    process.kill(hung, 'SIGSTOP');
    try {
      const [ready, ended] = await Promise.all([
        fetch(`${healthOf(a)}/readyz`).then((response) => response.json()),
        a.operator('POST', `/v1/sessions/${session?.id}/end`, ACT),
      ]);
      t.match(ready, { ready: false, missing: { [`worker ${workerOf(one.client)}`]: 'it does not answer' } });
      t.match(ended, { status: 200 });
      t.match(await other.ended, { code: '57P01' });
    } finally {
      process.kill(hung, 'SIGCONT');
    }
    await waitUntil('it is ready again', async () => (await fetch(`${healthOf(a)}/readyz`)).status === 200);
  });

  await t.test('a recording is read through the primary, whole', async (t) => {
    const { body } = await a.operator('GET', '/v1/sessions?service=orders-db&limit=1');
    const [session] = body.sessions as { id: string }[];
    const replayed = await daypass(a, ['replay', `${session?.id}`]);
    t.match(replayed, { code: 0, stdout: /alice was let in to orders-db/ });
  });

  await t.test('a reload reaches both, and a wrong policy is said once', async (t) => {
    t.match(await a.operator('POST', '/v1/reload', {}), {
      status: 200,
      body: { ok: true, services: ['orders-db', 'orders-web'] },
    });
    const reloads = () => a.lines.filter(({ msg }) => msg === 'the policies were reloaded').map(({ worker }) => worker);
    await waitUntil('both say so', () => new Set(reloads()).size === 2); // their log comes by another way than the answer
    t.same(new Set(reloads()), new Set([0, 1]));
    const before = reloads().length;
    a.kill('SIGHUP');
    await waitUntil('SIGHUP reloads both', () => new Set(reloads().slice(before)).size === 2);
    const file = join(a.configDirectory, 'services', 'new.yaml');
    writeFileSync(file, 'service: new\n');
    const refused = await a.operator('POST', '/v1/reload', {});
    t.match(refused, { status: 422, body: { ok: false } });
    const problems = refused.body.problems as string[];
    t.equal(new Set(problems).size, problems.length);
    t.notMatch(problems.join(), /alone/);
  });

  await t.test('a revocation cuts what is open on both', async (t) => {
    const both = await onBoth(t, a, handle);
    const sockets = [await webSocket(t, a.ports.http, web.handle), await webSocket(t, a.ports.http, web.handle)];
    for (const grant of [id, web.id])
      t.equal((await a.operator('POST', `/v1/grants/${grant}/revoke`, ACT)).status, 200);
    for (const { ended } of [first, second, ...both]) t.match(await ended, { code: '57P01', message: /revoked/ });
    for (const { ended } of sockets) t.match(await ended, { code: '4001', message: /revoked/ });
  });

  await t.test('a second signal to the primary ends all at once', async (t) => {
    const fresh = await a.issue({ service: 'orders-db' });
    await onBoth(t, a, fresh.handle);
    const workers = (await pidsOf(under, a)).filter(isAlive);
    a.kill('SIGTERM');
    await waitUntil('readiness falls', async () => (await fetch(`${healthOf(a)}/readyz`)).status === 503);
    a.kill('SIGINT');
    t.same(await a.ended(), { code: 1, signal: null });
    await waitUntil('the workers end', () => !workers.some(isAlive), { seconds: 30 }); // long before `drain` is over
  });
});

/** How many statements like this one run at the service. */
async function runningLike({ orders }: Ground, text: string): Promise<number> {
  const asked = "select 1 from pg_stat_activity where query like $1 and state = 'active' and pid <> pg_backend_pid()";
  return (await orders.database.query(asked, [text])).length;
}

t.test('a connection that a worker was given and never took is closed when it dies', async (t) => {
  const under = await twoWorkers(t, 'drain: 0s');
  const { a } = under;
  const hung = await pidOf(under, a, 0);
  process.kill(hung, 'SIGSTOP');
  const clients = Array.from({ length: 4 }, () => connect(a.ports.http, '127.0.0.1'));
  let ended = 0;
  for (const client of clients) void closed(client).then(() => (ended += 1));
  let answered = 0;
  for (const client of clients) {
    client.once('data', () => (answered += 1)).on('error', () => {});
    client.write('GET / HTTP/1.1\r\nHost: orders-web.localhost\r\nConnection: close\r\n\r\n');
  }
  await waitUntil('the other worker answers the rest', () => answered === clients.length - 1);
  process.kill(hung, 'SIGKILL');
  await waitUntil('no client waits any more', () => ended === clients.length);
  for (const client of clients) client.destroy();
});

t.test('a worker that is killed is started again, and the others go on', async (t) => {
  const under = await twoWorkers(t, 'drain: 2s');
  const { a } = under;
  const { handle } = await a.issue({ service: 'orders-db' });
  const [first, second] = await onBoth(t, a, handle);
  await second.client.query('select 1');
  const before = (await scrape(healthOf(a))).sum('daypass_admissions_total');
  process.kill(await pidOf(under, a, workerOf(second.client)), 'SIGKILL');
  await second.ended;
  await a.says('a worker ended; it is started again');
  t.equal((await fetch(`${healthOf(a)}/livez`)).status, 503);
  const ready = await (await fetch(`${healthOf(a)}/readyz`)).json();
  t.match(ready, { ready: false, missing: { [`worker ${workerOf(second.client)}`]: String } });
  const meanwhile = await scrape(healthOf(a));
  t.equal(meanwhile.sum('daypass_ready'), 0);
  t.ok(meanwhile.sum('daypass_admissions_total') >= before, 'what the dead worker counted is not lost');
  t.equal((await first.client.query('select 1 as one')).rows[0].one, 1, 'the session of the other worker lives');
  await waitUntil('it is back', async () => (await fetch(`${healthOf(a)}/readyz`)).status === 200);
  t.ok((await scrape(healthOf(a))).sum('daypass_admissions_total') >= before);
  const again = await onBoth(t, a, handle);
  for (const { client } of again) t.equal((await client.query('select 1 as one')).rows[0].one, 1);

  await t.test('without its first worker the operator is told so, and it passes', async (t) => {
    const ends = a.lines.filter(({ msg }) => msg === 'a worker ended; it is started again').length;
    process.kill(await pidOf(under, a, 0), 'SIGKILL');
    await waitUntil('its end is seen', () => {
      return a.lines.filter(({ msg }) => msg === 'a worker ended; it is started again').length > ends;
    });
    t.match(await a.operator('GET', '/v1/grants'), { status: 503, body: { error: { code: 'worker_unavailable' } } });
    await waitUntil('it is back', async () => (await a.operator('GET', '/v1/grants')).status === 200);
  });

  await t.test('so is whoever revokes while it hangs', async (t) => {
    const { id } = await a.issue({ service: 'orders-db' });
    const hung = await pidOf(under, a, 0);
    process.kill(hung, 'SIGSTOP');
    try {
      const { status, body } = await a.operator('POST', `/v1/grants/${id}/revoke`, ACT);
      t.match({ status, body }, { status: 503, body: { error: { code: 'worker_unavailable' } } });
    } finally {
      process.kill(hung, 'SIGCONT');
    }
    t.match(await a.operator('POST', `/v1/grants/${id}/revoke`, ACT), { status: 200 });
  });

  await t.test('when the primary is killed no worker is left', async (t) => {
    const workers = (await pidsOf(under, a)).filter(isAlive);
    t.equal(workers.length, 2);
    const waiting = await a.issue({ service: 'orders-db' });
    a.kill('SIGKILL');
    await waitUntil('the workers end', () => !workers.some(isAlive));
    const queued = { id: waiting.id, at: Date.now(), ...ACT };
    writeFileSync(join(a.dataDirectory, 'pending-revocations'), `${JSON.stringify(queued)}\n`);
    await a.restart();
    await waitUntil('a revocation that waited in the data directory reaches the ledger', async () => {
      const asked = 'select 1 from daypass.grants where id = $1 and revoked_at is not null';
      return (await under.ledger.query(asked, [waiting.id])).length === 1;
    });
    const next = await onBoth(t, a, handle);
    for (const { client } of next) t.equal((await client.query('select 1 as one')).rows[0].one, 1);
  });

  await t.test('an orderly stop drains both workers, and a signal to all of them at once is no hurry', async (t) => {
    const both = await onBoth(t, a, handle);
    const workers = (await pidsOf(under, a)).filter(isAlive);
    const from = Date.now();
    for (const pid of [a.pid, ...workers]) process.kill(pid, 'SIGTERM'); // as systemd does it
    await waitUntil('readiness falls', async () => (await fetch(`${healthOf(a)}/readyz`)).status === 503);
    t.equal((await fetch(`${healthOf(a)}/livez`)).status, 200, 'it is alive');
    for (const { ended } of both) {
      const { message, at } = await ended;
      t.match(message, /shutting down/);
      t.ok(at - from >= 1_900, `${at - from} ms`);
    }
    t.same(await a.ended(), { code: 0, signal: null });
    t.notOk(workers.some(isAlive));
    const signed = await under.ledger.query("select 1 from daypass.gateways where seen_at > now() - interval '2 s'");
    t.equal(signed.length, 0, 'both have signed off');
    const ends = await under.ledger.query(
      "select 1 from daypass.sessions where end_reason = 'shutdown' order by started_at desc limit 2",
    );
    t.equal(ends.length, 2, 'and recorded the ends');
    t.notOk(existsSync(join(a.dataDirectory, 'daypass.sock')));
  });
});
