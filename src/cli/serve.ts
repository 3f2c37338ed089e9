import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { MOST_WORKERS } from '../workers/messages.js';
import { dataDirectoryOf, packageRoot } from './place.js';
import { tellFault } from './run.js';

interface RunOptions {
  readonly config: string;
  readonly data?: string;
}

interface ServeOptions extends RunOptions {
  readonly workers: number;
}

/** What a gateway that runs offers its command. */
interface Stoppable {
  stop(): Promise<void>;
}

interface Where {
  readonly configDirectory: string;
  readonly dataDirectory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** `daypass serve --config dir`: the gateway itself, in the foreground; no samples. */
export function serveCommand(): Command {
  return withData(new Command('serve').description('run the gateway with a configuration directory'))
    .requiredOption('--config <dir>', 'the configuration directory')
    .option(
      '--workers <count>',
      'processes that serve the same addresses; more than one need Redis',
      workersArgument,
      1,
    )
    .action((options: ServeOptions) => (options.workers === 1 ? run(options, serveAlone) : serveAsOne(options)));
}

async function serveAlone(where: Where): Promise<Stoppable> {
  return (await import('../main.js')).serve(where);
}

/** The primary, or the worker that it started by this same command line. */
async function serveAsOne(options: ServeOptions): Promise<void> {
  const { runWorker, workerIndex } = await import('../workers/worker.js');
  const index = workerIndex();
  if (index === null) {
    return run(options, async (where) => (await import('../primary.js')).serveWithWorkers(where, options.workers));
  }
  const where = whereOf(options);
  return runWorker(index, where.dataDirectory, async (worker, log) =>
    (await import('../main.js')).serve({ ...where, worker }, log),
  );
}

function workersArgument(text: string): number {
  const count = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MOST_WORKERS) throw new InvalidArgumentError(`A whole number from 1 to ${MOST_WORKERS}.`);
  return count;
}

/** `daypass start`: what `npm start` runs: the shipped configuration, with the sample services beside it. */
export function startCommand(): Command {
  return withData(new Command('start').description('run the gateway with the sample services beside it'))
    .option('--config <dir>', 'the configuration directory', join(packageRoot(), 'config'))
    .action((options: RunOptions) =>
      run(options, async (where) => {
        const gateway = await (await import('../main.js')).start(where);
        const { welcome } = await import('./welcome.js');
        await welcome(where.dataDirectory).catch((thrown) => tellFault(thrown, false));
        process.exitCode = 0;
        return gateway;
      }),
    );
}

function withData(command: Command): Command {
  return command.option('--data <dir>', 'the data directory (DAYPASS_DATA, or the one of this installation)');
}

async function run(options: RunOptions, start: (where: Where) => Promise<Stoppable>): Promise<void> {
  try {
    const where = whereOf(options);
    const asked = stopAsked();
    const gateway = await start(where);
    await asked;
    await gateway.stop();
  } catch (thrown) {
    tellFault(thrown, false);
  }
  // Nothing that was forgotten may keep an ended gateway alive.
  process.exit();
}

function whereOf({ config, data }: RunOptions): Where {
  return { configDirectory: config, dataDirectory: dataDirectoryOf(data), env: process.env };
}

/** Resolves at the first SIGINT or SIGTERM; the second ends the process at once, for whoever does not want to wait. */
function stopAsked(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const ask = () => {
      if (asked) process.exit(1);
      asked = true;
      resolve();
    };
    process.on('SIGINT', ask);
    process.on('SIGTERM', ask);
    // A reload while it serves (reload.ts); before and after that it must not end the process.
    process.on('SIGHUP', () => {});
  });
}
