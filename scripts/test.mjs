// `npm test [-- files]`: makes a fresh clone runnable, gets the tests' programs, runs the tests, and closes with one line
// of its own: `N passed, N failed`.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './build.mjs';
import { prepare } from './prepare.mjs';
import { tools } from './tools.mjs';

const SUITE = join(root, 'scripts/suite.mjs');
const RESULTS = join(root, '.tap/all.tap');
/** What the outside world may have set and the tests must not see. */
const NOT_FOR_TESTS = /^(DAYPASS_(?!WRITE_SCHEMAS$)|ORDERS_|PG|DATABASE_URL$|REDIS_URL$|NODE_OPTIONS$)/;

function environment(folders) {
  const kept = Object.entries(process.env).filter(([name]) => !NOT_FOR_TESTS.test(name));
  return { ...Object.fromEntries(kept), PATH: [...folders, process.env.PATH].join(delimiter) };
}

function testFiles() {
  const folder = join(root, 'dist/test');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => relative(root, join(folder, name)))
    .sort();
}

/** A log gets the whole TAP stream; a person at a terminal a line for each file, and all that a failed one has said. */
function runSuite(files, env) {
  mkdirSync(dirname(RESULTS), { recursive: true });
  const child = spawn(process.execPath, [SUITE, ...files], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.pipe(createWriteStream(RESULTS));
  if (process.stdout.isTTY) tellInShort(child.stdout);
  else child.stdout.pipe(process.stdout, { end: false });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

function tellInShort(stream) {
  let block = [];
  createInterface({ input: stream }).on('line', (line) => {
    block.push(line);
    if (!/^(not )?ok /.test(line)) return;
    console.log(line.startsWith('ok') ? line : block.join('\n'));
    block = [];
  });
}

/** Counts from tap's own closing comment: `# { total: 10, pass: 9, fail: 1 }`. */
function counts() {
  const text = existsSync(RESULTS) ? readFileSync(RESULTS, 'utf8') : '';
  const closing = [...text.matchAll(/^# \{ (total: .*) \}$/gm)].at(-1)?.[1] ?? '';
  const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(closing)?.[1] ?? 0);
  return { passed: count('pass'), failed: count('fail') };
}

/**
 * Each failed assertion once more, with what it says of itself: in a log of twenty thousand lines nobody finds them. A
 * failed file or subtest says nothing that its assertions did not, unless it has none (it ran out of time, it was killed).
 */
function failures() {
  const lines = existsSync(RESULTS) ? readFileSync(RESULTS, 'utf8').split('\n') : [];
  const told = [];
  const names = [];
  for (let at = 0; at < lines.length; at++) {
    const [, indent, name] = /^( *)# Subtest: (.*)$/.exec(lines[at]) ?? [];
    if (name !== undefined) names.splice(indent.length / 4, Infinity, name);
    if (!/^ *not ok /.test(lines[at]) || !/^ *---$/.test(lines[at + 1] ?? '')) continue;
    const depth = lines[at].search(/\S/);
    const end = lines.findIndex((line, index) => index > at && /^ *\.\.\.$/.test(line));
    told.push(names.slice(0, depth / 4).join(' > '), ...lines.slice(at, Math.min(end, at + 60) + 1));
  }
  return told;
}

async function main(args) {
  prepare();
  const env = environment(tools());
  const files = args.length > 0 ? args : testFiles();
  if (files.length === 0) throw new Error('there are no tests in dist/test');
  const code = await runSuite(files, env);
  const { passed, failed } = counts();
  const ran = passed + failed > 0;
  if (!ran) console.error('daypass: no test was executed');
  for (const line of code === 0 ? [] : failures()) console.log(line);
  console.log(`${passed} passed, ${code !== 0 && failed === 0 ? 1 : failed} failed`);
  process.exitCode = code === 0 && !ran ? 1 : code;
}

try {
  await main(process.argv.slice(2));
} catch (failure) {
  console.error(`daypass: ${failure.message}`);
  process.exitCode = 1;
}
