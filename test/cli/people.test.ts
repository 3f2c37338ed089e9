import { userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { startService, webPolicy } from '../http/browser/fixture.js';
import { command } from '../support/commands.js';
import { startGateway } from '../support/gateway.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const UNTIL = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10);
const LATER = new Date(Date.now() + 60 * 86_400_000).toISOString().slice(0, 10);

async function start(t: Test) {
  const service = await startService(t);
  const gateway = await startGateway(t, { services: { web: webPolicy(service.url) } });
  const run = (...words: string[]) =>
    command(process.execPath, [MAIN, ...words], { env: { DAYPASS_DATA: gateway.dataDirectory } });
  return { gateway, run };
}

t.test('an operator invites people, and looks after their accounts, from the command line', async (t) => {
  const { gateway, run } = await start(t);
  const dana = await run('invite', 'dana', '--name', 'Dana', '--employee', '--groups', 'leads,web');
  t.equal(dana.code, 0, dana.stderr);
  t.match(dana.stdout, new RegExp(`link +http://localhost:${gateway.ports.http}/invite#[\\w-]{43} `));
  const carl = ['invite', 'carl', '--name', 'Carl', '--contractor'];
  t.match(await run(...carl, '--sponsor', 'dana'), { code: 1, stderr: /must have an end/ });
  t.match(await run(...carl, '--until', UNTIL), { code: 1, stderr: /must have a sponsor/ });
  t.match(await run(...carl, '--until', 'soon'), { code: 2, stderr: /a date like/ });
  const invited = await run(...carl, '--sponsor', 'dana', '--until', UNTIL, '--json');
  t.match(JSON.parse(invited.stdout), { subject: 'carl', url: /#[\w-]{43}$/, expiresAt: /Z$/, recovery: false });
  t.match(await run('invite', 'carl'), { code: 1, stderr: /takes a reason/ });
  t.match((await run('invite', 'carl', '--reason', 'lost')).stdout, /their passkeys and logins have ended/);
  await run('invite', 'erik', '--name', 'Erik', '--employee');
  const list = await run('people', 'list');
  t.match(list.stdout, /PERSON +STATE +KIND/);
  t.match(list.stdout, new RegExp(`carl +open +contractor +local +Carl +dana +${UNTIL} 00:00:00`));
  t.match(list.stdout, /dana +open +employee +local +Dana +leads, web/);
  t.match(JSON.parse((await run('people', 'list', '--sponsor', 'dana', '--json')).stdout), {
    people: [{ subject: 'carl' }],
  });
  const why = ['--reason', 'a test'];
  t.match(
    (await run('people', 'reassign', 'carl', '--sponsor', 'erik', ...why)).stdout,
    /^erik is the sponsor of carl/,
  );
  t.match((await run('people', 'extend', 'carl', '--until', LATER, ...why)).stdout, new RegExp(`ends at ${LATER}`));
  t.match((await run('people', 'groups', 'dana', '--groups', '', ...why)).stdout, /dana is in no group/);
  t.match(await run('people', 'close', 'carl'), { code: 2 }, 'an act needs a reason');
  t.match(
    (await run('people', 'close', 'carl', ...why)).stdout,
    /carl is closed; ended: 0 grants, 0 passkeys, .* 1 invitations/,
  );
  await gateway.issue({ service: 'web', principal: 'alice' });
  const left = await run('offboard', 'dana', ...why);
  t.match(left, { code: 0, stdout: /^offboarded +dana\n[\s\S]*complete +yes/ });
  t.match(left.stdout, /^invite +alice, who has no account, as a contractor of another sponsor \(1 grants wait\)$/m);
  t.match(await run('offboard', 'nosuch', ...why), { code: 1, stderr: /Nobody is known as "nosuch"/ });
  const shown = await run('people', 'show', 'carl');
  t.match(shown.stdout, /state +closed/);
  t.match(shown.stdout, new RegExp(`created +\\S+ by ${userInfo().username}`));
  t.match(await run('people', 'show', 'nobody'), { code: 1, stderr: /no person/ });
  t.match((await run('people', 'list', '--open')).stdout, /^(?!.*carl)/s);
});

t.test('what people are called moves no cursor', async (t) => {
  const { gateway, run } = await start(t);
  await run('invite', 'dana', '--name', 'Dana', '--employee');
  await gateway.ledger.query(`update daypass.people set name = E'\\x1b[2Jevil'`);
  for (const words of [['list'], ['show', 'dana']]) t.notMatch((await run('people', ...words)).stdout, '\x1b');
});

t.test('a date is read as it is written, and not guessed at', async (t) => {
  const { run } = await start(t);
  await run('invite', 'dana', '--name', 'Dana', '--employee');
  const carl = ['invite', 'carl', '--name', 'Carl', '--contractor', '--sponsor', 'dana', '--until'];
  const guesses = ['01.03.2027', '5', 'March 2027', '1/2/27', '2027-02-30', '2027-03-01T08:00:00', '2h'];
  for (const date of guesses) t.match(await run(...carl, date), { code: 2, stderr: /a date like 2027-03-01/ }, date);
  const ask = ['request', '--service', 'web', '--task', 'x', '--for', '1h', '--from'];
  t.match(await run(...ask, '01.03.2027'), { code: 2, stderr: /a date like/ });
  t.match(await run('sessions', 'list', '--since', '01.03.2027'), { code: 2, stderr: /A duration like 2h/ });
  t.match(await run('sessions', 'list', '--since', '2h'), { code: 0 });
  const nda = ['nda', 'register', '--party', 'carl', '--title', 'x', '--text-hash', 'a'.repeat(64)];
  const signed = await run(...nda, '--signed-on', '2026-02-30', '--valid-until', UNTIL);
  t.match(signed, { code: 2, stderr: /A date like/ });
  t.match(await run(...carl, `${UNTIL}T01:30:00+02:00`), { code: 0 });
  const dayBefore = new Date(Date.parse(UNTIL) - 30 * 60_000).toISOString();
  t.match((await run('people', 'show', 'carl')).stdout, new RegExp(`ends +${dayBefore}`));
});
