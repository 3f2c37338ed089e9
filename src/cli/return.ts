import type { Command } from 'commander';
import type { DoorOptions } from './door.js';
import { actCommand } from './engagement.js';

interface ReturnOptions extends DoorOptions {
  readonly reason: string;
}

/** `daypass return`. */
export function returnCommand(): Command {
  const verb = {
    ...{ name: 'return', path: 'return', description: 'give your access back early' },
    body: ({ reason }: ReturnOptions) => ({ reason }),
  };
  return actCommand(verb, (command) => command.requiredOption('--reason <text>', 'why, one sentence'));
}
