import t from 'tap';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { sceneOf } from './checked.js';
import { Checker } from './checker.js';
import { database, webSocket } from './clients.js';
import { ground } from './ground.js';
import { goesOn, letsIn, patient, workload } from './workload.js';

/** How long a session may wait for its record, and how much later its client may see the end; milliseconds. */
const STALL = 5_000;
const MARGIN = 2_500;

t.test(
  'between the gateway and its ledger: nothing passes unrecorded, and what waited is written when it is back',
  async (t) => {
    const under = await ground(t);
    const { seams, gateway } = under;
    const first = new Checker(t, sceneOf(under));
    await (await workload(t, under, first)).leave();
    const checker = first.warm();

    await t.test('slow by 200 ms a round trip: everything goes on, and a revocation cuts', async (step) => {
      const { db, web, busy, lasting, leave } = await workload(t, under, checker);
      await seams.ledger.set({ kind: 'slow', latency: 100 });
      await goesOn(busy);
      await letsIn(t, under, checker);
      await Promise.all([checker.revoke(db), checker.revoke(web)]);
      for (const client of lasting) step.match((await client.ended).left, false, client.name);
      await leave();
      await checker.strict(step);
      await seams.ledger.heal();
    });

    await t.test(
      'slow by 2 s a round trip: each action waits for its record, nobody new, and an expiry is in time',
      async (step) => {
        // Time enough for all of it to be under way, and for one answer more, on a machine that does much else.
        const { busy, lasting, leave } = await workload(t, under, checker, gateway, '12s');
        const newcomer = await under.issue('orders-db');
        const starved = starvation(process.pid, gateway.pid);
        await seams.ledger.set({ kind: 'slow', latency: 1_000 });
        step.match(await checker.refused('a newcomer', database(t, gateway, newcomer)), { code: '57P03' });
        await goesOn(busy.slice(0, 1));
        for (const client of lasting) {
          const { at, told, mid } = await client.ended;
          step.ok(
            at - Date.parse(client.grant.expiresAt) <= 1_000 + starved(),
            `${client.name}: ${at - Date.parse(client.grant.expiresAt)} ms`,
          );
          step.ok(mid || /expired/.test(told?.message ?? ''), `${client.name} is told why`);
        }
        await leave();
        await checker.strict(step);
        await seams.ledger.heal();
      },
    );

    for (const [name, fault] of [
      ['gone', { kind: 'refuse' }],
      ['half-open', { kind: 'half-open' }],
      ['silent', { kind: 'stop' }],
    ] as const) {
      await t.test(`${name}: who acts is cut with a reason, who is idle stays until it is revoked`, async (step) => {
        const starvedBefore = starvation(gateway.pid);
        const { db, busy, leave } = await workload(t, under, checker);
        const quiet = await under.issue('orders-db');
        const idle = await patient(checker, () => database(t, gateway, quiet, 'idle'));
        await waitUntil('who is idle has had its answer', () => idle.answered.size > 0);
        const visitor = await under.issue('orders-web');
        const before = seams.upstream('orders-db').seen().length;
        const starved = starvation(process.pid, gateway.pid);
        const faultAt = Date.now();
        await seams.ledger.set(fault);
        step.match(await checker.refused('a database client', database(t, gateway, quiet)), { code: '57P03' });
        step.match(await checker.refused('a web client', webSocket(t, gateway, visitor)), { code: '503' });
        for (const client of busy.filter(({ name }) => !/requests/.test(name))) {
          const { at, told } = await client.ended;
          step.match(told?.message, /could not be recorded in time/, client.name);
          const after = at - faultAt;
          // What waited when the fault came had waited for a commit's time by then.
          step.ok(after >= STALL - 500 - starvedBefore(), `${client.name}: ${after} ms after the fault, not early`);
          step.ok(after <= STALL + MARGIN + starved(), `${client.name}: ${after} ms after the fault, not late`);
        }
        await checker.revoke(quiet);
        const { at, told } = await idle.ended;
        step.match(told?.message, /revoked/);
        step.ok(
          at - Number(quiet.revokedAt) <= 5_000 + starved(),
          `${at - Number(quiet.revokedAt)} ms after the revocation`,
        );
        step.comment(`${seams.upstream('orders-db').seen().length - before} bytes went to the database meanwhile`);
        await leave();
        await checker.strict(step);
        await seams.ledger.heal();
        await letsIn(t, under, checker);
        step.match(await checker.refused('the revoked', database(t, gateway, quiet)), {
          code: '28P01',
          message: /revoked/,
        });
        await checker.revoke(db);
      });
    }

    await checker.conclude();
  },
);
