import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { packageRoot } from '../../src/cli/place.js';
import { Metrics } from '../../src/metrics.js';
import { gatewayToOrders } from '../postgres/fixture.js';
import { curl } from '../support/commands.js';
import { type TestGateway, throughGateway } from '../support/gateway.js';
import { freePort } from '../support/ports.js';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { database, refusal, webSocket } from '../system/clients.js';
import { type Scrape, scrape, scrapeUntil } from './scrape.js';

const originOf = ({ ports }: Pick<TestGateway, 'ports'>) => `http://[::1]:${ports.health}`;

function webPolicy(service: string, port: number): string {
  return `
service: ${service}
protocol: http
lane: production
owner: group:payments-leads
upstream: { url: "http://127.0.0.1:${port}" }
roles:
  viewer: { allow: [GET /, WS /live] }
grants: { max_duration: 8h, max_renewals: 2 }
recording: { mode: strict }
`;
}

async function gatewayWithAll(t: Test) {
  const server = createServer((_, response) => response.end('hello\n')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const web = { 'orders-web': webPolicy('orders-web', port), 'dead-web': webPolicy('dead-web', await freePort()) };
  const gateway = await gatewayToOrders(t);
  await gateway.policy('orders-web', web['orders-web']);
  await gateway.policy('dead-web', web['dead-web']);
  const get = (service: string, path: string, handle: string) =>
    curl([
      ...['-o', '/dev/null', '-w', '%{http_code}', '-H', `Host: ${service}.localhost`],
      ...['-H', `Authorization: Bearer ${handle}`, `http://127.0.0.1:${gateway.ports.http}${path}`],
    ]);
  return { gateway, get };
}

t.test('a scrape tells who was let in, what was decided, recorded and dialled, and what lives', async (t) => {
  const { gateway, get } = await gatewayWithAll(t);
  const db = await gateway.issue({ service: 'orders-db' });
  const web = await gateway.issue({ service: 'orders-web' });
  const dead = await gateway.issue({ service: 'dead-web' });
  const client = await throughGateway(t, gateway.ports.postgres, db.handle);
  await client.query('select id from orders limit 1');
  await t.rejects(client.query('delete from orders'));
  t.equal((await get('orders-web', '/', web.handle)).stdout, '200');
  t.equal((await get('orders-web', '/', web.handle)).stdout, '200');
  t.equal((await get('orders-web', '/admin/alice', web.handle)).stdout, '403');
  t.equal((await get('dead-web', '/', dead.handle)).stdout, '502');
  t.equal((await get('no-such-service', '/', web.handle)).stdout, '421');
  t.match(await refusal(gateway.ports.postgres, web.handle), { code: '28000' });
  // A refused admission is recorded behind its answer.
  const areRecorded = (seen: Scrape) =>
    seen.sum('daypass_recorder_commit_actions_sum') >= seen.sum('daypass_decisions_total');
  const seen = await scrapeUntil(originOf(gateway), areRecorded);
  t.match(seen.contentType, /^text\/plain; version=0\.0\.4/);
  const decided = (service: string, outcome: string, reason: string) =>
    seen.sum('daypass_decisions_total', { service, outcome, reason });
  t.equal(decided('orders-db', 'allow', ''), 1);
  t.equal(decided('orders-db', 'deny', 'out_of_scope'), 1);
  t.equal(decided('orders-db', 'deny', 'wrong_service'), 1, 'a refused grant is in the record');
  t.equal(decided('orders-web', 'allow', ''), 2);
  t.equal(decided('orders-web', 'deny', 'out_of_scope'), 1);
  const admissions = (labels: Record<string, string>) => seen.sum('daypass_admissions_total', labels);
  t.equal(admissions({ outcome: 'admitted' }), 3);
  t.equal(admissions({ service: '', outcome: 'refused', reason: 'unknown_service' }), 1);
  t.equal(admissions({ service: 'orders-db', outcome: 'refused', reason: 'wrong_service' }), 1);
  t.equal(seen.sum('daypass_sessions_live', { service: 'orders-db', protocol: 'postgres' }), 1);
  t.equal(seen.sum('daypass_sessions_live', { protocol: 'http' }), 2);
  t.equal(seen.sum('daypass_upstream_dial_seconds_count', { service: 'orders-db' }), 1);
  t.equal(
    seen.sum('daypass_upstream_dial_seconds_count', { service: 'orders-web' }),
    1,
    'one connection, two requests',
  );
  t.equal(seen.sum('daypass_upstream_dial_failures_total', { service: 'dead-web' }), 1);
  t.equal(seen.sum('daypass_upstream_dial_failures_total', { service: 'orders-web' }), 0);
  t.ok(seen.sum('daypass_recorder_commit_seconds_count') >= 3);
  t.ok(seen.sum('daypass_recorder_commit_events_sum') >= seen.sum('daypass_recorder_commit_actions_sum') + 3);
  t.equal(
    seen.sum('daypass_recorder_commit_actions_sum'),
    seen.sum('daypass_decisions_total'),
    'no action is unrecorded',
  );
  t.equal(seen.sum('daypass_ready'), 1);
  for (const dependency of ['store', 'feed', 'ledger', 'recorder']) {
    t.equal(seen.sum('daypass_dependency_up', { dependency }), 1, dependency);
  }
  t.match(seen.text, /^nodejs_eventloop_lag_p99_seconds /m);
  t.match(seen.text, /^daypass_build_info\{version="\d+\.\d+\.\d+",node="\d+[^"]*"\} 1$/m);
});

t.test('what an alert asks for is there at zero as soon as a service is loaded, also by a reload', async (t) => {
  const { gateway } = await gatewayWithAll(t);
  const { samples } = await scrape(originOf(gateway));
  for (const service of ['orders-db', 'orders-web', 'dead-web']) {
    const zero = (name: string, labels: Record<string, string>) => {
      const wanted = Object.entries({ service, ...labels });
      const found = samples.filter((one) => one.name === name && wanted.every(([key, is]) => one.labels[key] === is));
      t.same(
        found.map(({ value }) => value),
        [0],
        `${name} ${JSON.stringify(labels)} of ${service}`,
      );
    };
    for (const reason of ['unknown_grant', 'stale', 'recorder_stalled', 'tripwire'])
      zero('daypass_sessions_ended_total', { reason });
    for (const reason of ['store_unavailable', 'unknown_grant'])
      zero('daypass_admissions_total', { outcome: 'refused', reason });
    for (const reason of ['timeout', 'broken', 'protocol']) zero('daypass_upstream_failures_total', { reason });
    zero('daypass_secrets_seen_total', {});
    zero('daypass_upstream_dial_failures_total', {});
  }
});

t.test(
  'a service that fails under its clients is counted: a dead one, one that breaks off, a lost database',
  async (t) => {
    const { gateway, get } = await gatewayWithAll(t);
    const breaking = createServer((request) => request.socket.resetAndDestroy()).listen(0, '127.0.0.1');
    await new Promise((resolve) => breaking.once('listening', resolve));
    t.teardown(() => breaking.close());
    await gateway.policy('breaking', webPolicy('breaking', (breaking.address() as AddressInfo).port));
    const failures = async (service: string) =>
      (await scrape(originOf(gateway))).sum('daypass_upstream_failures_total', { service, reason: 'broken' });
    for (const service of ['dead-web', 'breaking']) {
      const { handle } = await gateway.issue({ service });
      t.equal((await get(service, '/', handle)).stdout, '502');
      t.equal(await failures(service), 1, service);
      await t.rejects(webSocket(t, gateway.ports.http, handle, '/live', service), /answered 502/);
      t.equal(await failures(service), 2, `a WebSocket of ${service}`);
    }
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const { ended } = await database(t, gateway.ports.postgres, handle);
    await gateway.orders.database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and usename <> current_user`,
    );
    await ended;
    t.equal(await failures('orders-db'), 1);
    t.equal(await failures('orders-web'), 0);
  },
);

t.test('a cut is in the histogram of its cause: the end of a grant, or its revocation', async (t) => {
  const gateway = await gatewayToOrders(t);
  const short = await gateway.issue({ service: 'orders-db', for: '3s' });
  const long = await gateway.issue({ service: 'orders-db' });
  const ends = await Promise.all([short, long].map(({ handle }) => database(t, gateway.ports.postgres, handle)));
  const starved = starvation();
  await gateway.operator('POST', `/v1/grants/${long.id}/revoke`, { reason: 'done', by: 'ops' });
  await Promise.all(ends.map(({ ended }) => ended));
  const seen = await scrape(originOf(gateway));
  for (const [name, reason] of [
    ['daypass_cut_lateness_seconds', 'expired'],
    ['daypass_revoke_to_cut_seconds', 'revoked'],
  ] as const) {
    t.equal(seen.sum(`${name}_count`), 1, name);
    const took = seen.sum(`${name}_sum`);
    t.ok(took >= 0 && took < 1 + starved() / 1_000, `${took} s`);
    t.equal(seen.sum('daypass_sessions_ended_total', { service: 'orders-db', reason }), 1);
  }
  t.equal(seen.sum('daypass_sessions_live'), 0);
});

t.test('no label is a person, a path, a statement, a handle or a name that a client made up', async (t) => {
  const { gateway, get } = await gatewayWithAll(t);
  const db = await gateway.issue({ service: 'orders-db', principal: 'alice' });
  const web = await gateway.issue({ service: 'orders-web', principal: 'alice' });
  const client = await throughGateway(t, gateway.ports.postgres, db.handle);
  await client.query(`select 'canary-statement' as x`).catch(() => {});
  await get('orders-web', '/canary-path?canary-query=1', web.handle);
  await get('canary-host', '/', web.handle);
  await webSocket(t, gateway.ports.http, web.handle, '/canary-socket').catch(() => {});
  const { text } = await scrape(originOf(gateway));
  for (const word of ['alice', 'canary', db.id, web.id, web.handle, 'dana', '127.0.0.1']) {
    t.notOk(text.includes(word), `without ${word}`);
  }
});

t.test('two gateways of one process do not count for each other', async (t) => {
  const [one, two] = [await gatewayToOrders(t), await gatewayToOrders(t)];
  const { handle } = await one.issue({ service: 'orders-db' });
  await throughGateway(t, one.ports.postgres, handle);
  t.equal((await scrape(originOf(one))).sum('daypass_admissions_total'), 1);
  t.equal((await scrape(originOf(two))).sum('daypass_admissions_total'), 0);
});

t.test('a reload that is refused is a number until one succeeds, and the old policy decides meanwhile', async (t) => {
  const gateway = await gatewayToOrders(t);
  const before = await scrape(originOf(gateway));
  t.equal(before.sum('daypass_policy_reload_failed'), 0);
  await t.rejects(gateway.policy('orders-db', 'service: orders-db\nlane: moon\n'));
  const refused = await scrape(originOf(gateway));
  t.equal(refused.sum('daypass_policy_reload_failed'), 1);
  const loadedAt = 'daypass_policy_reload_success_timestamp_seconds';
  t.equal(refused.sum(loadedAt), before.sum(loadedAt));
  t.ok(
    gateway.lines.some(({ level, msg }) => level === 50 && /NOT reloaded/.test(String(msg))),
    'said loudly',
  );
  const { handle } = await gateway.issue({ service: 'orders-db' });
  t.equal(await refusal(gateway.ports.postgres, handle), null);
  await gateway.policy('orders-db', gateway.orders.policy());
  const after = await scrapeUntil(originOf(gateway), (seen) => seen.sum('daypass_policy_reload_failed') === 0);
  t.ok(after.sum(loadedAt) > before.sum(loadedAt));
});

t.test(
  'a refusal is one line with its reason and rule, an end one line with its receipt, and no secret is in any',
  async (t) => {
    const { gateway, get } = await gatewayWithAll(t);
    const db = await gateway.issue({ service: 'orders-db', for: '5s' });
    const web = await gateway.issue({ service: 'orders-web' });
    const { client, ended } = await database(t, gateway.ports.postgres, db.handle);
    const refused = () => gateway.lines.filter(({ msg }) => msg === 'refused' || msg === 'not admitted');
    const endLines = () => gateway.lines.filter(({ msg }) => msg === 'session ended');
    await t.rejects(client.query(`delete from orders where customer = 'canary-word'`));
    t.match(refused(), [
      { reason: 'out_of_scope', rule: /\S/, principal: 'alice', service: 'orders-db', grant: db.id },
    ]);
    await get('orders-web', '/admin', web.handle);
    t.match(refused()[1], { reason: 'out_of_scope', rule: /\S/, service: 'orders-web', verb: 'GET' });
    await get('no-such-service', '/', web.handle);
    t.match(refused()[2], { reason: 'unknown_service', rule: 'admission' });
    await refusal(gateway.ports.postgres, `${web.handle.slice(0, -3)}${web.handle.endsWith('xyz') ? 'abc' : 'xyz'}`);
    t.match(refused()[3], { reason: 'unknown_grant', rule: 'admission', grant: web.id });
    await curl([
      '-H',
      'Host: orders-web.localhost',
      '-H',
      `Daypass-Handle: ${web.handle}`,
      '-H',
      `Authorization: Bearer ${db.handle}`,
      `http://127.0.0.1:${gateway.ports.http}/`,
    ]);
    t.match(refused()[4], { reason: 'malformed', rule: 'admission', service: 'orders-web' });
    t.equal(refused().length, 5, 'one line each');
    await ended;
    const ends = await waitUntil('the line of its end', () => endLines().length > 0).then(endLines);
    t.match(ends, [{ grant: db.id, service: 'orders-db', principal: 'alice', reason: 'expired', bytes_after_due: 0 }]);
    const [{ due_at: due, cut_at: cut, late_ms: late } = {}] = ends;
    t.equal(Date.parse(String(cut)) - Date.parse(String(due)), late);
    t.equal(due, db.expiresAt);
    const secrets = [db, web].map(({ handle }) => handle.slice(-43));
    const text = JSON.stringify(gateway.lines);
    for (const word of [...secrets, 'canary-word', 'reader-secret']) t.notOk(text.includes(word));
  },
);

