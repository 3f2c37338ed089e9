import { createHmac, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { REPEATED } from '../../src/alerts/channel.js';
import { LONGEST_PAUSE, pauseAfter, TRIED_FOR } from '../../src/alerts/courier.js';
import { backlogOf, listDeliveries } from '../../src/alerts/listing.js';
import { Nap } from '../../src/alerts/nap.js';
import { type Retried, retryDeliveries } from '../../src/alerts/retry.js';
import { Slack } from '../../src/alerts/slack.js';
import { spread } from '../../src/alerts/spread.js';
import { NoticeWebhook } from '../../src/alerts/webhook.js';
import { operatorNamed } from '../../src/identity/actor.js';
import { waitUntil } from '../support/wait.js';
import { hookReceiver, startOutbox } from './fixture.js';

const KEY = randomBytes(32);
const secret = `whsec_${KEY.toString('base64')}`;
const HOUR = 3_600_000;

t.test('the pause between two attempts doubles up to an hour, and is up to half less by chance', async (t) => {
  t.same(
    [1, 2, 3, 11, 12, 1_000].map((attempts) => pauseAfter(attempts, 0)),
    [2_000, 4_000, 8_000, 2_048_000, LONGEST_PAUSE, LONGEST_PAUSE],
  );
  t.equal(pauseAfter(1_000, 1), LONGEST_PAUSE / 2);
});

t.test('nothing is lost while a channel is down for an hour, and it is asked ever more seldom', async (t) => {
  const { clock, gateway, tell, deliveries, pool } = await startOutbox(t, ['slack']);
  const start = clock.now;
  const down = () => clock.now < start + HOUR;
  const { posts, url } = await hookReceiver(t, (response) => void response.writeHead(down() ? 500 : 200).end());
  gateway(new Slack({ url: url.href }, {}));
  await tell({ what: 'one' });
  await tell({ what: 'two' });
  await waitUntil('both were tried', () => posts.length === 2);
  const oldest = await backlogOf(pool);
  t.match(oldest, { waiting: 2, failed: 0, oldest: start });
  while (down()) {
    clock.now += 60_000;
    await sleep(25);
  }
  t.ok(posts.length <= 2 * 14, `${posts.length} posts in an hour`);
  clock.now += HOUR;
  const sent = async () => (await deliveries()).every(({ state }) => state === 'sent');
  await waitUntil('both have arrived', sent);
  t.same(
    posts
      .slice(-2)
      .map(({ body }) => /one|two/.exec(String(body.text))?.[0])
      .sort(),
    ['one', 'two'],
  );
  t.notOk(
    posts.some(({ text }) => text.includes(REPEATED)),
    'a refusal is known not to have arrived',
  );
  await tell({}, { channels: true });
});

t.test('what is new is carried when its carrier is called, however far the next look is', async (t) => {
  const { gateway, tell } = await startOutbox(t, ['webhook']);
  const { posts, url } = await hookReceiver(t);
  const { call } = gateway(new NoticeWebhook({ url, secret }, {}), 60_000, HOUR);
  for (const what of ['the 1st', 'the 2nd']) {
    await tell({ what });
    call();
    await waitUntil('it has arrived', () => posts.some(({ body }) => JSON.stringify(body).includes(what)));
  }
  t.equal(posts.length, 2);
});

t.test('a call while a loop is at work leaves out its next pause, and that one alone', async (t) => {
  const nap = new Nap();
  const { signal } = new AbortController();
  nap.call();
  nap.call();
  await nap.take(HOUR, signal);
  const second = nap.take(HOUR, signal).then(() => 'called');
  t.equal(await Promise.race([second, sleep(20, 'pauses')]), 'pauses');
  nap.call();
  t.equal(await second, 'called');
  await nap.take(HOUR, AbortSignal.abort());
});

t.test('a carrier whose settings were replaced ends what it has under way, once, and takes nothing more', async (t) => {
  const { gateway, tell, deliveries } = await startOutbox(t, ['slack']);
  let answer = () => {};
  const former = await hookReceiver(t, (response) => {
    answer = () => void response.writeHead(200).end();
  });
  const { posts, url } = await hookReceiver(t);
  await tell({ what: 'the 1st' });
  const { retire } = gateway(new Slack({ url: former.url.href }, {}));
  await waitUntil('the first is under way', () => former.posts.length === 1);
  const retired = retire();
  gateway(new Slack({ url: url.href }, {}));
  await tell({ what: 'the 2nd' });
  await waitUntil('the second was carried by the other', () => posts.length === 1);
  t.match(posts[0]?.body.text, /the 2nd/);
  answer();
  await retired;
  // The other may not have heard yet that its own has arrived.
  await waitUntil('both are sent', async () => (await deliveries()).every(({ state }) => state === 'sent'));
  t.match(await deliveries(), [{ attempts: 1 }, { attempts: 1 }]);
  t.same([former.posts.length, posts.length], [1, 1], 'none twice');
});

t.test('what fails for three days is given up, kept and listed with what the channel answered', async (t) => {
  const { clock, gateway, tell, deliveries, database, pool } = await startOutbox(t, ['slack']);
  const { posts, url } = await hookReceiver(t, (response) => void response.writeHead(503).end());
  await tell();
  // As after many attempts: to make each of them takes a test too long.
  await database.query('update daypass.deliveries set attempts = 59, first_at = $1', [
    new Date(clock.now - TRIED_FOR + 1),
  ]);
  gateway(new Slack({ url: url.href }, {}));
  await waitUntil('it was tried', () => posts.length === 1);
  await waitUntil('it waits', async () => (await deliveries())[0]?.error !== null);
  t.match(await deliveries(), [{ state: 'waiting', attempts: 60 }], 'not before three days have passed');
  clock.now += LONGEST_PAUSE;
  await waitUntil('it is given up', async () => (await deliveries())[0]?.state === 'failed');
  const { notices } = await listDeliveries(pool, { state: 'failed', limit: 10 });
  t.match(notices, [{ kind: 'alert', channel: 'slack', attempts: 61, error: /503/, dueAt: null }]);
  t.match(await backlogOf(pool), { waiting: 0, failed: 1, oldest: null });
});

t.test(
  'what was given up is sent again by hand, with the same id, and says so where it may have arrived',
  async (t) => {
    const { clock, gateway, tell, deliveries, database, pool } = await startOutbox(t, ['slack', 'webhook']);
    for (const what of ['arrived perhaps', 'arrived not', 'for another channel']) await tell({ what });
    await database.query(
      `
    update daypass.deliveries d set state = 'failed', attempts = 60, ended_at = now(), first_at = $1, error = 'it answered 503',
      unsure = n.data ->> 'what' = 'arrived perhaps' from daypass.notices n where n.id = d.notice`,
      [new Date(0)],
    );
    const olga = { subject: 'olga', via: 'token', groups: [], duties: new Set(['operator'] as const) } as const;
    const retry = (which: Retried, channels = ['slack', 'webhook']) =>
      retryDeliveries(pool, channels, olga, which, clock);
    t.same(await retry({ channel: 'slack' }), { retried: 3, unsure: 1, skipped: 0, more: false });
    t.same(await retry({ channel: 'slack' }), { retried: 0, unsure: 0, skipped: 0, more: false }, 'once');
    const { posts, url } = await hookReceiver(
      t,
      (response) => void response.writeHead(posts.length > 3 ? 200 : 500).end(),
    );
    gateway(new Slack({ url: url.href }, {}));
    await waitUntil('all were tried', () => posts.length === 3);
    const repeated = posts
      .filter(({ text }) => text.includes(REPEATED))
      .map(({ text }) => /arrived \w+/.exec(text)?.[0]);
    t.same(repeated, ['arrived perhaps']);
    const slack = async () => (await deliveries()).filter(({ channel }) => channel === 'slack');
    await waitUntil('they wait again', async () => (await slack()).every(({ error }) => String(error).includes('500')));
    t.ok(
      (await slack()).every(({ state, attempts }) => state === 'waiting' && attempts === 61),
      'for three days more',
    );
    clock.now += LONGEST_PAUSE;
    await waitUntil('they have arrived', async () => (await slack()).every(({ state }) => state === 'sent'));

    const { notices } = await listDeliveries(pool, { state: 'failed', limit: 10 });
    t.equal(notices.length, 3, 'the other channel was left alone');
    const [one, sent] = [
      notices[0]?.id ?? '',
      (await listDeliveries(pool, { state: 'sent', limit: 1 })).notices[0]?.id ?? '',
    ];
    await t.rejects(retry({ delivery: one }, ['slack']), { code: 'unknown_channel' });
    await t.rejects(retry({ delivery: sent }), { code: 'not_failed', message: /has arrived/ });
    await t.rejects(retry({ delivery: one.replace(/.{12}$/, '0'.repeat(12)) }), { code: 'unknown_delivery' });
    t.match(await retry({ delivery: one }), { retried: 1 });
    await t.rejects(retry({ delivery: one }), { code: 'not_failed', message: /still waits/ });
    const audited =
      await database.query(`select actor, target, result, entry::jsonb -> 'detail' as detail from daypass.audit
    where act = 'notices.retry' order by seq`);
    t.match(audited, [
      { actor: 'olga', target: 'channel:slack', result: 'done', detail: { retried: 3, unsure: 1 } },
      { target: 'channel:slack', detail: { retried: 0 } },
      { target: `delivery:${one}`, result: 'done', detail: { channel: 'webhook' } },
    ]);
  },
);

t.test('sent again by hand, e-mail goes to whoever has an address by now, and to nobody who has left', async (t) => {
  const { tell, deliveries, database, pool, clock } = await startOutbox(t, ['smtp']);
  await database.query(`
    insert into daypass.people (subject, kind, source, name, email, groups, created_at, created_by) values
      ('mia', 'employee', 'local', 'Mia', null, '{}', now(), 'root'), ('ned', 'employee', 'local', 'Ned', null, '{}', now(), 'root'),
      ('ole', 'employee', 'local', 'Ole', 'ole@example.com', '{}', now(), 'root')`);
  await tell({}, { people: ['mia', 'ned', 'ole'] });
  await database.query("update daypass.deliveries set state = 'failed', ended_at = now()");
  await database.query("update daypass.people set email = 'mia@example.com' where subject = 'mia'");
  await database.query("update daypass.people set closed_at = now() where subject = 'ole'");
  const { notices } = await listDeliveries(pool, { state: 'failed', limit: 10 });
  const ned = notices.find(({ recipient }) => recipient === 'ned')?.id ?? '';
  const root = operatorNamed('root');
  await t.rejects(retryDeliveries(pool, ['smtp'], root, { delivery: ned }, clock), { code: 'no_address' });
  const done = await retryDeliveries(pool, ['smtp'], root, { channel: 'smtp' }, clock);
  t.same(done, { retried: 1, unsure: 0, skipped: 2, more: false });
  t.match(await deliveries(), [
    { recipient: 'mia@example.com', state: 'waiting' },
    { recipient: 'ned', state: 'failed' },
    { recipient: 'ole@example.com', state: 'failed' },
  ]);
});

t.test('a clock that jumps ahead gives nothing up, and one that is set back keeps nothing waiting', async (t) => {
  const { clock, gateway, tell, deliveries } = await startOutbox(t, ['slack']);
  let well = false;
  const { posts, url } = await hookReceiver(t, (response) => void response.writeHead(well ? 200 : 500).end());
  await tell();
  gateway(new Slack({ url: url.href }, {}));
  const noted = async (attempt: number) => {
    // What is under way counts as one that may have arrived; a refusal says that it has not.
    await waitUntil(`attempt ${attempt} is noted`, async () => {
      const [{ attempts, unsure } = {}] = await deliveries();
      return attempts === attempt && unsure === false;
    });
    t.equal(posts.length, attempt);
  };
  await noted(1);
  clock.now += 10 * TRIED_FOR;
  await noted(2);
  t.match(await deliveries(), [{ state: 'waiting' }]);
  well = true;
  clock.now -= 11 * TRIED_FOR;
  await waitUntil('it has arrived', async () => (await deliveries())[0]?.state === 'sent');
});

t.test('a post is signed the way of Standard Webhooks, and repeated with the same id after a restart', async (t) => {
  const { clock, gateway, tell, deliveries } = await startOutbox(t, ['webhook']);
  const { posts, url } = await hookReceiver(t, (response, n) => void (n > 1 && response.writeHead(204).end()));
  const at = clock.now;
  await tell({ person: 'kim', what: 'many denials' });
  const first = gateway(new NoticeWebhook({ url, secret }, {}), 300);
  await waitUntil('it was posted', () => posts.length === 1);
  await first.stop();
  t.match(await deliveries(), [{ state: 'waiting', unsure: true }], 'nobody knows whether it arrived');
  clock.now += 2_000;
  gateway(new NoticeWebhook({ url, secret }, {}));
  await waitUntil('it has arrived', async () => (await deliveries())[0]?.state === 'sent');
  t.equal(posts.length, 2);
  t.equal(posts[0]?.headers['webhook-id'], posts[1]?.headers['webhook-id']);
  t.equal(posts[0]?.text, posts[1]?.text, 'the receiver can drop what it has');
  t.match(posts[0]?.body, { type: 'alert', data: { person: 'kim', subject: /kim/, text: /many denials/ } });
  t.equal(posts[0]?.body.timestamp, new Date(at).toISOString(), 'when it happened');
  for (const { headers, text } of posts) {
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${text}`;
    t.equal(headers['webhook-signature'], `v1,${createHmac('sha256', KEY).update(signed).digest('base64')}`);
  }
});

t.test('where the receiver knows no ids, the text says that it is sent again', async (t) => {
  const { gateway, tell, deliveries, clock } = await startOutbox(t, ['slack']);
  const { posts, url } = await hookReceiver(t, (response, n) => void (n > 1 && response.writeHead(200).end()));
  await tell();
  gateway(new Slack({ url: url.href }, {}, 500));
  await waitUntil('it was given up', async () => (await deliveries())[0]?.error !== null);
  t.equal(posts.length, 1);
  clock.now += 2_000;
  await waitUntil('it was sent again', () => posts.length === 2);
  t.notMatch(posts[0]?.text, REPEATED);
  t.ok(posts[1]?.text.includes(REPEATED));
});

t.test('of two gateways each delivers other notices, and a channel that hangs keeps no other one', async (t) => {
  const { gateway, tell, deliveries, routes, pool, clock, outbox } = await startOutbox(t, ['slack', 'webhook']);
  const hanging = await hookReceiver(t, () => {});
  const { posts, url } = await hookReceiver(t, (response) => void setTimeout(() => response.writeHead(200).end(), 20));
  for (let n = 0; n < 30; n += 1) await tell({ what: `notice ${n}.` });
  for (const _ of [1, 2]) {
    gateway(new Slack({ url: url.href }, {}));
    gateway(new NoticeWebhook({ url: hanging.url, secret }, {}));
  }
  const sent = async () => (await deliveries()).filter(({ state }) => state === 'sent').length;
  await waitUntil('all have arrived', async () => (await sent()) === 30);
  t.equal(new Set(posts.map(({ text }) => /notice \d+/.exec(text)?.[0])).size, 30);
  t.equal(posts.length, 30, 'none twice');
  await outbox.enqueue(pool, { kind: 'alert', dedupe: 'once', data: {}, to: { channels: true } });
  const both = await Promise.all([1, 2].map(() => spread(pool, routes, clock)));
  t.equal((both[0] ?? 0) + (both[1] ?? 0), 1, 'one of them spreads it');
});
