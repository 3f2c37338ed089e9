import { once } from 'node:events';
import { chmodSync, lstatSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { startHealth } from '../../src/api/health.js';
import { answers, listenOnSocket } from '../../src/api/socket.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { commitsGoOn, commitsWait, until } from '../recording/fixture.js';
import { dataFolder } from '../support/folders.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { startPostgres } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';
import { fetchText } from './fetch-text.js';

const AWAY = { status: 503, body: { error: { code: 'ledger_unavailable', message: /^The ledger did not answer: / } } };
const ENDED = `exists (select from daypass.sessions where ended_at is not null)`;

t.test('a grant is issued, shown, listed, renewed and revoked, each act with who and why', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { operator } = gateway;
  const asked = {
    principal: 'alice',
    service: 'orders-db',
    durationSeconds: 600,
    sponsor: 'dana',
    reason: 'order 7',
    by: 'ops',
  };
  const issued = await operator('POST', '/v1/grants', asked);
  t.equal(issued.status, 201);
  t.match(issued.body, { id: /^\w{22}$/, handle: /^dp_\w{22}_\w{43}$/, role: 'reader', expiresAt: /Z$/ });
  t.match(issued.body.connect, [new RegExp(`port=${gateway.ports.postgres} dbname=orders-db user=alice`)]);
  const id = String(issued.body.id);
  t.match(await operator('POST', `/v1/grants/${id}/renew`, { durationSeconds: 60, reason: 'more', by: 'ops' }), {
    status: 200,
    body: { renewals: 1 },
  });
  t.match(await operator('POST', `/v1/grants/${id}/revoke`, { reason: 'done', by: 'ops' }), {
    status: 200,
    body: { state: 'revoked', ledger: 'written' },
  });
  const shown = await operator('GET', `/v1/grants/${id}`);
  t.match(shown.body, {
    state: 'revoked',
    acts: [{ act: 'issue' }, { act: 'renew' }, { act: 'revoke', by: 'ops', reason: 'done' }],
  });
  t.notMatch(JSON.stringify(shown.body), /dp_|token|cnf/);
  t.match(await operator('GET', '/v1/grants?principal=alice'), { body: { grants: [{ id }] } });
  t.same((await operator('GET', '/v1/grants?active=true')).body, { grants: [], next: null });
  t.match(await operator('POST', `/v1/grants/${id}/renew`, { durationSeconds: 60, reason: 'more', by: 'ops' }), {
    status: 409,
    body: { error: { code: 'revoked' } },
  });
});

t.test('what is asked wrongly is refused with a code and a sentence', async (t) => {
  const orders = await ordersDatabase(t);
  const { operator } = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const asked = {
    principal: 'alice',
    service: 'orders-db',
    durationSeconds: 600,
    sponsor: 'dana',
    reason: 'order 7',
    by: 'ops',
  };
  const refusals: readonly [string, string, unknown, number, string][] = [
    ['POST', '/v1/grants', { ...asked, reason: '' }, 400, 'invalid_request'],
    ['POST', '/v1/grants', { ...asked, reason: 'a\nb' }, 400, 'invalid_request'],
    ['POST', '/v1/grants', { ...asked, extra: 1 }, 400, 'invalid_request'],
    ['POST', '/v1/grants', { ...asked, durationSeconds: 1.5 }, 400, 'invalid_request'],
    ['POST', '/v1/grants', { ...asked, durationSeconds: 999_999 }, 422, 'duration_exceeds_policy'],
    ['POST', '/v1/grants', { ...asked, principal: 'a+b' }, 400, 'invalid_request'],
    ['POST', '/v1/grants', { ...asked, service: 'nothing' }, 404, 'unknown_service'],
    ['POST', '/v1/grants', { ...asked, role: 'root' }, 404, 'unknown_role'],
    ['GET', '/v1/grants/abcdefghijABCDEFGHIJ12', undefined, 404, 'unknown_grant'],
    ['GET', '/v1/grants/x', undefined, 400, 'invalid_request'],
    ['GET', '/v1/sessions?limit=0', undefined, 400, 'invalid_request'],
    ['GET', '/v1/sessions?nonsense=1', undefined, 400, 'invalid_request'],
    ['GET', "/v1/sessions/x'--?by=ops", undefined, 400, 'invalid_request'],
    ['GET', '/v1/sessions/0190a000-0000-7000-8000-000000000000?by=ops', undefined, 404, 'unknown_session'],
    ['GET', '/v1/sessions/0190a000-0000-7000-8000-000000000000', undefined, 400, 'invalid_request'],
    ['POST', '/v1/sessions/0190a000-0000-7000-8000-000000000000/end', { by: 'ops' }, 400, 'invalid_request'],
    ['GET', '/v1/nothing', undefined, 404, 'not_found'],
  ];
  for (const [method, path, body, status, code] of refusals) {
    const answer = await operator(method, path, body);
    t.match(answer, { status, body: { error: { code, message: /\S/ } } }, `${method} ${path} ${JSON.stringify(body)}`);
  }
});

