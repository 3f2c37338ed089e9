import type { Command } from 'commander';
import type { DoorOptions } from './door.js';
import { actCommand } from './engagement.js';
import { durationArgument } from './run.js';

interface ApproveOptions extends DoorOptions {
  readonly comment: string;
  readonly role?: string;
  readonly for?: number;
  readonly only?: readonly string[];
}

/** `daypass approve`. */
export function approveCommand(): Command {
  const verb = {
    ...{ name: 'approve', path: 'approve', description: 'agree to a request, as a whole or to less' },
    body: ({ comment, role, for: seconds, only }: ApproveOptions) => ({ comment, role, seconds, only }),
  };
  return actCommand(verb, (command) =>
    command
      .requiredOption('--comment <text>', 'what you agree to, one sentence')
      .option('--role <name>', 'a narrower role')
      .option('--for <duration>', 'a shorter time: 10m, 4h', durationArgument)
      .option('--only <rules...>', 'the rules that remain, by their texts'),
  );
}