t.test('docs/metrics.md names every metric with its type, and none that is not there', async (t) => {
  const { gateway } = await gatewayWithAll(t);
  const { types } = await scrape(originOf(gateway));
  const ours = [...types].filter(([name]) => name.startsWith('daypass_')).sort();
  const text = await readFile(join(packageRoot(), 'docs', 'metrics.md'), 'utf8');
  const documented = [...text.matchAll(/^\| `(daypass_\w+)` \| (\w+) \|/gm)].map(([, name = '', type = '']) => [
    name,
    type,
  ]);
  t.same(documented.sort(), ours);
  for (const [name, type] of ours) {
    t.equal(/_total$/.test(name), type === 'counter', `${name}: _total is a counter's`);
    t.notMatch(name, /_(?:ms|milliseconds|kb|count|sum|bucket)(?:_|$)/, `${name}: base units`);
  }
});

t.test('the numbers of a service are looked up once, and a label set is never made twice', async (t) => {
  const metrics = new Metrics();
  const meter = metrics.service('orders-db', 'postgres');
  t.equal(metrics.service('orders-db', 'postgres'), meter);
  for (let n = 0; n < 3; n += 1) meter.decided('allow', null);
  meter.decided('deny', 'out_of_scope');
  const text: Scrape['text'] = await metrics.registry.metrics();
  t.match(text, 'daypass_decisions_total{service="orders-db",outcome="allow",reason=""} 3');
  t.match(text, 'daypass_decisions_total{service="orders-db",outcome="deny",reason="out_of_scope"} 1');
});

