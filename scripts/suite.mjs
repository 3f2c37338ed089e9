// `node scripts/suite.mjs <test files>`: runs them side by side, and writes one TAP stream with a block for each process.
//
// Not by `tap run`: it loads hooks for coverage and mocks, which we have no use for, into every process of Node below it, a
// gateway too. Those more than trebled the time until a gateway serves.
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import t from 'tap';
import { root } from './build.mjs';
import { processesFor } from './order.mjs';

/** Of three seconds that a test file takes it waits one: a core is idle where only as many are under way as there are cores. */
const JOBS = Math.min(availableParallelism(), 3) + 1;
/** A process's, seconds: to its own tap, and to ours, which kills it. */
const TIMEOUT = 300;
const SEVERAL = join(root, 'scripts/several.mjs');

/** Places in the .ts are for who looks into a few files: reading the maps of all modules costs each a third of a second. */
const FEW = 10;

/** tap puts its hooks into NODE_OPTIONS whenever it starts something, and `env` takes them away again. */
function run(files) {
  const env = { ...process.env, TAP_TIMEOUT: String(TIMEOUT) };
  const options = { name: nameOf(files), buffered: true, timeout: TIMEOUT * 1_000, cwd: root, env };
  const started = files.length === 1 ? files : [SEVERAL, ...files];
  t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...maps, ...started], options);
}

function nameOf(files) {
  const [first] = files.map((file) => relative(root, file));
  return files.length === 1
    ? first
    : `${dirname(first)}: ${files.map((file) => basename(file, '.test.js')).join(', ')}`;
}

const files = process.argv.slice(2);
const isFew = files.length <= FEW;
const maps = isFew ? ['--enable-source-maps'] : [];
const processes = isFew ? files.map((file) => [file]) : processesFor(files);
t.setTimeout(0);
t.jobs = JOBS;
t.plan(processes.length);
for (const each of processes) run(each);
