// `npm start`: makes a fresh clone runnable and starts the gateway with the samples.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { root } from './build.mjs';
import { prepare } from './prepare.mjs';

/** Milliseconds within which the same signal counts once: a terminal's Ctrl-C reaches npm and us, and npm passes it on. */
const SAME = 500;

/**
 * Starts the gateway in a session of its own, so that a signal comes to it once and only from here, and waits for its end.
 * SIGHUP would mean "reload" to it; to us it means that the terminal was closed.
 */
function run(args) {
  const command = join(root, 'dist/src/cli/main.js');
  const child = spawn(process.execPath, [command, 'start', ...args], { stdio: 'inherit', detached: true });
  let last = 0;
  const pass = (signal) => {
    const now = performance.now();
    if (last !== 0 && now - last < SAME) return;
    last = now;
    child.kill(signal);
  };
  process.on('SIGINT', () => pass('SIGINT'));
  process.on('SIGTERM', () => pass('SIGTERM'));
  process.on('SIGHUP', () => pass('SIGTERM'));
  whenOrphaned(() => pass('SIGTERM'));
  child.once('error', (failure) => fail(failure));
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}

/** npm starts us through a shell that dies of a signal without passing it on: the gateway must not go on alone. */
function whenOrphaned(act) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    act();
  }, 500);
  timer.unref();
}

function fail(failure) {
  console.error(`daypass: ${failure.message}`);
  process.exitCode = 1;
}

try {
  prepare();
  run(process.argv.slice(2));
} catch (failure) {
  fail(failure);
}
