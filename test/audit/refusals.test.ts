import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { RefusedActs } from '../../src/audit/refusals.js';
import { systemClock } from '../../src/clock.js';
import { quiet } from '../recording/fixture.js';
import { act, auditLog } from './fixture.js';

const REFUSED = act({ act: 'grant.issue', target: 'service:orders-db', result: 'refused' });

t.test('a flood of refused acts fills the log with sixty lines a minute and one that counts the rest', async (t) => {
  const { log } = await auditLog(t);
  const acts = new RefusedActs({ append: (entry) => log.append(entry), clock: systemClock, log: quiet });
  for (let n = 0; n < 100; n += 1) await acts.note(REFUSED);
  t.equal((await log.list({}, { limit: 1_000 })).entries.length, 60);
  await acts.close();
  const { entries } = await log.list({}, { limit: 1_000 });
  t.equal(entries.length, 61);
  t.match(entries[0], { act: 'audit.refusals', via: 'system', result: 'refused', detail: { count: 40 } });
});

t.test('a flood of one person hides nothing of what another is refused', async (t) => {
  const { log } = await auditLog(t);
  const acts = new RefusedActs({ append: (entry) => log.append(entry), clock: systemClock, log: quiet });
  for (let n = 0; n < 70; n += 1) await acts.note(REFUSED);
  await acts.note({ ...REFUSED, actor: 'mallory' });
  t.match(await log.list({}, { limit: 1 }), { entries: [{ actor: 'mallory', act: 'grant.issue' }] });
  await acts.close();
  t.match(await log.list({}, { limit: 1 }), { entries: [{ detail: { actor: REFUSED.actor, count: 10 } }] });
});

t.test('the count comes by itself when the minute is over, and refusals are listed again', async (t) => {
  const { log } = await auditLog(t);
  let now = 0;
  const clock = { ...systemClock, monotonic: () => now };
  const acts = new RefusedActs({ append: (entry) => log.append(entry), clock, log: quiet, minute: 200 });
  for (let n = 0; n < 62; n += 1) await acts.note(REFUSED);
  while ((await log.list({ act: 'audit.refusals' }, { limit: 1 })).entries.length === 0) await pause(20);
  t.match(await log.list({}, { limit: 1 }), { entries: [{ seq: 61, detail: { count: 2 } }] });
  now = 200;
  await acts.note(REFUSED);
  t.match(await log.list({}, { limit: 1 }), { entries: [{ seq: 62, act: 'grant.issue' }] });
  await acts.close();
});

t.test('a refusal that cannot be written down is said in the log of the gateway, and is a refusal still', async (t) => {
  const { database, log } = await auditLog(t);
  await database.query('alter table daypass.audit rename to gone');
  const acts = new RefusedActs({ append: (entry) => log.append(entry), clock: systemClock, log: quiet });
  await t.resolves(acts.note(REFUSED));
});
