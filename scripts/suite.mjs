// `node scripts/suite.mjs <test files>`: runs them side by side, and writes one TAP stream with a block for each.
//
// Not by `tap run`: it loads hooks for coverage and mocks, which we have no use for, into every process of Node below it, a
// gateway too. Those more than trebled the time until a gateway serves.
import { relative } from 'node:path';
import t from 'tap';
import { root } from './build.mjs';

/** Most of what a test file does is to wait; more than this, and on two cores it begins to wait for the others. */
const JOBS = 2;
/** A file's, seconds: to its own tap, and to ours, which kills it. */
const TIMEOUT = 300;

/** Places in the .ts are for who looks into a few files: reading the maps of all modules costs each a third of a second. */
const FEW = 10;

/** tap puts its hooks into NODE_OPTIONS whenever it starts something, and `env` takes them away again. */
function run(file) {
  const env = { ...process.env, TAP_TIMEOUT: String(TIMEOUT) };
  const options = { name: relative(root, file), buffered: true, timeout: TIMEOUT * 1_000, cwd: root, env };
  t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...maps, file], options);
}

const files = process.argv.slice(2);
const maps = files.length <= FEW ? ['--enable-source-maps'] : [];
t.setTimeout(0);
t.jobs = JOBS;
t.plan(files.length);
for (const file of files) run(file);
