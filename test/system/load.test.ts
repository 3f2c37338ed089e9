import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { portOf } from '../support/ports.js';
import { freshDatabase, startPostgres } from '../support/postgres.js';
import { starvation } from '../support/starvation.js';
import { database, type Ended, type Watched, webSocket } from './clients.js';

/** Grants that end in the same second: few enough for a machine that does other things too; by hand `GRANTS=2000`. */
const GRANTS = Number(process.env.GRANTS ?? 300);
/** THREATS.md, "Promises": at the most 250 ms late. What the machine kept the gateway from running meanwhile is added to it. */
const LATEST = 250;

/** A WebSocket service that only listens; how many are open with it. */
async function quietService(t: Test): Promise<{ port: number; open: ReadonlySet<WebSocket> }> {
  const server = createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 1024, resolve));
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.close();
  });
  return { port: portOf(server.address()), open: sockets.clients };
}

function webPolicy(port: number): string {
  return `
service: orders-web
protocol: http
lane: production
owner: group:payments-leads
upstream: { url: "http://127.0.0.1:${port}" }
roles:
  viewer: { allow: [WS /live] }
grants: { max_duration: 8h, max_renewals: 2 }
recording: { mode: strict }
`;
}

function descriptors({ pid }: GatewayProcess): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Resident memory, MiB. */
function memory({ pid }: GatewayProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Runs `work` for every item, so many at a time. */
async function each<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const at = next++;
      const item = items[at];
      if (item !== undefined) results[at] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
  return `min ${at(0)}, median ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)} ms`;
}

/** How far the machine's two clocks are apart, milliseconds. */
const apart = () => Date.now() - performance.now();

t.test(`${GRANTS} grants that end in the same second are all cut in time, and what they held is let go`, async (t) => {
  const service = await quietService(t);
  const ledger = await freshDatabase(t);
  const gateway = await startGatewayProcess(t, { services: { 'orders-web': webPolicy(service.port) }, ledger });
  const before = { descriptors: descriptors(gateway), memory: memory(gateway) };
  const numbers = Array.from({ length: GRANTS }, (_, number) => number);
  let behind = 0; // seconds: by how much the gateway's clock has gone on when it issues one
  const issue = async (due: number) => {
    for (;;) {
      const less = behind;
      const seconds = due / 1000 - Math.floor(Date.now() / 1000) - less;
      if (seconds < 1) throw new Error('too late');
      const grant = await gateway.issue({ service: 'orders-web', for: `${seconds}s` });
      if (Date.parse(grant.expiresAt) === due) return grant; // else the second turned meanwhile
      behind = Math.max(0, Date.parse(grant.expiresAt) / 1000 - due / 1000 + less);
    }
  };
  const agreed = apart();
  /** All of them open in good time before their end; on a busy machine that takes a second attempt, with more time. */
  const open = async (patience = 10_000 + GRANTS * 30): Promise<{ due: number; opened: Watched<WebSocket>[] }> => {
    const due = Math.floor(Date.now() / 1000) * 1000 + patience;
    const opening = each(numbers, 8, async () => webSocket(t, gateway.ports.http, (await issue(due)).handle));
    const opened = await opening.catch((error: Error) => {
      t.comment(error.message);
      return [];
    });
    if (opened.length === GRANTS && Date.now() < due - 500) return { due, opened };
    t.comment(`not all were open within ${patience} ms`);
    while (Date.now() < due || service.open.size > 0) await pause(50);
    while ((await gateway.operator('GET', '/v1/status')).body.liveSessions !== 0) await pause(50);
    return open(patience * 2);
  };
  const { due, opened } = await open();
  const ends: Ended[] = [];
  for (const { ended } of opened) ended.then((end) => ends.push(end));
  t.ok(Date.now() < due - 500, `all were open ${due - Date.now()} ms before their end`);
  t.equal(service.open.size, GRANTS);
  t.equal(ends.length, 0, 'none ended early');
  const starved = starvation(gateway.pid);
  const full = { descriptors: descriptors(gateway), memory: memory(gateway) };
  await Promise.all(opened.map(({ ended }) => ended));
  t.ok(
    ends.every(({ code, message }) => code === '4001' && /expired/.test(message)),
    'each was told why',
  );
  const starvedFor = starved();
  t.comment(`the gateway was kept from running for ${Math.round(starvedFor)} ms`);
  t.comment(`as the clients saw it: ${spread(ends.map(({ at }) => at - due))}`);

  while ((await gateway.operator('GET', '/v1/status')).body.liveSessions !== 0) await pause(20);
  const receipt =
    'extract(epoch from cut_at - due_at) * 1000 as late, bytes_after_due::int as after, end_reason as reason';
  const written = () =>
    ledger.query(`select ${receipt} from daypass.sessions where ended_at is not null and due_at = $1`, [new Date(due)]);
  let receipts = await written();
  while (receipts.length < GRANTS) {
    await pause(50);
    receipts = await written();
  }
  const late = receipts.map((row) => Number(row.late));
  t.comment(`by the receipts: ${spread(late)}`);
  // The end comes by whichever clock is there first: where the wall clock was set back meanwhile, early by so much.
  const slewed = Math.max(0, Math.ceil(agreed - apart()));
  t.ok(
    late.every((ms) => ms >= -slewed && ms <= LATEST + starvedFor),
    'not early, not late',
  );
  t.ok(
    receipts.every(({ reason, after }) => reason === 'expired' && after === 0),
    'no byte after it was due',
  );
  while (service.open.size > 0) await pause(20);
  while (descriptors(gateway) > before.descriptors + 10) await pause(20);
  const after = { descriptors: descriptors(gateway), memory: memory(gateway) };
  t.comment(`descriptors ${before.descriptors} -> ${full.descriptors} -> ${after.descriptors}`);
  t.comment(`memory ${[before, full, after].map((it) => Math.round(it.memory)).join(' -> ')} MiB`);
  t.same(await gateway.stop(), { code: 0, signal: null });
});

