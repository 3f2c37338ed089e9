import type { Command } from 'commander';
import type { DoorOptions } from './door.js';
import { actCommand } from './engagement.js';

interface WithdrawOptions extends DoorOptions {
  readonly reason: string;
}

/** `daypass withdraw`. */
export function withdrawCommand(): Command {
  const verb = {
    ...{ name: 'withdraw', path: 'withdraw', description: 'take your request back before it has begun' },
    body: ({ reason }: WithdrawOptions) => ({ reason }),
  };
  return actCommand(verb, (command) => command.requiredOption('--reason <text>', 'why, one sentence'));
}
