import type { Command } from 'commander';
import type { DoorOptions } from './door.js';
import { actCommand } from './engagement.js';
import { durationArgument } from './run.js';

interface RenewOptions extends DoorOptions {
  readonly for: number;
  readonly reason: string;
}

/** `daypass renew`. */
export function renewCommand(): Command {
  const verb = {
    ...{ name: 'renew', path: 'renew', description: 'move the end of your access; open connections stay' },
    body: ({ for: seconds, reason }: RenewOptions) => ({ seconds, reason }),
  };
  return actCommand(verb, (command) =>
    command
      .requiredOption('--for <duration>', 'by how long: 10m, 4h', durationArgument)
      .requiredOption('--reason <text>', 'why, one sentence'),
  );
}
