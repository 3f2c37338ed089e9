import { join } from 'node:path';
import { Command } from 'commander';
import { dataDirectoryOf, packageRoot } from './place.js';
import { tellFault } from './run.js';

interface RunOptions {
  readonly config: string;
  readonly data?: string;
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
    .action((options: RunOptions) => run(options, async (where) => (await import('../main.js')).serve(where)));
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
    const dataDirectory = dataDirectoryOf(options.data);
    const asked = stopAsked();
    const gateway = await start({ configDirectory: options.config, dataDirectory, env: process.env });
    await asked;
    await gateway.stop();
  } catch (thrown) {
    tellFault(thrown, false);
  }
  // Nothing that was forgotten may keep an ended gateway alive.
  process.exit();
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
