// `npm test [-- files]`: makes a fresh clone runnable, gets the tests' programs, runs the tests, and closes with one line
// of its own: `N passed, N failed`.
import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { root } from './build.mjs';
import { prepare } from './prepare.mjs';
import { tools } from './tools.mjs';

const TAP = join(root, 'node_modules/tap/dist/esm/run.mjs');
const RESULTS = join(root, '.tap/all.tap');
/** What the outside world may have set and the tests must not see. */
const NOT_FOR_TESTS = /^(DAYPASS_|ORDERS_|PG|DATABASE_URL$|REDIS_URL$|NODE_OPTIONS$)/;

function environment(folders) {
  const kept = Object.entries(process.env).filter(([name]) => !NOT_FOR_TESTS.test(name));
  return { ...Object.fromEntries(kept), PATH: [...folders, process.env.PATH].join(delimiter) };
}

/** tap composes its core from the plugins named in .taprc; left to the first run, that run fails. */
function buildTap(env) {
  const built = join(root, '.tap/plugins/package.json');
  if (existsSync(built)) return;
  const { status } = spawnSync(process.execPath, [TAP, 'build'], { cwd: root, env, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('"tap build" failed: see the lines above');
}

function testFiles() {
  const folder = join(root, 'dist/test');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => relative(root, join(folder, name)))
    .sort();
}

/** A person at a terminal gets tap's own moving report; a log gets the plain protocol, once. */
function runTap(args, env) {
  rmSync(RESULTS, { force: true });
  const person = process.stdout.isTTY === true;
  const report = person ? [`--output-file=${RESULTS}`] : ['--reporter=tap'];
  const child = spawn(process.execPath, [TAP, 'run', ...report, ...args], {
    cwd: root,
    env,
    stdio: ['ignore', person ? 'inherit' : 'pipe', 'inherit'],
  });
  child.stdout?.pipe(process.stdout, { end: false });
  child.stdout?.pipe(createWriteStream(RESULTS));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** Counts from tap's own closing comment: `# { total: 10, pass: 9, fail: 1 }`. */
function counts() {
  const text = existsSync(RESULTS) ? readFileSync(RESULTS, 'utf8') : '';
  const closing = [...text.matchAll(/^# \{ (total: .*) \}$/gm)].at(-1)?.[1] ?? '';
  const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(closing)?.[1] ?? 0);
  return { passed: count('pass'), failed: count('fail') };
}

async function main(args) {
  prepare();
  const env = environment(tools());
  buildTap(env);
  const named = args.some((arg) => arg.endsWith('.js'));
  const files = named ? [] : testFiles();
  if (!named && files.length === 0) throw new Error('there are no tests in dist/test');
  const code = await runTap([...args, ...files], env);
  const { passed, failed } = counts();
  const ran = passed + failed > 0;
  if (!ran) console.error('daypass: no test was executed');
  console.log(`${passed} passed, ${code !== 0 && failed === 0 ? 1 : failed} failed`);
  process.exitCode = code === 0 && !ran ? 1 : code;
}

try {
  await main(process.argv.slice(2));
} catch (failure) {
  console.error(`daypass: ${failure.message}`);
  process.exitCode = 1;
}
