import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { IssuedGrant } from '../support/gateway.js';
import type { GatewayProcess } from '../support/gateway-process.js';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { database, webSocket } from './clients.js';
import { ground, twoGateways } from './fixture.js';

/** A byte count as it grows, and when it grew last. */
class Meter {
  bytes = 0;
  /** Bytes that came at or after this instant, milliseconds since the epoch. */
  after = 0;
  readonly #due: number;

  constructor(due: number) {
    this.#due = due;
  }

  count(chunk: Uint8Array): void {
    this.bytes += chunk.byteLength;
    if (Date.now() >= this.#due) this.after += chunk.byteLength;
  }
}

/** How long the process is stopped, at the least, and how long before the end of the grants: milliseconds. */
const STOPPED = 10_000;
const BEFORE = 2_000;

/** Rows of 9 kB, so that each leaves PostgreSQL's own buffer at once, fifty a second. */
const SLOW = `select repeat('x', 9000), pg_sleep(0.02) from generate_series(1, 100000)`;

t.test(
  'a gateway that slept for 10 s across the end of a grant gives no byte of a service to a client when it wakes',
  async (t) => {
    const under = await ground(t);
    const gateway = await under.gateway();
    const db = await gateway.issue({ service: 'orders-db', for: '6s' });
    const web = await gateway.issue({ service: 'orders-web', for: '6s' });
    const due = Math.min(Date.parse(db.expiresAt), Date.parse(web.expiresAt));
    const last = Math.max(Date.parse(db.expiresAt), Date.parse(web.expiresAt));

    const { rows, lines, frames, ended, streamed, socket, farewell } = await streams(t, gateway, { db, web }, due);

    await pause(due - BEFORE - Date.now());
    const meters = [rows, lines, frames];
    t.ok(
      meters.every(({ bytes }) => bytes > 0),
      `all three stream: ${meters.map(({ bytes }) => bytes).join(', ')} bytes`,
    );
    gateway.kill('SIGSTOP');
    const stoppedAt = Date.now();
    await pause(500); // what was in the sockets' buffers has come
    const before = meters.map(({ bytes }) => bytes);
    const until = Math.max(last + 1_500, stoppedAt + STOPPED);
    // A timer may come a millisecond early by this clock.
    while (Date.now() < until) await pause(until - Date.now());
    const wokenAt = Date.now();
    const starved = starvation(gateway.pid);
    gateway.kill('SIGCONT');
    t.ok(wokenAt - stoppedAt >= STOPPED, `it was stopped for ${wokenAt - stoppedAt} ms`);

    await ended; // with a farewell only where no row was half-sent
    t.match(await socket.ended, { code: '4001', message: /the grant has expired/ });
    await streamed;
    t.equal(rows.bytes - (before[0] ?? 0), farewell(), 'nothing but the farewell');
    t.equal(rows.after, farewell());
    t.same([lines.after, frames.after], [0, 0]);
    t.same([lines.bytes, frames.bytes], before.slice(1));

    const starvedFor = starved();
    await gateway.stop();
    const receipts = await under.ledger.query(
      'select service, end_reason, due_at, cut_at, bytes_after_due::int as after from daypass.sessions',
    );
    t.equal(receipts.length, 2);
    for (const { service, end_reason, due_at, cut_at, after } of receipts) {
      t.match({ end_reason, after }, { end_reason: 'expired', after: 0 }, service);
      t.ok(cut_at >= wokenAt - 10, `cut ${cut_at - due_at} ms after it was due: not while it was stopped`);
      t.ok(cut_at - wokenAt < 2_500 + starvedFor, `${cut_at - wokenAt} ms after waking`);
      t.ok(cut_at - due_at >= STOPPED - BEFORE - 1_500);
    }
  },
);

/** Longer than what was known before counts, milliseconds. */
const TOO_LONG = 6_000;

t.test('nor one that slept over a revocation, for longer than it may not know of it', async (t) => {
  const { a, b } = await twoGateways(t, { settings: 'drain: 0s\nstaleness: 1s' });
  const [db, web] = [await a.issue({ service: 'orders-db' }), await a.issue({ service: 'orders-web' })];
  const { rows, lines, frames, ended, streamed, socket, farewell } = await streams(t, b, { db, web }, Number.NaN);
  const meters = [rows, lines, frames];
  await waitUntil('all three stream', async () => meters.every(({ bytes }) => bytes > 0));
  b.kill('SIGSTOP');
  for (const { id } of [db, web])
    t.match(await a.operator('POST', `/v1/grants/${id}/revoke`, { by: 'root', reason: 'done' }), { status: 200 });
  await pause(TOO_LONG); // what was in the sockets' buffers has come
  const before = meters.map(({ bytes }) => bytes);
  b.kill('SIGCONT');
  await Promise.all([ended, streamed, socket.ended]);
  t.equal(rows.bytes - (before[0] ?? 0), farewell(), 'nothing but the farewell');
  t.same([lines.bytes, frames.bytes], before.slice(1));
});

/** All that streams of a database and of a web service through a gateway, counted. @param due - for `Meter` */
async function streams(t: Test, { ports }: GatewayProcess, grants: { db: IssuedGrant; web: IssuedGrant }, due: number) {
  const { db, web } = grants;
  const rows = new Meter(due);
  const { client, ended } = await database(t, ports.postgres, db.handle);
  let fatal = 0;
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter & { stream: NodeJS.ReadableStream } };
  connection.on('errorMessage', ({ length }: { length: number }) => (fatal += length + 1));
  connection.stream.on('data', (chunk: Buffer) => rows.count(chunk));
  client.query(SLOW).catch(() => {}); // it is cut

  const lines = new Meter(due);
  const streamed = stream(ports.http, web.handle, lines);
  const frames = new Meter(due);
  const socket = await webSocket(t, ports.http, web.handle, '/ticks');
  socket.client.on('message', (data: Buffer) => frames.count(data));
  return { rows, lines, frames, ended, streamed, socket, farewell: () => fatal };
}

/** Reads the endless stream until it breaks off. */
function stream(port: number, handle: string, meter: Meter): Promise<void> {
  return new Promise((resolve) => {
    const headers = { host: 'orders-web.localhost', authorization: `Bearer ${handle}` };
    const asked = get({ host: '127.0.0.1', port, path: '/stream', headers, agent: false }, (response) => {
      response.on('data', (chunk: Buffer) => meter.count(chunk));
      response.on('error', () => {});
      response.once('close', resolve);
    });
    asked.on('error', () => resolve());
  });
}