t.test('two hundred database clients at a time, again and again, leave nothing behind', async (t) => {
  const server = await startPostgres(t, { settings: () => ({ max_connections: '260' }) });
  const ledger = await freshDatabase(t);
  const orders = await freshDatabase(t, server);
  await orders.query(`create role reader login password 'reader-secret'; create table orders (id int)`);
  const policy = `
service: orders-db
protocol: postgres
lane: production
owner: group:payments-leads
upstream: { address: "127.0.0.1:${server.port}", database: ${orders.name}, user: reader, password: { env: READER_PASSWORD } }
roles:
  reader: { search_path: [public], allow: [{ statements: [select], relations: [public.orders] }] }
grants: { max_duration: 4h, max_renewals: 2 }
recording: { mode: strict }
`;
  const env = { READER_PASSWORD: 'reader-secret' };
  const gateway = await startGatewayProcess(t, { services: { 'orders-db': policy }, env, ledger });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const upstream = 'select count(*)::int as n from pg_stat_activity where usename = $1';
  const round = async () => {
    const clients = await each(Array(200).fill(handle), 16, (one: string) => database(t, gateway.ports.postgres, one));
    const answers = await Promise.all(clients.map(({ client }, i) => client.query('select $1::int as n', [i])));
    t.same(
      answers.map(({ rows }) => rows[0].n),
      answers.map((_, i) => i),
      'each got its own answer',
    );
    await Promise.all(clients.map(({ client }) => client.end()));
    while ((await gateway.operator('GET', '/v1/status')).body.liveSessions !== 0) await pause(20);
    // Those of the next round find no room at the server beside two hundred that are still on their way out.
    while ((await orders.query(upstream, ['reader']))[0]?.n !== 0) await pause(20);
  };
  await round();
  const before = { descriptors: descriptors(gateway), memory: memory(gateway) };
  for (let again = 0; again < 4; again += 1) await round();
  while (descriptors(gateway) > before.descriptors + 10) await pause(20);
  t.comment(`descriptors ${before.descriptors} -> ${descriptors(gateway)}`);
  t.comment(`memory ${Math.round(before.memory)} -> ${Math.round(memory(gateway))} MiB`);
  t.same(await gateway.stop(), { code: 0, signal: null });
  const ended = await ledger.query('select end_reason, count(*)::int as n from daypass.sessions group by 1');
  t.same(ended, [{ end_reason: 'client_left', n: 1000 }], 'and every one is in the record');
});
