// In which order the tests run, and which of them share a process.
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root } from './build.mjs';

/** The files that take longest, longest first: begun at the end, one of them would run on alone. A process each. */
const LONGEST = [
  'faults/many',
  'system/two-gateways',
  'system/trouble',
  'system/start',
  'system/kill',
  'system/workers',
  'bypass/over-tls',
  'postgres/hostile-upstream',
  'postgres/relay',
  'system/load',
  'postgres/cut',
  'faults/ledger',
  'faults/redis',
  'embedded/cluster',
  'cli/connect',
  'cli/main',
  'postgres/clients/languages',
  'system/end',
  'postgres/stall',
  'faults/upstream',
  'postgres/clients/volume',
];

/**
 * Files of these folders share a process, so many at a time: half of what most of them would need alone is to load the modules
 * of a gateway. Not where processes, signals or memory are what a file is about.
 */
const SHARING =
  /^(access|alerts|api|audit|bypass|config|gate|grant|http(\/client)?|identity|recording|session|postgres(\/(catalog|clients|sql|wire))?)$/;
const MOST = 8;
/** What waits for a subtest where it stands would wait for ever behind the one that loads its file. */
const WAITS = /^(await|const .* = await) /m;

/** @returns lists of files, each for one process, in the order to begin them in */
export function processesFor(files) {
  const longest = LONGEST.flatMap((name) => files.filter((file) => file.endsWith(`/${name}.test.js`)));
  const rest = files.filter((file) => !longest.includes(file));
  const sharing = rest.filter(mayShare);
  const folders = [...new Set(sharing.map(folderOf))];
  const shared = folders.flatMap((folder) => inParts(sharing.filter((file) => folderOf(file) === folder)));
  const alone = rest.filter((file) => !mayShare(file));
  return [...longest.map((file) => [file]), ...shared, ...alone.map((file) => [file])];
}

function folderOf(file) {
  return dirname(relative(join(root, 'dist/test'), join(root, file)));
}

function mayShare(file) {
  return SHARING.test(folderOf(file)) && !WAITS.test(readFileSync(join(root, file), 'utf8'));
}

function inParts(files) {
  const parts = Math.ceil(files.length / MOST);
  const size = Math.ceil(files.length / parts);
  return Array.from({ length: parts }, (_, part) => files.slice(part * size, (part + 1) * size));
}
