import { Command } from 'commander';
import type { GrantJson } from '../api/views.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { roleWords } from './engagement.js';
import { durationArgument, query, tell } from './run.js';
import { facts, moment, table } from './words.js';

interface Issued {
  readonly id: string;
  readonly handle: string;
  readonly expiresAt: string;
  readonly service: string;
  readonly principal: string;
  readonly role: string;
  readonly connect: readonly string[];
}

interface IssueOptions extends DoorOptions {
  readonly principal: string;
  readonly service: string;
  readonly role?: string;
  readonly for: number;
  readonly sponsor: string;
  readonly reason: string;
}

type Shown = GrantJson & { readonly acts: readonly { act: string; at: string; by: string; reason: string }[] };

/** `daypass grant issue|list|show|renew|revoke`: as oneself over the network, for operators, or as the operator by the socket. */
export function grantCommand(): Command {
  const grant = new Command('grant').description('give, show, extend and take back access');
  for (const command of [issue(), list(), show(), renew(), revoke()]) grant.addCommand(command);
  return grant;
}

function issue(): Command {
  const command = new Command('issue')
    .description('give one person access to one service for a while; prints the handle, once')
    .requiredOption('--principal <name>', 'who gets access')
    .requiredOption('--service <name>', 'to which service')
    .option('--role <name>', "in which role; the service's default role when not given")
    .requiredOption('--for <duration>', 'for how long: 10m, 4h', durationArgument)
    .requiredOption(
      '--sponsor <name>',
      'the employee who answers for them; one without an account may be named on this machine',
    )
    .requiredOption('--reason <text>', 'what it is for, one sentence');
  return withDoorOptions(command).action((options: IssueOptions) =>
    withDoor(options, async (door) => {
      const { principal, service, role, sponsor, reason } = options;
      const asked = { principal, service, role, sponsor, reason, durationSeconds: options.for };
      tell(options, await door.ask<Issued>('POST', '/v1/grants', asked), issuedWords);
      return 0;
    }),
  );
}

function issuedWords(grant: Issued): string {
  const { id, handle, principal, service, role, expiresAt, connect } = grant;
  return facts([
    ['grant', id],
    ['access', `${principal} to ${service} as ${role}, until ${expiresAt}`],
    ['handle', `${handle}   (shown only this once)`],
    ...connect.map((line) => ['connect', line] as const),
  ]);
}

interface ListOptions extends DoorOptions {
  readonly principal?: string;
  readonly service?: string;
  readonly active?: true;
}

function list(): Command {
  const command = new Command('list')
    .description('grants, the newest first')
    .option('--principal <name>', 'only of this person')
    .option('--service <name>', 'only for this service')
    .option('--active', 'only those that are not over; suspended ones, and those still to begin, are among them');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { principal, service, active } = options;
      const path = `/v1/grants${query({ principal, service, active, limit: 1_000 })}`;
      const body = await door.ask<{ grants: readonly GrantJson[] }>('GET', path);
      tell(options, body, ({ grants }) =>
        grants.length === 0
          ? 'no grants'
          : table(
              ['GRANT', 'STATE', 'PERSON', 'SERVICE', 'ROLE', 'UNTIL (UTC)', 'SPONSOR', 'REASON'],
              grants.map((one) => [
                one.id,
                one.state,
                one.principal,
                one.service,
                roleWords(one.role, one.only),
                moment(one.expiresAt),
                one.sponsor,
                one.reason,
              ]),
            ),
      );
      return 0;
    }),
  );
}

function show(): Command {
  const command = new Command('show').description('one grant with everything that was done to it').argument('<id>');
  return withDoorOptions(command).action((id: string, options: DoorOptions) =>
    withDoor(options, async (door) => {
      tell(options, await door.ask<Shown>('GET', `/v1/grants/${encodeURIComponent(id)}`), shownWords);
      return 0;
    }),
  );
}

function shownWords(grant: Shown): string {
  return facts([
    ['grant', grant.id],
    ['state', grant.state],
    ['access', `${grant.principal} to ${grant.service} as ${grant.role}`],
    ...(grant.only ?? []).map((rule) => ['only', rule] as const),
    ['hours', grant.window],
    ['sponsor', grant.sponsor],
    ['reason', grant.reason],
    ['from', grant.notBefore],
    ['until', grant.expiresAt],
    ['renewals', grant.renewals],
    ['revoked', grant.revokedAt],
    ...grant.acts.map(({ act, at, by, reason }) => [act, `${at} by ${by}: ${reason}`] as const),
  ]);
}

interface RenewOptions extends DoorOptions {
  readonly for: number;
  readonly reason: string;
}

function renew(): Command {
  const command = new Command('renew')
    .description('move the end of a grant; open connections stay')
    .argument('<id>')
    .requiredOption('--for <duration>', 'by how much: 10m, 4h', durationArgument)
    .requiredOption('--reason <text>', 'why, one sentence');
  return withDoorOptions(command).action((id: string, options: RenewOptions) =>
    withDoor(options, async (door) => {
      const asked = { durationSeconds: options.for, reason: options.reason };
      const path = `/v1/grants/${encodeURIComponent(id)}/renew`;
      const body = await door.ask<{ id: string; expiresAt: string }>('POST', path, asked);
      tell(options, body, ({ expiresAt }) => `grant ${id} now ends at ${expiresAt}`);
      return 0;
    }),
  );
}

interface RevokeOptions extends DoorOptions {
  readonly reason: string;
}

function revoke(): Command {
  const command = new Command('revoke')
    .description('end a grant now; its live connections are cut')
    .argument('<id>')
    .requiredOption('--reason <text>', 'why, one sentence');
  return withDoorOptions(command).action((id: string, options: RevokeOptions) =>
    withDoor(options, async (door) => {
      const path = `/v1/grants/${encodeURIComponent(id)}/revoke`;
      const body = await door.ask<{ ledger: 'written' | 'queued' }>('POST', path, { reason: options.reason });
      tell(options, body, ({ ledger }) =>
        ledger === 'written'
          ? `grant ${id} is revoked`
          : `grant ${id} is revoked; the ledger does not answer, and is told as soon as it does`,
      );
      return body.ledger === 'queued' ? 4 : 0;
    }),
  );
}
