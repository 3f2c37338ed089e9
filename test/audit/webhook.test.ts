import { createHmac, randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { appendAudit } from '../../src/audit/append.js';
import { AuditStream, type StreamParts } from '../../src/audit/stream.js';
import { Webhook, webhookHeaders } from '../../src/audit/webhook.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/recording/database.js';
import { quiet } from '../recording/fixture.js';
import { noted } from '../support/noted.js';
import type { Database } from '../support/postgres.js';
import { act, asOwner, auditLog } from './fixture.js';
import { httpReceiver, type Post } from './receivers.js';

const KEY = randomBytes(32);
const SECRET = `whsec_${KEY.toString('base64')}`;
const PAUSES = { look: 20, first: 20, most: 100 };

/** Streams as a gateway of its own does: with its own connections. */
function stream(t: Test, database: Database, url: Target, more: Partial<StreamParts> & { within?: number } = {}) {
  const pool = openDatabase(database.url, { max: 2, applicationName: 'streaming' });
  const { within, ...parts } = more;
  const receiver = new Webhook({ url, secret: SECRET }, within);
  const started = new AuditStream({ pool, receiver, log: quiet, pauses: PAUSES, ...parts });
  let stopped: Promise<void> | null = null;
  const stop = () => {
    stopped ??= started.stop().finally(() => pool.end());
    return stopped;
  };
  t.teardown(stop);
  return { stop };
}

type Target = ConstructorParameters<typeof Webhook>[0]['url'];

const seqs = (posts: readonly Post[]) => posts.flatMap(({ entries }) => entries.map(({ seq }) => seq));

async function when(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(10);
}

t.test('a signature is the one that Standard Webhooks gives as an example', async (t) => {
  const headers = webhookHeaders(
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    'msg_p5jXN8AQM9LWM0D4loKWxJek',
    1_614_265_330,
    '{"test": 2432232314}',
  );
  t.equal(headers['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

t.test('lines are posted in order, a hundred at most at once, signed, each with its number and hash', async (t) => {
  const { database, pool } = await auditLog(t, 105);
  const { posts, url } = await httpReceiver(t);
  stream(t, database, url);
  await when(() => seqs(posts).length === 105);
  await appendAudit(pool, act({ target: 'session:106', reason: 'later' }));
  await when(() => seqs(posts).length === 106);
  t.same(
    seqs(posts),
    Array.from({ length: 106 }, (_, n) => n + 1),
  );
  t.same(
    posts.map(({ entries }) => entries.length),
    [100, 5, 1],
  );
  for (const { headers, body } of posts) {
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
    t.equal(headers['webhook-signature'], `v1,${createHmac('sha256', KEY).update(signed).digest('base64')}`);
    t.ok(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1_000) < 60);
  }
  const [row] = await database.query(`select encode(hash_after, 'hex') as hash from daypass.audit where seq = 106`);
  t.match(posts[2]?.entries, [{ seq: 106, act: 'session.end', reason: 'later', hash: row?.hash }]);
});

t.test('nothing is lost while a receiver answers 500, and no act waits for it', async (t) => {
  const { database, pool } = await auditLog(t, 2);
  let well = false;
  const { posts, url } = await httpReceiver(t, (response) => response.writeHead(well ? 200 : 500).end('hm'));
  const lines: Record<string, unknown>[] = [];
  stream(t, database, url, { log: createLog('debug', (line) => lines.push(JSON.parse(line))) });
  await when(() => posts.length >= 3);
  await appendAudit(pool, act({ target: 'session:3' }));
  t.match(lines, [
    { receiver: 'webhook', failures: 1, again: 20, err: /500/ },
    { failures: 2, again: 40 },
  ]);
  well = true;
  const before = posts.length;
  await when(() => seqs(posts.slice(before)).includes(3));
  t.same([...new Set(seqs(posts.slice(before)))], [1, 2, 3]);
  t.equal(posts[0]?.headers['webhook-id'], posts[1]?.headers['webhook-id'], 'the same lines have the same id');
});

t.test('a redirect is not followed', async (t) => {
  const { database } = await auditLog(t, 1);
  const elsewhere = await httpReceiver(t);
  const { posts, url } = await httpReceiver(t, (response) =>
    response.writeHead(307, { location: elsewhere.url.href }).end(),
  );
  stream(t, database, url);
  await when(() => posts.length >= 2);
  t.same(elsewhere.posts, []);
});

t.test('a receiver that hangs, or whose answer has no end, is given up and tried again', async (t) => {
  const { database } = await auditLog(t, 1);
  const { posts, url } = await httpReceiver(t, (response, count) => {
    if (count === 1) return;
    if (count > 2) return void response.writeHead(200).end();
    response.writeHead(500).flushHeaders();
    response.write('x'.repeat(100_000));
  });
  const { stop } = stream(t, database, url, { within: 1_000 });
  await when(() => posts.length >= 3);
  // Stopped before its answer is read, what was taken would be sent once more.
  const taken = () => database.query('select receiver, seq::int from daypass.audit_cursors');
  while ((await taken()).length === 0) await pause(10);
  await stop();
  t.same(await taken(), [{ receiver: 'webhook', seq: 1 }]);
});

t.test('a stream stops at once while its receiver hangs', async (t) => {
  const { database } = await auditLog(t, 1);
  const { posts, url } = await httpReceiver(t, () => {});
  const { stop } = stream(t, database, url);
  await when(() => posts.length === 1);
  await stop();
  t.same(await database.query('select * from daypass.audit_cursors'), [], 'what was not taken is not counted');
});

t.test('nothing of a post stays with the signal of whoever posts as long as the gateway lives', async (t) => {
  const { posts, url } = await httpReceiver(t);
  const webhook = new Webhook({ url, secret: SECRET });
  t.teardown(() => webhook.close());
  const { signal } = new AbortController();
  for (let sent = 0; sent < 5; sent += 1) await webhook.send([], signal);
  t.equal(posts.length, 5);
  t.equal(noted(signal), 0);
});

t.test('of two gateways one streams at a time', async (t) => {
  const { database, pool } = await auditLog(t, 5);
  const { posts, url } = await httpReceiver(t, (response) => void setTimeout(() => response.writeHead(204).end(), 50));
  stream(t, database, url);
  stream(t, database, url);
  await when(() => seqs(posts).length === 5);
  for (let n = 6; n <= 10; n += 1) await appendAudit(pool, act());
  await when(() => seqs(posts).length === 10);
  await pause(200);
  t.same(seqs(posts), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 'none twice, none out of order');
});

t.test('when a gateway dies between sending and noting it, another sends the lines again', async (t) => {
  const { database } = await auditLog(t, 3);
  let release = () => {};
  const { posts, url } = await httpReceiver(t, (response, count) => {
    if (count > 1) return void response.writeHead(204).end();
    release = () => void response.writeHead(204).end();
  });
  const { stop } = stream(t, database, url);
  await when(() => posts.length === 1);
  await database.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'streaming'`);
  release();
  await stop();
  stream(t, database, url);
  await when(() => posts.length >= 2);
  t.same(seqs(posts.slice(0, 2)), [1, 2, 3, 1, 2, 3]);
  t.equal(posts[0]?.headers['webhook-id'], posts[1]?.headers['webhook-id'], 'so that the receiver can drop them');
});

t.test('when the line that was sent last is gone, that is said, and all of the log is sent again', async (t) => {
  const { database, pool } = await auditLog(t, 3);
  const { posts, url } = await httpReceiver(t);
  const lines: Record<string, unknown>[] = [];
  stream(t, database, url, { log: createLog('debug', (line) => lines.push(JSON.parse(line))) });
  await when(() => seqs(posts).length === 3);
  while ((await database.query('select 1 from daypass.audit_cursors')).length === 0) await pause(10);
  await asOwner(database, 'delete from daypass.audit where seq > 1');
  await when(() => lines.length > 0);
  t.match(lines[0], { line: 3, msg: /somebody changed it/ });
  await appendAudit(pool, act({ target: 'session:new' }));
  await when(() => posts.some(({ entries }) => entries.some(({ target }) => target === 'session:new')));
  t.equal(lines.filter(({ msg }) => /changed/.test(String(msg))).length, 1, 'it is said once');
});
