import { Command, Option } from 'commander';
import { DaypassError } from '../errors.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { exitOf } from './engagement.js';
import { tell } from './run.js';

interface RevokeOptions extends DoorOptions {
  readonly person?: string;
  readonly service?: string;
  readonly request?: string;
  readonly grant?: string;
  readonly reason: string;
}

interface Revoked {
  readonly requests: readonly string[];
  readonly grants: readonly string[];
  readonly ledger: string;
  readonly failed: readonly { readonly id: string; readonly code: string }[];
}

/** `daypass revoke`. */
export function revokeCommand(): Command {
  const whose = ['person', 'service', 'request', 'grant'] as const;
  const command = new Command('revoke').description(
    'end access now: by a request or a grant, of a person, to a service',
  );
  for (const one of whose)
    command.addOption(new Option(`--${one} <id>`).conflicts(whose.filter((other) => other !== one)));
  command.requiredOption('--reason <text>', 'why, one sentence');
  return withDoorOptions(command).action((options: RevokeOptions) =>
    withDoor(options, async (door) => {
      const { person, service, request, grant, reason } = options;
      if ([person, service, request, grant].every((one) => one === undefined))
        throw new DaypassError('usage', 'Whose access? Say --person, --service, --request or --grant.');
      const revoked = await door.ask<Revoked>('POST', '/v1/revocations', { person, service, request, grant, reason });
      tell(options, revoked, revokedWords);
      return revoked.failed.length > 0 ? 1 : exitOf(revoked);
    }),
  );
}

function revokedWords({ requests, grants, ledger, failed }: Revoked): string {
  const told = [...requests.map((id) => `request ${id} is over`), ...grants.map((id) => `grant ${id} is over`)];
  const not = failed.map(({ id, code }) => `${id} could not be ended: ${code}`);
  const queued = ledger === 'queued' ? ['the ledger does not answer: it is told as soon as it does'] : [];
  return [...told, ...not, ...queued].join('\n') || 'nothing was open';
}
