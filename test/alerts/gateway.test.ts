import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { DUTIES, startWithPeople } from '../api/ground.js';
import { webPolicy } from '../http/browser/fixture.js';
import { visitorOf } from '../http/browser/request-fixture.js';
import { scrape } from '../metrics/scrape.js';
import { command } from '../support/commands.js';
import { waitUntil } from '../support/wait.js';
import { hookReceiver } from './fixture.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

t.test('a gateway tells its channels what happens, lists it for operators, and tests each channel', async (t) => {
  const { posts, url } = await hookReceiver(t);
  const settings = `${DUTIES}
notices:
  slack: { url: { env: SLACK } }
  smtp: { server: "127.0.0.1:1", from: daypass@example.com }`;
  const { gateway, as } = await startWithPeople(t, { settings, env: { SLACK: url.href } });
  await gateway.policy('web', `${webPolicy('http://127.0.0.1:1')}access: { approvals: 1 }\n`);
  await gateway.ledger.query(`update daypass.people set email = 'lee@example.com' where subject = 'lee'`);
  const asked = { service: 'web', task: 'Find out why order 4711 was charged twice', seconds: 600 };
  const made = await (await as('alice'))('POST', '/requests', asked);
  await waitUntil('the approvers are told', () => posts.length === 1);
  const link = `http://localhost:${gateway.ports.http}/requests/${made.body.id}`;
  t.ok(String(posts[0]?.body.text).includes(link), String(posts[0]?.text));
  const page = await (await visitorOf(gateway, 'lee')).look(new URL(link).pathname);
  t.match(page, { status: 200, body: /alice asks for web/ }, 'it leads to where one decides');

  const olga = await as('olga');
  const noted = (what: string) =>
    waitUntil(
      what,
      async () => (await gateway.ledger.query(`select from daypass.deliveries where ${what}`)).length === 1,
    );
  await noted("state = 'sent'");
  t.match(await olga('GET', '/notices?state=sent'), {
    status: 200,
    body: { notices: [{ kind: 'request.waiting', channel: 'slack', state: 'sent', attempts: 1, next: null }] },
  });
  t.match(await (await as('rita'))('GET', '/notices'), { status: 403 });
  t.match(await olga('POST', '/notices/test/slack', {}), { status: 200, body: { sent: true } });
  t.match(posts[1]?.body, { text: /olga tests the channel slack/ });
  t.match(await olga('POST', '/notices/test/webhook', {}), { status: 404, body: { hint: /There are: slack, smtp/ } });
  t.match(await olga('POST', '/notices/test/smtp', { to: 'a@example.com, b@example.com' }), { status: 400 });

  const run = (...words: string[]) =>
    command(process.execPath, [MAIN, 'notices', ...words], { env: { DAYPASS_DATA: gateway.dataDirectory } });
  const down = await run('test', 'smtp', '--to', 'a@example.com', '--by', 'olga');
  t.match(down, { code: 1, stderr: /could not be sent.*ECONNREFUSED/s });
  await noted("state = 'waiting' and error like '%ECONNREFUSED%'");
  const listed = await run('--state', 'waiting');
  t.match(listed.stdout, /request\.waiting +smtp +lee@example\.com +waiting .*ECONNREFUSED/, listed.stderr);
  const { body } = await gateway.operator('GET', '/v1/audit?act=notices.test');
  t.match(body.entries, [
    { actor: 'olga', target: 'channel:smtp', result: 'failed', detail: { code: 'channel_failed' } },
    { result: 'refused', detail: { code: 'invalid_request' } },
    { target: 'channel:webhook', result: 'refused' },
    { actor: 'olga', target: 'channel:slack', result: 'done' },
  ]);

  await gateway.ledger.query("update daypass.deliveries set state = 'failed', ended_at = now() where channel = 'smtp'");
  const [, id = ''] = /^([0-9a-f-]{36}) .*lee@example\.com +failed/m.exec((await run('failed')).stdout) ?? [];
  t.match(await (await as('lee'))('POST', '/notices/retry', { delivery: id }), { status: 403 });
  t.match(await olga('POST', '/notices/retry', { delivery: id, channel: 'smtp' }), { status: 400 });
  t.match(await olga('POST', '/notices/retry', { channel: 'webhook' }), { status: 404, body: { hint: /slack, smtp/ } });
  t.match(await run('retry', id, '--all'), { code: 2, stderr: /Name one delivery, or --all --channel/ });
  t.match(await run('retry', id, '--by', 'olga'), { code: 0, stdout: /^1 in the outbox again/ });
  t.match(await run('retry', '--all', '--channel', 'smtp', '--by', 'olga'), { code: 0, stdout: /^0 in the outbox/ });
  const retries = await gateway.operator('GET', '/v1/audit?act=notices.retry');
  t.match(retries.body.entries, [
    { actor: 'olga', via: 'socket', target: 'channel:smtp', result: 'done' },
    { actor: 'olga', via: 'socket', target: `delivery:${id}`, result: 'done', detail: { retried: 1 } },
    {
      actor: 'olga',
      via: 'browser',
      target: 'channel:webhook',
      result: 'refused',
      detail: { code: 'unknown_channel' },
    },
  ]);
  const counted = async () => {
    const { text } = await scrape(`http://[::1]:${gateway.ports.health}`);
    return /^daypass_notices_waiting 1$/m.test(text) && /^daypass_notices_oldest_seconds [1-9]/m.test(text);
  };
  await waitUntil('what waits is counted', counted);

  const file = join(gateway.configDirectory, 'daypass.yaml');
  const text = await readFile(file, 'utf8');
  const reload = async (notices: string) => {
    await writeFile(file, `${text.slice(0, text.indexOf('notices:'))}${notices}`);
    return gateway.operator('POST', '/v1/reload', {});
  };
  const other = await hookReceiver(t);
  await writeFile(join(gateway.configDirectory, 'hook'), other.url.href);
  const slack = 'slack: { url: { file: hook } }';
  const words = 'templates: { request.waiting: { text: "{{task}}, in our words" } }';
  t.match(await reload(`notices: { ${slack}, ${words} }\n`), { status: 200 });
  const [before, again] = [posts.length, { ...asked, task: 'Find out why order 4712 was charged twice' }];
  await (await as('alice'))('POST', '/requests', again);
  await waitUntil('the new receiver is told, in the new words', () => other.posts.length === 1);
  t.match(other.posts[0]?.body.text, /order 4712 was charged twice, in our words/);
  t.match(await olga('POST', '/notices/test/smtp', {}), { status: 404 }, 'a channel that was taken out is gone');
  const wrong = await reload(`notices: { ${slack}, templates: { request.waiting: { text: "{{nothing}}" } } }\n`);
  t.match(wrong, { status: 422, body: { ok: false, problems: [/daypass\.yaml:\d+:\d+ .*unknown field "nothing"/] } });
  t.match(await reload('notices: { slack: { url: { file: gone } } }\n'), { status: 422, body: { problems: [/gone/] } });
  t.match(await olga('POST', '/notices/test/slack', {}), { status: 200 }, 'what was in force stays');
  t.same([posts.length, other.posts.length], [before, 2]);
  t.equal(
    gateway.lines.filter(({ msg }) => msg === 'the notices were reloaded').length,
    1,
    'what is the same is left alone',
  );
});
