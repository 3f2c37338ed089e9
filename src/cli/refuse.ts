import type { Command } from 'commander';
import type { DoorOptions } from './door.js';
import { actCommand } from './engagement.js';

interface RefuseOptions extends DoorOptions {
  readonly comment: string;
}

/** `daypass refuse`. */
export function refuseCommand(): Command {
  const verb = {
    ...{ name: 'refuse', path: 'refuse', description: 'refuse a request' },
    body: ({ comment }: RefuseOptions) => ({ comment }),
  };
  return actCommand(verb, (command) => command.requiredOption('--comment <text>', 'why, one sentence'));
}
