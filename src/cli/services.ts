import { Command } from 'commander';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { tell } from './run.js';
import { moment, table } from './words.js';

interface Services {
  readonly services: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly lane: string;
    readonly owner: string;
    readonly roles: readonly string[];
    readonly limits: { readonly maxDurationSeconds: number; readonly maxRenewals: number };
    readonly grants: readonly { readonly role: string; readonly expiresAt: string }[];
  }[];
}

/** `daypass services`. */
export function servicesCommand(): Command {
  const command = new Command('services').description('what there is to ask for, and what you may use now');
  return withDoorOptions(command).action((options: DoorOptions) =>
    withDoor(options, async (door) => {
      tell(options, await door.ask<Services>('GET', '/v1/services'), words);
      return 0;
    }),
  );
}

function words({ services }: Services): string {
  if (services.length === 0) return 'no services';
  const rows = services.map(({ name, protocol, lane, owner, roles, limits, grants }) => [
    ...[name, protocol, lane, owner, roles.join(' '), `${limits.maxDurationSeconds} s`],
    grants.map(({ role, expiresAt }) => `${role} until ${moment(expiresAt)}`).join(', ') || '-',
  ]);
  return table(['SERVICE', 'PROTOCOL', 'LANE', 'OWNER', 'ROLES', 'AT MOST', 'MINE (UTC)'], rows);
}
