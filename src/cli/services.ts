import { Command } from 'commander';
import { clockFace } from './countdown.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { roleWords } from './engagement.js';
import { grantInUse, type ToldGrant, type ToldService } from './held-access.js';
import { tell } from './run.js';
import { settingsOf, usualPort } from './settings.js';
import { facts, moment, table } from './words.js';

/** A service, and how clients reach it while `daypass connect` runs: no settings where nothing may be used now. */
interface Reachable extends ToldService {
  readonly settings: Readonly<Record<string, string>>;
}

/** `daypass services`. */
export function servicesCommand(): Command {
  const command = new Command('services').description(
    'what there is to ask for, and what you may use now: time left, and settings for your client to paste',
  );
  return withDoorOptions(command).action((options: DoorOptions) =>
    withDoor(options, async (door) => {
      const { services } = await door.ask<{ services: readonly ToldService[] }>('GET', '/v1/services');
      const reachable = services.map((service) => ({ ...service, settings: settingsFor(service, door.subject) }));
      tell(options, { services: reachable }, words);
      return 0;
    }),
  );
}

/** As `daypass connect` would print them: the port is the usual one of the service. */
function settingsFor({ name: service, protocol, grants }: ToldService, subject: string | null): Record<string, string> {
  if (subject === null || grantInUse(grants) === undefined) return {};
  const local = { service, protocol, subject, port: usualPort(service) };
  return { connect: `daypass connect ${service}`, ...Object.fromEntries(settingsOf(local)) };
}

function words({ services }: { readonly services: readonly Reachable[] }): string {
  if (services.length === 0) return 'no services';
  const rows = services.map(({ name, protocol, lane, owner, roles, limits, grants }) => [
    ...[name, protocol, lane, owner, roles.join(' '), `${limits.maxDurationSeconds} s`],
    grants.map(grantWords).join(', ') || '-',
  ]);
  const all = table(['SERVICE', 'PROTOCOL', 'LANE', 'OWNER', 'ROLES', 'AT MOST', 'MINE (UTC)'], rows);
  return [all, ...services.flatMap(howToConnect)].join('\n\n');
}

function grantWords(grant: ToldGrant): string {
  const { expiresAt, until, window, outside, secondsLeft, begun, suspended, notBefore } = grant;
  const role = roleWords(grant.role, grant.only);
  if (suspended) return `${role} suspended`;
  const hours = window === null ? '' : `, ${window}`;
  if (!begun) return `${role} from ${moment(notBefore)} until ${moment(expiresAt)}${hours}`;
  if (outside !== null) return `${role} until ${moment(expiresAt)}${hours} (closed now)`;
  return `${role} until ${moment(until)}${hours} (${clockFace(secondsLeft)} left)`;
}

function howToConnect({ name, settings }: Reachable): string[] {
  const lines = Object.entries(settings);
  return lines.length === 0 ? [] : [`${name}\n${facts(lines)}`];
}
