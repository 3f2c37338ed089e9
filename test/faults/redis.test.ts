import t from 'tap';
import { answeredAt } from '../metrics/scrape.js';
import { redisClient } from '../support/redis.js';
import { starvation } from '../support/starvation.js';
import { sceneOf } from './checked.js';
import { Checker } from './checker.js';
import { database, webSocket } from './clients.js';
import { ground } from './ground.js';
import { checked, goesOn, letsIn, patient, workload } from './workload.js';

const TAKEN = /^(200|503)$/;
/** Of the first gateway, milliseconds. It counts from the last question that was answered, which is asked every second. */
const STALENESS = 2_000;
/** How much later a client may see its end, on a machine that does much else. */
const MARGIN = 1_500;
/** What two clocks that count whole milliseconds may differ by. */
const ROUNDED = 5;

t.test(
  'between the gateways and Redis: whatever happens there, nobody passes who may not, and all recover',
  async (t) => {
    // One gives up its live sessions soon, the other late enough that a revocation must reach it another way.
    const under = await ground(t, { settings: ['drain: 0s\nstaleness: 2s', 'drain: 0s\nstaleness: 60s'] });
    const { seams, gateways } = under;
    const [soon, late] = gateways;
    if (soon === undefined || late === undefined) throw new Error('two gateways were asked for');
    const admin = redisClient(t, under.redis);
    const first = new Checker(t, sceneOf(under));
    for (const gateway of gateways) await (await workload(t, under, first, gateway)).leave();
    const checker = first.warm();

    await t.test(
      'slow by 200 ms a round trip: work goes on, newcomers are let in, a revocation cuts in time',
      async (step) => {
        const work = await workload(t, under, checker, late);
        await seams.redis.set({ kind: 'slow', latency: 100 });
        await goesOn(work.busy);
        await letsIn(t, under, checker, soon);
        const starved = starvation(process.pid, soon.pid, late.pid);
        await checker.revoke(work.db, soon);
        await checker.revoke(work.web, soon);
        for (const client of work.lasting) {
          const { at, told, mid } = await client.ended;
          step.ok(
            at - Number(client.grant.revokedAt) <= 5_000 + starved(),
            `${client.name}: ${at - Number(client.grant.revokedAt)} ms`,
          );
          step.ok(mid || /revoked/.test(told?.message ?? ''), `${client.name} is told that it was revoked`);
        }
        await seams.redis.heal();
        await work.leave();
      },
    );

    for (const [name, fault] of [
      ['slow by 2 s each way', { kind: 'slow', latency: 2_000 }],
      ['half-open', { kind: 'half-open' }],
      ['silent', { kind: 'stop' }],
      ['resetting every connection', { kind: 'reset' }],
      ['gone', { kind: 'refuse' }],
    ] as const) {
      await t.test(
        `${name}: nobody new, revocations cut through the ledger, live sessions end after the staleness`,
        async (step) => {
          const [stale, kept] = [await workload(t, under, checker, soon), await workload(t, under, checker, late)];
          const newcomer = await under.issue('orders-db');
          const visitor = await under.issue('orders-web');
          const starved = starvation(process.pid, soon.pid, late.pid);
          const confirmedAt = await answeredAt(`http://[::1]:${soon.ports.health}`, 'store');
          const faultAt = Date.now();
          await seams.redis.set(fault);
          for (const gateway of gateways) {
            step.match(await checker.refused('a database client', database(t, gateway, newcomer)), { code: '57P03' });
            step.match(await checker.refused('a web client', webSocket(t, gateway, visitor)), { code: '503' });
          }
          await goesOn(kept.busy);
          const answer = await checker.revoke(kept.db, soon);
          step.match(String(answer.status), TAKEN);
          await checker.revoke(kept.web, soon);
          for (const client of kept.lasting) {
            const { at } = await client.ended;
            step.ok(
              at - Number(client.grant.revokedAt) <= 5_000 + starved(),
              `${client.name}: ${at - Number(client.grant.revokedAt)} ms`,
            );
          }
          for (const client of stale.lasting) {
            const { at, told, mid } = await client.ended;
            const after = at - faultAt;
            step.ok(after <= STALENESS + MARGIN + starved(), `${client.name}: ${after} ms after the fault, not late`);
            step.ok(
              at - confirmedAt >= STALENESS - ROUNDED,
              `${client.name}: ${at - confirmedAt} ms after the last answer, not early`,
            );
            step.ok(mid || /could not confirm/.test(told?.message ?? ''), `${client.name} is told why`);
          }
          await stale.leave();
          await kept.leave();
          await checker.strict(step);
          await seams.redis.heal();
          // What Redis holds now is the grant and no tombstone: the revocation never reached it.
          for (const gateway of gateways) {
            const refused = await checked(checker, 'who was revoked meanwhile', () => database(t, gateway, kept.db));
            step.match(refused, { code: '28P01', message: /revoked/ }, 'the revoked stay out');
            await letsIn(t, under, checker, gateway);
          }
        },
      );
    }

    await t.test('back as it was before a revocation: the ledger keeps the revoked out', async (step) => {
      const grant = await under.issue('orders-db');
      const key = `dp:{${grant.id}}:g`;
      const token = await admin.get(key);
      step.ok(token, 'the store holds it');
      const client = await patient(checker, () => database(t, late, grant, 'idle'));
      await checker.revoke(grant, soon);
      await client.ended;
      await admin.del(`dp:{${grant.id}}:x`);
      await admin.set(key, token ?? '', 'PXAT', Date.parse(grant.expiresAt));
      for (const gateway of gateways) {
        const refused = await checked(checker, 'the revoked', () => database(t, gateway, grant));
        step.match(refused, { code: '28P01', message: /revoked/ }, refused?.message ?? 'let in');
      }
    });

    await checker.conclude();
  },
);
