import type { Command } from 'commander';
import type { DoorOptions } from './door.js';
import { actCommand } from './engagement.js';

interface ReviewOptions extends DoorOptions {
  readonly comment: string;
}

/** `daypass review`. */
export function reviewCommand(): Command {
  const verb = {
    ...{ name: 'review', path: 'review', description: 'say afterwards what you found of break-glass access' },
    body: ({ comment }: ReviewOptions) => ({ comment }),
  };
  return actCommand(verb, (command) => command.requiredOption('--comment <text>', 'what you found, one sentence'));
}
