import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { DaypassError, messageOf } from '../errors.js';
import { addressOf, environmentOf, type LocalService } from './settings.js';

/** What a shell answers for a command that a signal ended. */
const SIGNALLED = 128;

/**
 * Runs a client with a service's settings: `{}` becomes its address; without one they are in the environment.
 * @returns its exit code
 * @throws DaypassError `not_started`
 */
export function runClient([program = '', ...words]: readonly string[], local: LocalService): Promise<number> {
  const args = words.map((word) => word.replaceAll('{}', addressOf(local)));
  const child = spawn(program, args, { stdio: 'inherit', env: { ...process.env, ...environmentOf(local) } });
  // A terminal sends Ctrl-C to both: it is the client's to understand, psql cancels a statement by it.
  const ignore = () => {};
  const pass = (signal: NodeJS.Signals) => void child.kill(signal);
  process.on('SIGINT', ignore).on('SIGTERM', pass).on('SIGHUP', pass);
  return new Promise<number>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new DaypassError('not_started', `${program} cannot be run: ${messageOf(cause)}`, { cause })),
    );
    child.once('close', (code, signal) =>
      resolve(code ?? SIGNALLED + (signal === null ? 0 : constants.signals[signal])),
    );
  }).finally(() => process.off('SIGINT', ignore).off('SIGTERM', pass).off('SIGHUP', pass));
}
