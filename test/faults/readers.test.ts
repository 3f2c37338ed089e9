import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { held, sceneOf } from './checked.js';
import { Checker } from './checker.js';
import { database, streaming, webSocket } from './clients.js';
import { ground } from './ground.js';
import { unsent } from './unsent.js';
import { letsIn, patient, workload } from './workload.js';

t.test('a client that stops reading is let go of at the cut, with what it has not taken', async (t) => {
  const under = await ground(t);
  const { gateway } = under;
  const first = new Checker(t, sceneOf(under));
  await (await workload(t, under, first)).leave();
  const checker = first.warm();
  const before = held(gateway);
  const ports = [gateway.ports.http, gateway.ports.postgres];
  /** Three whose buffers are full, so that the rest waits in the gateway, in good time before their end. */
  const stalled = async (seconds = 8) => {
    const [db, web] = [await under.issue('orders-db', `${seconds}s`), await under.issue('orders-web', `${seconds}s`)];
    const clients = [
      await patient(checker, () => database(t, gateway, db, 'flood')),
      await patient(checker, () => webSocket(t, gateway, web, '/pour')),
      ...checker.follow(streaming(gateway, web, '/flood')),
    ];
    const due = Math.max(Date.parse(db.expiresAt), Date.parse(web.expiresAt));
    await waitUntil('each is given something', () => clients.every(({ lastByte }) => lastByte > 0) || Date.now() > due);
    for (const client of clients) client.stall();
    let last = '';
    const isStill = () => {
      const was = last;
      // Ports and queues; the rest of a line are clocks.
      last = unsent(ports)
        .map((line) => line.trim().split(/\s+/).slice(1, 5).join(' '))
        .join('\n');
      return (last === was && last.split('\n').length === clients.length) || Date.now() > due;
    };
    await waitUntil('they are given no more', isStill, { every: 500 });
    if (Date.now() < due - 500) return { db, web, due };
    await Promise.all(clients.map((client) => client.leave()));
    return stalled(seconds * 2);
  };
  const { db, web, due } = await stalled();
  const starved = starvation(process.pid, gateway.pid);
  await pause(due - Date.now());
  await waitUntil('nothing is left to be sent', () => unsent(ports).length === 0);
  const after = Date.now() - due;
  t.ok(after <= 1_000 + starved(), `nothing is left to be sent ${after} ms after the end`);
  const isClosed = () => held(gateway).descriptors <= before.descriptors + 4;
  await waitUntil('their sockets are closed', isClosed);
  const receipts = () =>
    under.ledger.query(
      `select protocol, end_reason, bytes_after_due::int as after from daypass.sessions
       where grant_id = any($1) and ended_at is not null order by protocol`,
      [[db.id, web.id]],
    );
  await waitUntil('both receipts', async () => (await receipts()).length === 2);
  const ends = await receipts();
  t.same(ends, [
    { protocol: 'http', end_reason: 'expired', after: 0 },
    { protocol: 'postgres', end_reason: 'expired', after: 0 },
  ]);
  await checker.conclude();
});

t.test('with no descriptors left newcomers are turned away, who is in goes on, and it passes', async (t) => {
  const under = await ground(t);
  const { gateway } = under;
  const first = new Checker(t, sceneOf(under));
  await (await workload(t, under, first)).leave();
  const checker = first.warm();
  checker.speechless = true;
  const neighbour = await workload(t, under, checker);
  const grant = await under.issue('orders-db');
  const limit = held(gateway).descriptors + 6;
  const limits = (soft: number | string) => execFileSync('prlimit', ['--pid', `${gateway.pid}`, `--nofile=${soft}:`]);
  limits(limit);
  let turnedAway = 0;
  for (let comer = 0; comer < 20; comer += 1) {
    await database(t, gateway, grant, 'idle').then(
      (client) => checker.follow(client),
      () => (turnedAway += 1),
    );
  }
  t.ok(turnedAway > 0, `${turnedAway} of 20 were turned away`);
  for (const client of [...neighbour.still, ...neighbour.busy]) {
    const over = await Promise.race([client.ended, pause(0, null)]);
    t.equal(over, null, `${client.name} goes on`);
  }
  const had = neighbour.busy[0]?.answered.size ?? 0;
  await waitUntil('who is in is answered', () => (neighbour.busy[0]?.answered.size ?? 0) >= had + 3);
  limits(4096);
  await letsIn(t, under, checker);
  await neighbour.leave();
  await checker.conclude();
});