t.test('a session is found, read and replayed, and each look at it is recorded before', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const socket = join(gateway.dataDirectory, 'daypass.sock');
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('select id from orders where id = 7');
  await t.rejects(client.query('delete from orders'), { code: '42501' });
  await client.end();
  await until(gateway.ledger, ENDED);
  await until(gateway.ledger, `(select coalesce(sum(denied), 0) from daypass.block_index) = 1`);
  const found = await gateway.operator(
    'GET',
    '/v1/sessions?person=alice&service=orders-db&refused=true&since=2020-01-01T00:00:00Z',
  );
  t.match(found.body, { next: null, sessions: [{ principal: 'alice', counts: { actions: 2, denied: 1 } }] });
  t.same((await gateway.operator('GET', '/v1/sessions?person=bob')).body, { sessions: [], next: null });
  const [first] = found.body.sessions as { id: string }[];
  const id = first?.id ?? '';
  t.match(await gateway.operator('GET', `/v1/sessions/${id}?by=rita`), { status: 200, body: { id, liveHere: false } });
  const events = await fetchText(socket, `/v1/sessions/${id}/events?by=rita`);
  t.equal(events.type, 'application/x-ndjson');
  const kinds = events.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).kind);
  t.equal(kinds[0], 'open');
  t.equal(kinds[kinds.length - 1], 'close');
  const replayed = await fetchText(socket, `/v1/sessions/${id}/replay?by=rita`);
  t.match(replayed.text, /delete from orders/);
  t.match(await gateway.operator('POST', '/v1/verify', { session: id, by: 'rita' }), {
    body: { ok: true, sessions: 1 },
  });
  const viewings = await gateway.ledger.query('select by, act, session_id from daypass.viewings order by seq');
  t.same(
    viewings.map(({ act }) => act),
    ['show', 'export', 'replay', 'verify'],
  );
  t.ok(viewings.every(({ by, session_id }) => by === 'rita' && session_id === id));

  await gateway.ledger.query('alter table daypass.viewings rename to gone');
  t.equal(
    (await fetchText(socket, `/v1/sessions/${id}/replay?by=rita`)).status,
    500,
    'no viewing recorded: nothing is served',
  );
  await gateway.ledger.query('alter table daypass.gone rename to viewings');

  await gateway.ledger.query(`update daypass.blocks set payload = '\\xff' where first_seq = 1`);
  const damaged = await fetchText(socket, `/v1/sessions/${id}/events?by=rita`);
  t.match(damaged.text, /^\{"error":\{"code":"record_damaged"/, 'what cannot be read does not look complete');
  t.match(await gateway.operator('POST', '/v1/verify', { by: 'rita' }), {
    body: { ok: false, findings: [{ session: id, fault: 'unreadable' }] },
  });
  await waitUntil('the alert', async () => {
    const { body } = await gateway.operator('GET', '/v1/alerts?open=true&kind=verification_failed');
    return (body.alerts as unknown[]).length === 1;
  });
  const alert = (await gateway.operator('GET', '/v1/alerts?kind=verification_failed')).body.alerts as { id: string }[];
  const seen = { comment: 'a page of the disk was lost', by: 'rita' };
  t.match(await gateway.operator('POST', `/v1/alerts/${alert[0]?.id}/acknowledge`, seen), {
    body: { kind: 'verification_failed', acknowledgedBy: 'rita', comment: 'a page of the disk was lost' },
  });
  t.match(await gateway.operator('POST', '/v1/index/rebuild', {}), { body: { sessions: 1, unreadable: [] } });
});

t.test('an operator ends a live session, with the reason in its record', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('select 1');
  const { body } = await gateway.operator('GET', '/v1/sessions');
  const [live] = body.sessions as { id: string; endedAt: string | null }[];
  t.equal(live?.endedAt, null);
  const gone = new Promise<void>((resolve) => client.once('end', () => resolve()));
  const act = { by: 'rita', reason: 'looks odd' };
  t.match(await gateway.operator('POST', `/v1/sessions/${live?.id}/end`, act), {
    status: 200,
    body: { state: 'ended' },
  });
  await gone;
  await until(gateway.ledger, ENDED);
  t.match(await gateway.operator('POST', `/v1/sessions/${live?.id}/end`, act), {
    status: 409,
    body: { error: { code: 'already_ended' } },
  });
  const events = await gateway.events();
  t.match(
    events.find(({ kind }) => kind === 'notice'),
    { facts: { about: 'ended_by_operator', by: 'rita', why: 'looks odd' } },
  );
  t.match(events[events.length - 1], { kind: 'close', facts: { reason: 'ended' } });
});

