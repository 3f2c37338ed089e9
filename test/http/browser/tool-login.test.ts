import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import t, { type Test } from 'tap';
import { start } from '../../support/commands.js';
import { dataFolder } from '../../support/folders.js';
import { CLI } from '../../support/gateway-process.js';
import { freePort } from '../../support/ports.js';
import { withDirectory } from './directory-fixture.js';
import { linkFor } from './fixture.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const skip = CHROMIUM === undefined ? 'Chromium is not installed' : false;

/** The command line of somebody, with a home of its own. */
async function commandLine(t: Test, home: string) {
  const config = await dataFolder(t);
  const env = { XDG_CONFIG_HOME: config, DAYPASS_GATEWAY: home };
  const runWith = (more: object, ...words: string[]) =>
    start(process.execPath, [CLI, ...words], { env: { ...env, ...more }, timeout: 60_000 });
  const run = (...words: string[]) => runWith({}, ...words);
  return { run, runWith, file: join(config, 'daypass', 'tokens.json') };
}

t.test('daypass login: a browser says yes, and the command line acts until it is over', { skip }, async (t) => {
  const { home, gateway } = await withDirectory(t, 'duties: { operator: [group:platform] }');
  const { run, file } = await commandLine(t, home);
  const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] });
  t.teardown(() => browser.close());
  const page = await (await browser.newContext()).newPage();
  t.match(await run('whoami').finished, { code: 5, stderr: /not logged in/ });

  const login = run('login', '--no-browser');
  const address = async (running: ReturnType<typeof run>) =>
    /http:\/\/localhost:\d+\/login\/tool\?\S+/.exec(await running.shows(/login\/tool\?\S+\n/))?.[0] ?? '';
  await page.goto(await address(login));
  await page.click('text=Log in with your company account');
  await page.waitForURL(/\/login\/tool\?/);
  t.match(await page.textContent('h1'), 'act as alice');
  await page.click('button[value=yes]');
  await page.waitForURL(/^http:\/\/127\.0\.0\.1:/);
  t.match(await page.textContent('body'), 'The command line is logged in');
  t.match(await login.finished, { code: 0, stdout: /logged in at http:\/\/localhost:\d+ as alice, until/ });
  t.equal((await stat(file)).mode & 0o777, 0o600);
  t.equal((await stat(join(file, '..'))).mode & 0o777, 0o700);
  const { token } = JSON.parse(await readFile(file, 'utf8'))[home];
  t.match(token, /^dpt_[\w-]{43}$/);
  const who = await run('whoami', '--json').finished;
  t.match(JSON.parse(who.stdout), { subject: 'alice', groups: ['platform', 'dev'], duties: ['operator'] });
  t.notOk(JSON.stringify(gateway.lines).includes(token), 'no token in a log');

  const other = run('login', '--no-browser', '--as', 'bob');
  await page.goto(await address(other));
  t.match(await other.finished, { code: 1, stderr: /logged in as somebody else/ });
  const refused = run('login', '--no-browser');
  await page.goto(await address(refused));
  await page.click('button[value=no]');
  t.match(await refused.finished, { code: 1, stderr: /refused in the browser/ });

  t.match(await run('logout').finished, { code: 0 });
  const asked = await fetch(`${home}/api/v1/tokens/current`, { headers: { authorization: `Bearer ${token}` } });
  t.equal(asked.status, 401);
  t.same(JSON.parse(await readFile(file, 'utf8')), {});
});

t.test('daypass login where nobody answers says so in place of an address', async (t) => {
  const { run } = await commandLine(t, `http://localhost:${await freePort()}`);
  const { code, stderr } = await run('login', '--no-browser').finished;
  t.equal(code, 3, stderr);
  t.match(stderr, /No gateway answers at http:\/\/localhost:\d+/);
  t.notMatch(stderr, /Confirm the login/);
});

t.test('daypass login --link needs no browser; the token ends with a logout everywhere', async (t) => {
  const { home, gateway } = await withDirectory(t);
  const { run, runWith } = await commandLine(t, home);
  const code = await linkFor(gateway);
  const wrong = await run('login', '--link', `${home}/login#${code}`, '--as', 'bob').finished;
  t.match(wrong, { code: 1, stderr: /not for this account/ });
  t.match(await run('login', '--link', `${home}/login#${code}`, '--as', 'alice').finished, { code: 0 });
  t.match(await run('login', '--link', `${home}/login#${code}`).finished, { code: 1, stderr: /used already/ });
  t.match(await run('login', '--link', 'https://elsewhere.test/x').finished, { code: 2 });
  t.match(await run('whoami').finished, { code: 0, stdout: /account +alice/ });
  await gateway.operator('POST', '/v1/logouts', { principal: 'alice', reason: 'a test', by: 'ops' });
  t.match(await run('whoami').finished, { code: 5, stderr: /not logged in/ });
  t.match(await run('logout', 'alice').finished, { code: 2, stderr: /--reason/ });
  t.match(await run('logout').finished, { code: 0 });
  const unnamed = { DAYPASS_GATEWAY: undefined };
  for (const verb of ['whoami', 'logout'])
    t.match(await runWith(unnamed, verb).finished, { code: 5, stderr: /not logged in anywhere.*daypass login/s }, verb);
  t.match(await runWith(unnamed, 'login').finished, { code: 2, stderr: /Which gateway/ });
});
