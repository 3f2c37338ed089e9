import { Command, InvalidArgumentError } from 'commander';
import { tellFault } from './run.js';
import { type RemoteOptions, withRemoteOptions } from './tool-login.js';

/** Options of `daypass connect`. */
export interface ConnectOptions extends RemoteOptions {
  readonly port?: number;
  readonly grant?: string;
  readonly socket?: string;
  readonly exec?: true;
}

/** `daypass connect`. */
export function connectCommand(): Command {
  const command = new Command('connect')
    .description('a port on this machine that leads to a service, without a password, for as long as your access lasts')
    .argument('<service>', 'what you have access to: see daypass services')
    .argument('[command...]', 'with --exec: the client and its arguments; {} becomes the address of the service')
    .option('--port <port>', 'the port; the same for a service each time unless told', portArgument)
    .option(
      '--socket <folder>',
      'a Unix socket in this folder, for your account alone, in place of the port. On Linux the port is for your account too',
    )
    .option('--grant <id>', 'which of your grants; the one that ends last unless told')
    .option('--exec', 'run the client that follows --, and end with its exit code');
  return withRemoteOptions(command).action(async (service: string, words: string[], options: ConnectOptions) => {
    if ((options.exec === true) !== words.length > 0)
      command.error('error: --exec and a client belong together: daypass connect orders-db --exec -- psql {}');
    try {
      // Loaded when it is asked for: no other verb opens ports.
      const { connect } = await import('./connecting.js');
      process.exitCode = await connect(service, words, options);
    } catch (thrown) {
      tellFault(thrown, options.json === true);
    }
  });
}

function portArgument(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw new InvalidArgumentError('A port is 1 to 65535.');
  return port;
}
