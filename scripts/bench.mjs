// Builds and runs the benches: `npm run bench`, or one part of them, `npm run bench -- postgres --quick`.
// Their peers come from Debian's packages; they are installed when we are root, and named when they are missing.
import { spawn, spawnSync } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { build, root } from './build.mjs';
import { tools } from './tools.mjs';

const PEERS = [
  { command: 'nginx', package: 'nginx-light', flag: '-v' },
  { command: 'pgbouncer', package: 'pgbouncer', flag: '--version' },
  { command: 'wrk', package: 'wrk', flag: '-v' },
];
/** Debian keeps servers here, which a user's PATH may lack. */
const SERVERS = '/usr/sbin';

/** RUNLEVEL=1 keeps Debian's packages from starting their services. */
function installPeers(env) {
  const missing = PEERS.filter(({ command, flag }) => spawnSync(command, [flag], { stdio: 'ignore', env }).error);
  if (missing.length === 0 || process.getuid?.() !== 0) return;
  const packages = missing.map((peer) => peer.package);
  console.error(`daypass: installing ${packages.join(', ')} for the bench …`);
  const options = { stdio: ['ignore', 2, 2], env: { ...env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' } };
  spawnSync('apt-get', ['-qq', 'update'], options);
  spawnSync('apt-get', ['-qq', '-y', 'install', '--no-install-recommends', ...packages], options);
}

function run(args, env) {
  const child = spawn(process.execPath, [join(root, 'dist/test/bench/main.js'), ...args], { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}

try {
  build();
  const path = [...tools(), process.env.PATH, SERVERS].join(delimiter);
  const env = { ...process.env, PATH: path };
  installPeers(env);
  run(process.argv.slice(2), env);
} catch (failure) {
  console.error(`daypass: ${failure.message}`);
  process.exitCode = 1;
}
