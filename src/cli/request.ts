import { Command } from 'commander';
import type { RequestJson } from '../api/request-views.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { requestWords } from './engagement.js';
import { durationArgument, momentArgument, tell } from './run.js';

interface RequestOptions extends DoorOptions {
  readonly service: string;
  readonly role?: string;
  readonly task: string;
  readonly for: number;
  readonly from?: string;
  readonly to?: string;
  readonly hours?: string;
  readonly sponsor?: string;
  readonly nda?: string;
  readonly breakGlass?: true;
}

/** `daypass request`: ask for access, for yourself. */
export function requestCommand(): Command {
  const command = new Command('request')
    .description('ask for access to a service, for yourself')
    .requiredOption('--service <name>', 'to which service')
    .option('--role <name>', "in which role; the service's default role when not given")
    .requiredOption('--task <text>', 'what exactly is to be done, one sentence')
    .requiredOption('--for <duration>', 'for how long: 10m, 4h', durationArgument)
    .option('--from <time>', 'when it is to begin, 2026-11-27T09:00:00Z; now when not given', momentArgument)
    .option('--to <time>', 'the last moment to begin, where the clock starts at first use', momentArgument)
    .option('--hours <text>', 'weekly hours: "Mon-Fri 09:00-18:00 Europe/Berlin"')
    .option('--sponsor <name>', 'another employee than the one your account names')
    .option('--nda <id>', 'under which NDA; the one that is valid longest when not given')
    .option('--break-glass', 'an emergency: at once and short, reviewed afterwards');
  return withDoorOptions(command).action((options: RequestOptions) =>
    withDoor(options, async (door) => {
      const { service, role, task, for: seconds, from, to, hours, sponsor, nda, breakGlass } = options;
      const asked = { service, role, task, seconds, from, to, hours, sponsor, nda, breakGlass };
      const made = await door.ask<RequestJson>('POST', '/v1/requests', asked);
      tell(options, made, (request) => `${requestWords(request)}\n${nextStep(request)}`);
      return 0;
    }),
  );
}

/** What whoever asked does next, and when. */
function nextStep({ id, state }: RequestJson): string {
  const step = `begin      daypass activate ${id}`;
  return state === 'pending' ? `${step}\n           once it is approved` : step;
}
