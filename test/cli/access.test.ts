import { randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { DUTIES, startWithPeople } from '../api/ground.js';
import { linkFor, webPolicy } from '../http/browser/fixture.js';
import { selfSigned } from '../support/certificate.js';
import { command, type Finished } from '../support/commands.js';
import { waitUntil } from '../support/wait.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const TASK = 'Find out why order 4711 was charged twice';

/** People who are logged in with the command, each with a home of their own. */
async function ground(t: Parameters<typeof startWithPeople>[0]) {
  const people = await startWithPeople(t);
  const { gateway, ask } = people;
  await gateway.policy('web', `${webPolicy('http://127.0.0.1:1')}access: { approvals: 1 }\n`);
  const address = `http://localhost:${gateway.ports.http}`;
  const homes = await mkdtemp('/tmp/dp-homes-');
  t.teardown(() => rm(homes, { recursive: true, force: true }));
  const run = (env: Record<string, string | undefined>, words: readonly string[]) =>
    command(process.execPath, [MAIN, ...words], {
      env: { DAYPASS_DATA: undefined, DAYPASS_GATEWAY: undefined, ...env },
    });
  const tokenOf = async (subject: string) => {
    const body = JSON.stringify({ link: await linkFor(gateway, subject), client: 'test' });
    const made = await ask({
      method: 'POST',
      path: '/api/v1/tokens',
      body,
      headers: { 'content-type': 'application/json' },
    });
    return made.body;
  };
  const as = async (subject: string) => {
    const home = join(homes, subject);
    const path = join(home, 'daypass', 'tokens.json');
    await mkdir(join(home, 'daypass'), { recursive: true, mode: 0o700 });
    const token = await tokenOf(subject);
    await writeFile(path, JSON.stringify({ [address]: token }), { mode: 0o600 });
    const say = (...words: string[]) => run({ XDG_CONFIG_HOME: home }, words);
    return Object.assign(say, { path, token: String(token.token) });
  };
  return { ...people, gateway, address, run, as, homes };
}

function jsonOf({ stdout }: Finished): Record<string, string> {
  return JSON.parse(stdout);
}

t.test('a contractor and an owner do everything by the command, from asking to giving back', async (t) => {
  const { as } = await ground(t);
  const [alice, lee] = [await as('alice'), await as('lee')];
  t.match(await alice('services'), { code: 0, stdout: /^web +http +production/m });
  const asked = await alice('request', '--service', 'web', '--task', TASK, '--for', '10m', '--json');
  t.match(asked, { code: 0 }, asked.stderr);
  const { id = '' } = jsonOf(asked);
  t.match(await lee('requests', 'list', '--to-decide'), { code: 0, stdout: new RegExp(id) });
  t.match(await alice('activate', id), { code: 1, stderr: /not approved|approv/i });
  t.match(await alice('approve', id, '--comment', 'yes'), { code: 1 });
  t.match(await lee('approve', id, '--comment', 'go ahead', '--for', '5m'), { code: 0, stdout: /approved/ });
  const begun = await alice('activate', id);
  t.match(begun, { code: 0, stdout: /handle +dp_\w+ +\(shown only this once\)/ }, begun.stderr);
  t.match(begun.stdout, /connect +curl -H 'Authorization: Bearer dp_/);
  t.match(await alice('renew', id, '--for', '1m', '--reason', 'not done yet'), { code: 0 });
  t.match(await alice('requests', 'show', id), { code: 0, stdout: /renew +alice +not done yet/ });
  t.match(await lee('revoke', '--request', id, '--reason', 'enough'), { code: 0, stdout: `request ${id} is over` });
  t.match(await alice('return', id, '--reason', 'done'), { code: 1 });
});

const TWO_ROLES = `${webPolicy('http://127.0.0.1:1').replace(/roles:\n.*\n/, '')}access: { approvals: 1 }
roles:
  viewer: { allow: ["GET /orders", "GET /pages"] }
  retrier: { extends: viewer, allow: ["POST /orders"] }
`;

t.test('what approvers left out, and what was asked for, is seen wherever the access is', async (t) => {
  const { as, gateway } = await ground(t);
  await gateway.policy('web', TWO_ROLES);
  const [alice, lee] = [await as('alice'), await as('lee')];
  const { id = '' } = jsonOf(
    await alice('request', '--service', 'web', '--role', 'retrier', '--task', TASK, '--for', '1h', '--json'),
  );
  const less = ['--role', 'viewer', '--only', 'GET /orders', '--for', '30m'];
  const approved = await lee('approve', id, '--comment', 'reading is enough', ...less);
  t.match(approved.stdout, /^access +alice to web as viewer \(asked for: retrier\)$/m, approved.stderr);
  t.match(approved.stdout, /^only +GET \/orders$/m);
  const [, from, to] = /^time +(.+) to (.+) UTC, 30m \(asked for: 1h\)$/m.exec(approved.stdout) ?? [];
  t.equal(Date.parse(`${to}Z`) - Date.parse(`${from}Z`), 30 * 60_000);
  t.match((await alice('requests', 'list')).stdout, /web +viewer \(1 of its rules\)/);
  const { grant = '' } = jsonOf(await alice('activate', id, '--json'));
  t.match((await alice('grant', 'show', grant)).stdout, /^only +GET \/orders$/m);
  t.match((await alice('grant', 'list')).stdout, /viewer \(1 of its rules\)/);
  t.match((await alice('services')).stdout, /viewer \(1 of its rules\) until/);
});

t.test('whoever asks is told why it takes more approvals than usual', async (t) => {
  const { as, gateway } = await ground(t);
  await gateway.policy('shop', webPolicy('http://127.0.0.1:1', 'shop').replace('lane: production', 'lane: data'));
  await gateway.policy('web', `${webPolicy('http://127.0.0.1:1')}access: { approvals: 1, pre_approved: [viewer] }\n`);
  const alice = await as('alice');
  const ask = ['request', '--service', 'web', '--task', TASK, '--for', '10m'];
  t.match((await alice(...ask)).stdout, /^approvals +0 of 0$/m);
  await gateway.issue({ service: 'shop', principal: 'alice' });
  const asked = await alice(...ask);
  t.match(asked.stdout, /^approvals +0 of 1, one more than usual: alice has access in another lane/m);
});

t.test('the exit code says what kind of refusal it was', async (t) => {
  const { as, run, address, gateway, homes } = await ground(t);
  const alice = await as('alice');
  const nobody = { XDG_CONFIG_HOME: join(homes, 'nobody') };
  t.match(await run(nobody, ['services', '--gateway', address]), { code: 5, stderr: /daypass login/ });
  t.match(await run(nobody, ['services', '--gateway', 'http://localhost:1']), { code: 5 });
  t.match(await alice('services', '--gateway', 'http://gw.example.com'), { code: 2 });
  t.match(await alice('services', '--gateway', address, '--data', '/tmp'), { code: 2 });
  t.match(await alice('revoke', '--reason', 'x'), { code: 2 });
  t.match(await alice('request', '--service', 'web'), { code: 2 });
  t.match(await alice('revoke', '--service', 'web', '--reason', 'mischief', '--json'), {
    code: 1,
    stderr: /"code":"not_allowed"/,
  });
  await gateway.ledger.query('update daypass.tokens set ended_at = now()');
  t.match(await alice('services'), { code: 5 });
  await gateway.stop();
  t.match(await alice('services'), { code: 3 });
});

t.test('tokens that others could have read are not used', async (t) => {
  const { as } = await ground(t);
  const alice = await as('alice');
  await chmod(alice.path, 0o640);
  const refused = await alice('services');
  t.match(refused, { code: 1, stderr: /Others may read/ });
  t.notMatch(refused.stderr + refused.stdout, /dpt_/);
});

t.test('a reviewer finds, watches, replays, verifies and ends sessions by the command, as themselves', async (t) => {
  const { as, gateway, ask } = await ground(t);
  const { id: grant, handle } = await gateway.issue({ service: 'web', principal: 'alice' });
  await ask({ path: '/odd-path', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
  const [alice, rita] = [await as('alice'), await as('rita')];
  const { sessions } = JSON.parse((await rita('sessions', 'list', '--json')).stdout);
  const [{ id = '' } = {}] = sessions;
  t.match(await alice('replay', id), { code: 1, stderr: /not yours/ });
  t.match(await rita('grant', 'show', grant), { code: 0, stdout: /alice to web/ });
  t.match(await rita('replay', id), { code: 0, stdout: /GET \/odd-path/ });
  t.match(await rita('replay', id, '--format', 'har'), { code: 0, stdout: /"log"/ });
  t.match(await rita('verify', id), {
    code: 0,
    stdout: /every chain holds\.\nstill live: 1; .*\nthe last is event \d+; the chain ends with [0-9a-f]{64}$/m,
  });
  t.match(await rita('sessions', 'search', '--text', 'odd'), { code: 0, stdout: new RegExp(id) });
  const watched = rita('sessions', 'watch', id);
  t.match(await rita('sessions', 'end', id, '--reason', 'looks odd'), { code: 0, stdout: `session ${id} is ended` });
  t.match(await watched, { code: 0, stdout: /odd-path/ });
  const lines = await gateway.ledger.query<{ actor: string; via: string }>(
    "select distinct actor, via from daypass.audit where act like 'recording.%' or act = 'session.end'",
  );
  t.same(lines, [{ actor: 'rita', via: 'token' }]);
  await gateway.ledger.query(`update daypass.sessions set principal = 'mallory' where id = $1`, [id]);
  const changed = { code: 1, stdout: new RegExp(`^${id} .*\\n1 sessions, \\d+ events: \\d+ findings\\.$`, 'm') };
  t.match(await rita('verify', id), changed);
  t.match(await rita('verify', '--json'), { code: 1, stdout: /"ok":false/ });
});

t.test('a reviewer reads and verifies the audit log by the command, as themselves', async (t) => {
  const { as, run, address, gateway, ask, homes } = await ground(t);
  await gateway.issue({ service: 'web', principal: 'alice' });
  const [alice, rita] = [await as('alice'), await as('rita')];
  t.match(await alice('audit', 'list'), { code: 1, stderr: /not yours/ });
  t.match(await rita('audit', 'list', '--act', 'grant'), { code: 0, stdout: /grant\.issue/ });
  const [head, log, keys] = ['head', 'audit.jsonl', 'jwks.json'].map((name) => join(homes, name));
  if (head === undefined || log === undefined || keys === undefined) throw new Error('no folder');
  await writeFile(head, (await rita('audit', 'head')).stdout);
  const exported = await rita('audit', 'export');
  t.match(exported, { code: 0 }, exported.stderr);
  await writeFile(log, exported.stdout);
  await writeFile(keys, JSON.stringify((await ask({ path: '/.well-known/jwks.json' })).body));
  t.match(await rita('audit', 'verify', '--head', head), { code: 0, stdout: /the chain holds/ });
  // What is in the reader's hands is verified without any gateway.
  const nobody = { XDG_CONFIG_HOME: join(homes, 'nobody'), DAYPASS_GATEWAY: address };
  t.match(await run(nobody, ['audit', 'verify']), { code: 5 });
  t.match(await run(nobody, ['audit', 'verify', '--file', log, '--keys', keys, '--head', head]), { code: 0 });
  const lines = await gateway.ledger.query<{ actor: string; via: string }>(
    "select actor, via from daypass.audit where act = 'audit.export'",
  );
  t.same(lines, [{ actor: 'rita', via: 'token' }]);
});

t.test('a close-out is written by whoever may have it, and verified offline', async (t) => {
  const { as, ask, homes } = await ground(t);
  const [alice, lee, rita] = [await as('alice'), await as('lee'), await as('rita')];
  const asked = await alice('request', '--service', 'web', '--task', TASK, '--for', '10m', '--json');
  const { id = '' } = jsonOf(asked);
  t.match(await lee('refuse', id, '--comment', 'not needed any more'), { code: 0 });
  const [file, keys] = [join(homes, 'closeout.json'), join(homes, 'keys.json')];
  const written = await rita('closeout', id, '-o', file);
  t.match(written, { code: 0, stdout: `record  final record of request ${id}, in ${file}` }, written.stderr);
  await writeFile(keys, (await ask({ path: '/.well-known/jwks.json' })).text);
  t.match(await rita('closeout', 'verify', file, '--keys', keys), { code: 0, stdout: /it holds/ });
  t.match(await (await as('bob'))('closeout', id), { code: 1 });
  const waiting = jsonOf(await alice('request', '--service', 'web', '--task', TASK, '--for', '10m', '--json'));
  const page = await rita('closeout', waiting.id ?? '', '--html', '-o', join(homes, 'closeout.html'));
  t.match(page.stdout, /^record +interim record of request .*\nopen +\S/);
});

t.test(
  'a gateway with an authority of its own is believed with that authority, which the login remembers',
  async (t) => {
    const homes = await mkdtemp('/tmp/dp-homes-');
    t.teardown(() => rm(homes, { recursive: true, force: true }));
    const { cert, key } = await selfSigned();
    const [certFile, keyFile, other] = ['cert.pem', 'key.pem', 'other.pem'].map((name) => join(homes, name));
    for (const [path = '', text] of [
      [certFile, cert],
      [keyFile, key],
      [other, (await selfSigned()).cert],
    ] as const)
      await writeFile(path, text, { mode: 0o600 });
    const settings = `${DUTIES}\ntls: { cert: { file: ${certFile} }, key: { file: ${keyFile} } }`;
    const { gateway } = await startWithPeople(t, { settings });
    const run = (...words: string[]) =>
      command(process.execPath, [MAIN, ...words], {
        env: { DAYPASS_DATA: undefined, DAYPASS_GATEWAY: undefined, XDG_CONFIG_HOME: homes },
      });
    const link = async () => `https://localhost:${gateway.ports.http}/login#${await linkFor(gateway)}`;
    t.match(await run('login', '--link', await link()), { code: 3, stderr: /--ca <file>/ });
    t.match(await run('login', '--link', await link(), '--ca', other ?? ''), { code: 3 });
    t.match(await run('login', '--link', await link(), '--ca', keyFile ?? ''), { code: 2, stderr: /no certificate/ });
    t.match(await run('login', '--link', await link(), '--ca', certFile ?? ''), { code: 0, stdout: /logged in/ });
    t.match(await run('services'), { code: 0, stdout: /^web /m });
    t.match(await run('services', '--ca', other ?? ''), { code: 3 }, 'what is named counts before what is remembered');
    t.match(await run('login', '--link', await link()), { code: 0 }, 'it is remembered from login to login');
    t.match(await run('logout'), { code: 0 });
  },
);

t.test('without a login the same verbs are the operator’s, by the socket', async (t) => {
  const { run, gateway, homes } = await ground(t);
  const env = { DAYPASS_DATA: gateway.dataDirectory, XDG_CONFIG_HOME: join(homes, 'nobody') };
  t.match(await run(env, ['services']), { code: 0, stdout: /^shop /m });
  const { id } = await gateway.issue({ service: 'web' });
  t.match(await run(env, ['revoke', '--person', 'alice', '--reason', 'over', '--by', 'ops']), {
    code: 0,
    stdout: `grant ${id} is over`,
  });
  const nda = ['nda', 'register', '--party', 'alice', '--title', 'NDA', '--text-hash', 'a'.repeat(64)];
  t.match(await run(env, [...nda, '--signed-on', '2026-01-01', '--valid-until', '2030-01-01']), { code: 0 });
  t.match(await run(env, ['nda', 'list']), { code: 0, stdout: /alice/ });
});

t.test('operators issue, renew and revoke grants as themselves over the network, and others do not', async (t) => {
  const { as, gateway } = await ground(t);
  const [olga, lee] = [await as('olga'), await as('lee')];
  const whom = ['--principal', 'alice', '--service', 'web', '--sponsor', 'dana', '--reason', 'she is on call'];
  t.match(await lee('grant', 'issue', ...whom, '--for', '10m'), { code: 1, stderr: /not yours/ });
  const issued = await olga('grant', 'issue', ...whom, '--for', '10m', '--json');
  t.match(issued, { code: 0 }, issued.stderr);
  const { id = '' } = jsonOf(issued);
  const renewed = await olga('grant', 'renew', id, '--for', '5m', '--reason', 'not done');
  t.match(renewed, { code: 0, stdout: /now ends at/ }, renewed.stderr);
  t.match(await olga('grant', 'revoke', id, '--reason', 'done'), { code: 0, stdout: `grant ${id} is revoked` });
  const acts = await gateway.ledger.query(`select act, actor, via from daypass.audit where target = 'grant:${id}'`);
  t.same(
    acts.map(({ act, actor, via }) => `${act} ${actor} ${via}`),
    ['grant.issue olga token', 'grant.renew olga token', 'grant.revoke olga token'],
  );
});

t.test('a token is its person alone, for as long as their account is open', async (t) => {
  const { as, ask, gateway, login } = await ground(t);
  const { token } = await as('lee');
  const authorization = `Bearer ${token}`;
  const me = (headers: Record<string, string>) => ask({ path: '/api/v1/me', headers });
  t.match(await me({ authorization }), { status: 200, body: { subject: 'lee', via: 'token' } });
  t.match(await me({ authorization, cookie: await login('lee') }), { status: 400, body: { code: 'two_credentials' } });
  await gateway.ledger.query("update daypass.people set closed_at = now() where subject = 'lee'");
  t.match(await me({ authorization }), { status: /^40[13]$/ });
  t.notOk(JSON.stringify(gateway.lines).includes(token), 'no log holds it');
});

t.test('reviewers see to alerts and owners answer reviews by the command', async (t) => {
  const { gateway, as } = await ground(t);
  const [rita, lee, alice] = [await as('rita'), await as('lee'), await as('alice')];
  const { id: grant } = await gateway.issue({ service: 'web', principal: 'alice' });
  await waitUntil('the alert', async () => /direct_issue +alice +web/.test((await rita('alerts')).stdout));
  const listed = await rita('alerts', '--kind', 'direct_issue', '--json');
  const [alert] = JSON.parse(listed.stdout).alerts;
  t.match(alert, { kind: 'direct_issue', grant, count: 1 });
  t.match(await alice('alerts'), { code: 1 }, 'for reviewers and operators');
  t.match(await rita('alerts', 'acknowledge', alert.id, '--comment', 'agreed with lee'), { code: 0 });
  t.notMatch((await rita('alerts')).stdout, new RegExp(alert.id));
  t.match(await rita('alerts', '--all'), { stdout: /rita +\{/ });

  const review = randomUUID();
  await gateway.ledger.query(
    `insert into daypass.reviews (id, subject, grant_id, service, principal, owner, opened_at, due_at)
     values ('${review}', 'grant:${grant}', '${grant}', 'web', 'alice', 'group:leads', now(), now() + interval '7 days')`,
  );
  t.match(await lee('reviews'), { code: 0, stdout: /alice +web +granted \d rules?, never used/ });
  t.match(await alice('reviews', 'confirm', review, '--comment', 'I need it'), { code: 1 });
  t.match(await lee('reviews', 'end', review, '--comment', 'not needed'), {
    code: 0,
    stdout: /the access of alice to web has ended/,
  });
  const rows = await gateway.ledger.query(`select revoked_at from daypass.grants where id = '${grant}'`);
  t.ok(rows[0]?.revoked_at);
});
