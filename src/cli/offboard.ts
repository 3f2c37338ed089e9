import { Command } from 'commander';
import type { Offboarded } from '../access/offboard.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { tell } from './run.js';
import { facts } from './words.js';

interface OffboardOptions extends DoorOptions {
  readonly reason: string;
}

/** `daypass offboard <person>`: exit code 1 when a step failed, 4 when the ledger is told later. */
export function offboardCommand(): Command {
  const command = new Command('offboard')
    .description('end everything somebody has, on all gateways, now; prints what ended and what needs a hand')
    .argument('<person>', 'who leaves')
    .requiredOption('--reason <text>', 'why, one sentence');
  return withDoorOptions(command).action((subject: string, options: OffboardOptions) =>
    withDoor(options, async (door) => {
      const asked = { subject, reason: options.reason };
      const body = await door.ask<Offboarded>('POST', '/v1/offboardings', asked);
      tell(options, body, offboardedWords);
      if (!body.complete) return 1;
      return body.ledger === 'queued' ? 4 : 0;
    }),
  );
}

type Line = readonly [string, string];

function offboardedWords(offboarded: Offboarded): string {
  const { subject, steps, ended, ledger, complete } = offboarded;
  return facts([
    ['offboarded', subject],
    ...steps.flatMap(({ step, ok, message }): Line[] => (ok ? [] : [['FAILED', `${step}: ${message}`]])),
    ...endedWords(ended),
    ...handWords(offboarded),
    ...(ledger === 'queued' ? [['ledger', 'it does not answer, and is told as soon as it does'] as const] : []),
    ['complete', complete ? 'yes' : 'no: do it again'],
  ]);
}

function endedWords({ grants, requests, sessions, suspended, counts }: Offboarded['ended']): Line[] {
  const named = { grants, requests, sessions, 'suspended grants of those they sponsored': suspended };
  return [
    ...Object.entries(counts).map(([what, count]): Line => ['ended', `${count} ${what}`]),
    ...Object.entries(named).map(
      ([what, ids]): Line => ['ended', `${ids.length} ${what}${ids.length === 0 ? '' : `: ${ids.join(' ')}`}`],
    ),
  ];
}

function handWords({ hand }: Offboarded): Line[] {
  if (hand === null) return [['by hand', 'not known: the ledger did not say']];
  const { reassign, rotate, review, approved, ownerless, unconfirmed } = hand;
  return [
    ...reassign.map(
      ({ subject, suspended, account }): Line =>
        account
          ? ['reassign', `contractor ${subject} needs another sponsor (${suspended} grants wait)`]
          : ['invite', `${subject}, who has no account, as a contractor of another sponsor (${suspended} grants wait)`],
    ),
    ...rotate.map(
      ({ secret, service, count, sessions, first, last }): Line => [
        'rotate',
        `${secret} of ${service}: seen in ${count} sessions (${sessions.join(' ')}), ${first} to ${last}`,
      ],
    ),
    ...review.map(({ request, service }): Line => ['review', `emergency access ${request} at ${service}`]),
    ...approved.map(
      ({ request, principal, service }): Line => [
        'look at',
        `request ${request} of ${principal} at ${service} waits with their approval`,
      ],
    ),
    ...ownerless.map(({ name, owner }): Line => ['owner', `nobody is left in ${owner}, which owns ${name}`]),
    ...unconfirmed.map(
      ({ session, service, gateway, unseen }): Line => [
        'not sure',
        `session ${session} at ${service}: gateway ${gateway} ${unseen ? 'was not seen lately' : 'has not said that it ended'}`,
      ],
    ),
  ];
}