t.test('while the ledger is away an operator is told so, whatever was asked', async (t) => {
  const orders = await ordersDatabase(t);
  const ledgerServer = await startPostgres(t);
  const { operator } = await startGateway(t, {
    services: { 'orders-db': orders.policy() },
    env: orders.env,
    ledgerServer,
  });
  const id = '01a227a7-bed9-771f-a788-cf1831687229';
  await ledgerServer.crash();
  for (const path of ['sessions', `sessions/${id}`, `sessions/${id}/replay`, 'search', 'alerts', 'notices', 'grants'])
    t.match(await operator('GET', `/v1/${path}?by=ops`), AWAY, path);
  t.match(
    await operator('POST', `/v1/sessions/${id}/end`, { by: 'ops', reason: 'enough' }),
    AWAY,
    'the end of a session',
  );
  await ledgerServer.restart();
  await waitUntil('it answers', async () => (await operator('GET', '/v1/sessions?by=ops')).status === 200);
});

t.test(
  'who looks at a recording while commits wait for the standby is told, and does not wait with them',
  async (t) => {
    const orders = await ordersDatabase(t);
    const gateway = await startGateway(t, {
      services: { 'orders-db': orders.policy() },
      env: orders.env,
      ledgerServer: await startPostgres(t),
    });
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    await client.query('select 1');
    await client.end();
    await until(gateway.ledger, ENDED);
    const [session] = await gateway.ledger.query('select id from daypass.sessions');
    await commitsWait(gateway.ledger);
    t.match(await gateway.operator('GET', `/v1/sessions/${session?.id}/replay?by=ops`), AWAY);
    await commitsGoOn(gateway.ledger);
  },
);

t.test('status and reload answer what is', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  t.match(await gateway.operator('GET', '/v1/status'), {
    status: 200,
    body: {
      pid: process.pid,
      notReady: [],
      problems: [],
      services: [{ name: 'orders-db', protocol: 'postgres', roles: ['reader', 'order-editor'] }],
    },
  });
  t.match(await gateway.operator('POST', '/v1/reload', {}), {
    status: 200,
    body: { ok: true, services: ['orders-db'] },
  });
  writeFileSync(join(gateway.configDirectory, 'services', 'orders-db.yaml'), 'service: orders-db\n');
  const refused = await gateway.operator('POST', '/v1/reload', {});
  t.match(refused, { status: 422, body: { ok: false, problems: [/orders-db\.yaml:\d+:\d+/] } });
  t.same((await gateway.operator('GET', '/v1/status')).body.problems, refused.body.problems, 'it is not forgotten');
  await gateway.policy('orders-db', orders.policy());
  t.same((await gateway.operator('GET', '/v1/status')).body.problems, []);
});

t.test("the socket is its owner's alone, replaces a dead gateway's, and refuses beside a live one", async (t) => {
  const folder = await dataFolder(t);
  const path = join(folder, 'daypass.sock');
  const dead = createServer().listen(path);
  await once(dead, 'listening');
  t.equal(await answers(path), true);
  const server = createHttp();
  await t.rejects(listenOnSocket(server, path), { code: 'already_running' });
  dead.close();
  await once(dead, 'close');
  writeFileSync(path, 'what a killed gateway leaves is no listener either');
  await listenOnSocket(server, path);
  t.equal(lstatSync(path).mode & 0o777, 0o600);
  t.ok(lstatSync(path).isSocket());
  server.close();
  await once(server, 'close');
  chmodSync(folder, 0o777);
  await t.rejects(listenOnSocket(createHttp(), path), { code: 'data_directory_unsafe' });
  await t.rejects(listenOnSocket(createHttp(), join(folder, 'x'.repeat(120))), { code: 'socket_path_too_long' });
});

t.test('a new data directory is closed to others', async (t) => {
  const folder = join(await dataFolder(t), 'new');
  const server = createHttp();
  await listenOnSocket(server, join(folder, 'daypass.sock'));
  t.equal(lstatSync(folder).mode & 0o777, 0o700);
  server.close();
});

t.test('health tells that the process lives, and what is missing for work', async (t) => {
  let why: string | null = null;
  const health = await startHealth({
    host: '127.0.0.1',
    port: 0,
    checks: {
      store: () => why,
      recorder: () => {
        if (why === null) return null;
        throw new Error('broken');
      },
    },
  });
  t.teardown(() => health.close());
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${health.port}${path}`, { method });
    return { status: response.status, body: await response.json() };
  };
  t.same(await get('/livez'), { status: 200, body: { live: true } });
  t.same(await get('/readyz'), { status: 200, body: { ready: true, missing: {} } });
  why = 'it does not answer';
  t.same(await get('/readyz'), {
    status: 503,
    body: { ready: false, missing: { store: 'it does not answer', recorder: 'the check failed' } },
  });
  t.equal((await get('/livez')).status, 200, 'an unready gateway is alive');
  t.equal((await get('/metricsx')).status, 404);
  t.equal((await get('/livez', 'POST')).status, 405);
});
