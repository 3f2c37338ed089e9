import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { packageRoot } from '../../src/cli/place.js';
import { command, start } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { CLI } from '../support/gateway-process.js';
import { freePort } from '../support/ports.js';

const ROOT = packageRoot();
const address = async () => `127.0.0.1:${await freePort()}`;

/** A line as a person pastes it, in another terminal: in the checkout, without the gateway's own settings. */
const paste = (line: string) =>
  command('sh', ['-c', line], { cwd: ROOT, env: { DAYPASS_DATA: undefined, PGCONNECT_TIMEOUT: '10' } });

/** Starts what `npm start` starts, its settings moved by the environment alone. @returns what it prints for people */
async function started(
  t: Test,
  { config, data }: Awaited<ReturnType<typeof folders>>,
): Promise<{ said: string; end: () => Promise<number | null> }> {
  const env = {
    DAYPASS_HTTP: await address(),
    DAYPASS_POSTGRES: await address(),
    DAYPASS_HEALTH: await address(),
    DAYPASS_SAMPLES_PG: await address(),
    DAYPASS_SAMPLES_WEB: await address(),
  };
  const gateway = start(process.execPath, [CLI, 'start', '--config', config], {
    env: { ...env, DAYPASS_DATA: data, DATABASE_URL: undefined, REDIS_URL: undefined },
    timeout: 180_000,
  });
  t.teardown(() => gateway.process.kill('SIGKILL'));
  await gateway.shows(/grant revoke .*\n/);
  const end = async () => {
    gateway.process.kill('SIGTERM');
    return (await gateway.finished).code;
  };
  return { said: await gateway.shows(/grant revoke .*\n/), end };
}

/** The configuration that is shipped, with one service more. */
async function folders(t: Test) {
  const folder = await dataFolder(t);
  const config = join(folder, 'config');
  await cp(join(ROOT, 'config'), config, { recursive: true, filter: (path) => !path.endsWith('.pem') });
  const own = [
    'service: ours',
    'protocol: http',
    'lane: production',
    'owner: group:ops',
    'upstream: { url: "http://127.0.0.1:9" }',
    'roles: { all: { allow: [GET /**] } }',
    'grants: { max_duration: 1h, max_renewals: 0 }',
    'recording: { mode: strict }',
  ];
  await writeFile(join(config, 'services', 'ours.yaml'), own.join('\n'));
  return { config, data: join(folder, 'a place') };
}

t.test('every line that is printed for pasting does what is said beside it', async (t) => {
  const places = await folders(t);
  const { said, end } = await started(t, places);
  const lines = (word: RegExp) => [...said.matchAll(word)].map(([, line = '']) => line);
  const [allowed, refused] = [lines(/^ {2}allowed {2}(.*)$/gm), lines(/^ {2}refused {2}(.*)$/gm)];
  t.same([allowed.length, refused.length], [2, 2], 'one of each for each sample service');
  for (const line of allowed) {
    const { code, stdout, stderr } = await paste(line);
    t.equal(code, 0, stderr);
    t.match(stdout, /\d/, 'there is something to see');
    t.notMatch(stdout + stderr, /Daypass|out_of_scope/);
  }
  for (const line of refused) {
    const { stdout, stderr } = await paste(line);
    t.match(stdout + stderr, /outside the role reader|does not allow POST/, line.replace(/dp_\w+/, 'dp_…'));
  }

  const list = await paste(lines(/(npx daypass sessions list.*)$/gm)[0] ?? '');
  t.equal(list.code, 0, list.stderr);
  t.equal(list.stdout.match(/^[0-9a-f-]{36} .*alice/gm)?.length, 3, 'a session for each psql and one for the web');
  const session = /^[0-9a-f-]{36}/m.exec(list.stdout)?.[0] ?? '';
  const replay = lines(/(npx daypass replay <session>.*)$/gm)[0] ?? '';
  t.match(await paste(replay.replace('<session>', session)), { code: 0, stdout: /alice was let in/ });
  t.match(await paste(lines(/(npx daypass verify.*)$/gm)[0] ?? ''), { code: 0 });
  t.match(await paste(lines(/(npx daypass grant revoke .*)$/gm)[0] ?? ''), { code: 0, stdout: /is revoked/ });
  const after = await Promise.all(allowed.map(paste));
  t.equal(after.filter(({ stdout, stderr }) => /revoked/.test(stdout + stderr)).length, 1, 'and is at once');
  const invited = await paste(`npx daypass invite alice --name Alice --employee --data '${places.data}'`);
  t.equal(invited.code, 0, invited.stderr);
  t.equal(await end(), 0);

  const again = await started(t, places);
  t.match(
    [...again.said.matchAll(/^ {2}(?:allowed|refused) {2}(\S+)/gm)].map(([, first = '']) => first),
    [/^PGPASSWORD=/, /^PGPASSWORD=/, /^curl$/, /^curl$/],
    'the same ones for whoever has an account, and could connect without a password',
  );
  t.notMatch(again.said + said, /^ours/m, 'nobody is let into a service of the own');
  t.equal(await again.end(), 0);
});
