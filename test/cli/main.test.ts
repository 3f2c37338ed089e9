import { writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import t from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { until } from '../recording/fixture.js';
import { command, type Finished } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { startPostgres } from '../support/postgres.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

function daypass(data: string, ...words: string[]): Promise<Finished> {
  return command(process.execPath, [MAIN, ...words], { env: { DAYPASS_DATA: data } });
}

const ISSUE = [
  'grant',
  'issue',
  '--principal',
  'alice',
  '--service',
  'orders-db',
  '--for',
  '10m',
  '--sponsor',
  'dana',
  '--reason',
  'order 7',
];

async function gatewayWithOrders(t: Test) {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  return { gateway, run: (...words: string[]) => daypass(gateway.dataDirectory, ...words) };
}

t.test('an operator works with grants from the command line', async (t) => {
  const { gateway, run } = await gatewayWithOrders(t);
  const issued = await run(...ISSUE, '--json');
  t.equal(issued.code, 0, issued.stderr);
  const grant = JSON.parse(issued.stdout);
  t.match(grant, { id: /^\w{22}$/, handle: /^dp_/, expiresAt: /Z$/, role: 'reader' });
  const client = await throughGateway(t, gateway.ports.postgres, grant.handle);
  t.match(await client.query('select count(*)::int as n from orders'), { rows: [{ n: 1000 }] });
  const told = await run(...ISSUE, '--role', 'order-editor');
  t.match(told.stdout, /alice to orders-db as order-editor/);
  t.match(told.stdout, /PGPASSWORD=dp_\w+ psql "host=127.0.0.1 port=\d+ dbname=orders-db user=alice"/);
  t.match((await run('grant', 'list')).stdout, /GRANT +STATE +PERSON/);
  t.equal(JSON.parse((await run('grant', 'list', '--json', '--active')).stdout).grants.length, 2);
  t.match((await run('grant', 'renew', grant.id, '--for', '5m', '--reason', 'more')).stdout, /now ends at/);
  const revoked = await run('grant', 'revoke', grant.id, '--reason', 'done', '--json');
  t.match(JSON.parse(revoked.stdout), { state: 'revoked', ledger: 'written' });
  const shown = await run('grant', 'show', grant.id);
  t.match(shown.stdout, new RegExp(`revoke +\\S+ by ${userInfo().username}: done`));
});

t.test('an operator logs people in and out from the command line', async (t) => {
  const { gateway, run } = await gatewayWithOrders(t);
  const linked = await run('login-link', 'alice', '--reason', 'order 7');
  t.equal(linked.code, 0, linked.stderr);
  t.match(linked.stdout, new RegExp(`link +http://localhost:${gateway.ports.http}/login#[\\w-]{43} `));
  const { url } = JSON.parse((await run('login-link', 'alice', '--reason', 'order 7', '--json')).stdout);
  t.match(url, /#[\w-]{43}$/);
  t.equal((await run('login-link', 'alice')).code, 2, 'an act needs a reason');
  t.match(await run('login-link', 'Alice!', '--reason', 'x'), { code: 1, stderr: /not a valid name/ });
  t.match(
    (await run('logout', 'alice', '--reason', 'laptop lost')).stdout,
    /^alice is logged out everywhere \(0 logins\)/,
  );
  const acts = await gateway.ledger.query('select act, by, reason from daypass.login_acts order by seq');
  const by = userInfo().username;
  t.same(acts, [
    { act: 'link', by, reason: 'order 7' },
    { act: 'link', by, reason: 'order 7' },
    { act: 'logout', by, reason: 'laptop lost' },
  ]);
});

t.test('a reviewer finds, shows, replays and verifies sessions, and ends a live one', async (t) => {
  const { gateway, run } = await gatewayWithOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query(`select '\x1b[2J' as x from orders limit 1`);
  await t.rejects(client.query('delete from orders'));
  await until(gateway.ledger, `(select coalesce(sum(denied), 0) from daypass.block_index) = 1`);
  const listed = await run('sessions', 'list', '--person', 'alice', '--since', '1h', '--refused', '--json');
  const [session] = JSON.parse(listed.stdout).sessions;
  t.match((await run('sessions', 'list')).stdout, new RegExp(`${session.id} .* live +alice +orders-db +reader`));
  const ended = await run('sessions', 'end', session.id, '--reason', 'looks odd');
  t.equal(ended.code, 0, ended.stderr);
  await until(gateway.ledger, `exists (select from daypass.sessions where ended_at is not null)`);
  t.match((await run('sessions', 'show', session.id)).stdout, /actions +2, refused 1/);
  const replayed = await run('replay', session.id);
  t.match(replayed.stdout, /\\x1b\[2J/);
  t.notMatch(replayed.stdout, /\x1b/);
  t.match(replayed.stdout, /delete from orders/);
  const lines = (await run('replay', session.id, '--json')).stdout.trimEnd().split('\n');
  t.equal(JSON.parse(lines[0] ?? '').kind, 'open');
  t.match((await run('verify')).stdout, /every chain holds/);
  t.equal((await run('index', 'rebuild')).code, 0);
  await gateway.ledger.query(`update daypass.blocks set payload = '\\xff' where first_seq = 1`);
  const verified = await run('verify', session.id);
  t.equal(verified.code, 1);
  t.match(verified.stdout, /unreadable/);
  for (const words of [
    ['replay', session.id],
    ['replay', session.id, '--json'],
  ]) {
    const cut = await run(...words);
    t.equal(cut.code, 1, 'a record that cannot be read to its end does not look complete');
    t.match(cut.stderr, /not everything|read to its end/);
  }
});

t.test('status and reload', async (t) => {
  const { gateway, run } = await gatewayWithOrders(t);
  const status = await run('status');
  t.equal(status.code, 0);
  t.match(status.stdout, /ready +yes/);
  t.match((await run('reload')).stdout, /reloaded: orders-db/);
  await writeFile(join(gateway.configDirectory, 'services', 'orders-db.yaml'), 'service: orders-db\n');
  t.match(await run('reload'), { code: 1, stdout: /nothing was changed/ });
  const refused = await run('status');
  t.match(refused, { code: 0, stdout: /^policies +NOT those of the files.*\n +\S+orders-db.yaml:1:1 /m });
});

t.test('exit code 1 is a refusal, said in a sentence or in JSON', async (t) => {
  const { run } = await gatewayWithOrders(t);
  const refused = await run(...ISSUE, '--role', 'root');
  t.match(refused, { code: 1, stdout: '', stderr: /^daypass: .*no role "root"/ });
  t.match(refused.stderr, /\n {2}Its roles are reader, order-editor\.\n$/);
  const longer = await run(...ISSUE, '--for', '30d');
  t.match(longer.stderr, /allows at most \d+h at a time\.\n {2}Ask for \d+h or less\./);
  const elsewhere = await run(...ISSUE, '--service', 'ordrs-db');
  t.match(elsewhere.stderr, /no service "ordrs-db"\.\n {2}daypass services tells/);
  for (const [words, list] of [
    [['sessions', 'show', 'nosuch'], 'daypass sessions list'],
    [['requests', 'show', '01a22781'], 'daypass requests list'],
    [['grant', 'show', 'x'], 'daypass grant list'],
  ] as const)
    t.match((await run(...words)).stderr, new RegExp(`id: .*(like 01a20786-|22 letters).*${list}`));
  const json = await run('grant', 'show', 'abcdefghijABCDEFGHIJ12', '--json');
  t.match(json, { code: 1, stdout: '' });
  t.match(JSON.parse(json.stderr), { error: { code: 'unknown_grant', message: /\S/ } });
});

t.test('exit code 2 is a wrong command line', async (t) => {
  const folder = await dataFolder(t);
  for (const words of [
    ['grant', 'issue'],
    ['nonsense'],
    ['grant', 'renew', 'x', '--for', 'soon', '--reason', 'y'],
    ['sessions', 'list', '--since', 'x'],
  ]) {
    const wrong = await daypass(folder, ...words);
    t.equal(wrong.code, 2, words.join(' '));
    t.match(wrong.stderr, /\S/);
  }
  const json = await daypass(folder, 'grant', 'issue', '--json');
  t.match(JSON.parse(json.stderr), { error: { code: 'usage' } });
  t.equal((await daypass(folder, '--help')).code, 0);
  t.match((await daypass(folder, '--version')).stdout, /^\d+\.\d+\.\d+/);
});

t.test('exit code 3 means that no gateway is there', async (t) => {
  const folder = await dataFolder(t);
  const none = await daypass(folder, 'status');
  t.match(none, { code: 3, stderr: /No gateway runs/ });
  const json = await daypass(folder, 'grant', 'list', '--json');
  t.equal(json.code, 3);
  t.match(JSON.parse(json.stderr), { error: { code: 'no_gateway' } });
});

t.test('exit code 4 means that a revocation waits for the ledger, and holds already', async (t) => {
  const orders = await ordersDatabase(t);
  const server = await startPostgres(t);
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy() },
    env: orders.env,
    ledgerServer: server,
  });
  const { id, handle } = await gateway.issue({ service: 'orders-db' });
  await server.pause();
  const revoked = await daypass(gateway.dataDirectory, 'grant', 'revoke', id, '--reason', 'now');
  t.match(revoked, { code: 4, stdout: /is revoked; the ledger/ });
  await t.rejects(throughGateway(t, gateway.ports.postgres, handle));
  await server.resume();
  await until(gateway.ledger, `exists (select from daypass.grants where revoked_at is not null)`);
});