t.test('the numbers of a service that is gone are told for an hour, and not for ever', async (t) => {
  const metrics = new Metrics();
  const [orders, branch] = ['orders', 'branch-7'].map((name) => ({ name, protocol: 'http' }));
  const told = async (name: string): Promise<string[]> => {
    const text: Scrape['text'] = await metrics.registry.metrics();
    return text.split('\n').filter((line) => line.includes(`service="${name}"`));
  };
  const HOUR = 3_600_000;
  metrics.serves([orders!, branch!], 0);
  metrics.service('branch-7', 'http').decided('allow', null);
  metrics.service('branch-7', 'http').dialled(5);
  metrics.admitted('branch-7', null);
  metrics.refusedOverHttp('branch-7', 400, 'bad_request');
  const before = await told('branch-7');
  metrics.serves([orders!], 1_000);
  metrics.serves([orders!], HOUR + 999);
  t.same(await told('branch-7'), before, 'who scrapes has its last numbers');
  metrics.serves([orders!, branch!], HOUR + 1_000);
  metrics.serves([orders!], HOUR + 2_000);
  metrics.serves([orders!], 2 * HOUR + 1_999);
  t.same(await told('branch-7'), before, 'it was there again meanwhile');
  metrics.serves([orders!], 2 * HOUR + 2_000);
  t.same(await told('branch-7'), []);
  t.equal((await told('orders')).length, 14);
  metrics.serves([orders!, branch!], 3 * HOUR);
  t.equal((await told('branch-7')).length, (await told('orders')).length, 'it begins anew');
});
