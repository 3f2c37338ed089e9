import { Command } from 'commander';
import type { personJson } from '../api/people.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { momentArgument, query, tell } from './run.js';
import { facts, moment, table } from './words.js';

type PersonJson = ReturnType<typeof personJson>;

interface Shown extends PersonJson {
  readonly passkeys: readonly { readonly createdAt: string; readonly usedAt: string | null }[];
}

interface InviteOptions extends DoorOptions {
  readonly name?: string;
  readonly contractor?: true;
  readonly employee?: true;
  readonly sponsor?: string;
  readonly until?: string;
  readonly email?: string;
  readonly groups?: readonly string[];
  readonly reason?: string;
}

interface Invited {
  readonly subject: string;
  readonly url: string;
  readonly expiresAt: string;
  readonly recovery: boolean;
}

/** `daypass invite`. */
export function inviteCommand(): Command {
  const command = new Command('invite')
    .description('an account for somebody outside the directory, or a new way in for one who lost theirs')
    .argument('<subject>', 'the name they act under, for good')
    .option('--name <text>', 'how they are called')
    .option('--contractor', 'they need --sponsor and --until')
    .option('--employee', 'they may be a sponsor themselves')
    .option('--sponsor <subject>', 'the employee who answers for them')
    .option('--until <date>', 'when the account ends: 2027-03-01 (0:00 UTC), or a whole time', momentArgument)
    .option('--email <address>', 'where to write to them')
    .option('--groups <a,b>', 'the groups they are in', groupsArgument)
    .option('--reason <text>', 'why; needed for somebody who has an account: what they log in with ends');
  return withDoorOptions(command).action((subject: string, options: InviteOptions) =>
    withDoor(options, async (door) => {
      const { name, sponsor, until: endsAt, email, groups, reason } = options;
      const kind = options.contractor ? 'contractor' : options.employee ? 'employee' : undefined;
      const asked = { subject, name, kind, sponsor, endsAt, email, groups, reason };
      const body = await door.ask<Invited>('POST', '/v1/invitations', asked);
      tell(options, body, ({ url, expiresAt, recovery }) =>
        facts([
          ['invited', recovery ? `${subject}; their passkeys and logins have ended` : subject],
          ['link', `${url}   (works once; give it to them alone)`],
          ['until', expiresAt],
        ]),
      );
      return 0;
    }),
  );
}

/** `daypass people list|show|reassign|extend|groups|close`. */
export function peopleCommand(): Command {
  const people = new Command('people').description('accounts of people: look, change, close');
  for (const command of [list(), show(), reassign(), extend(), groups(), close()]) people.addCommand(command);
  return people;
}

interface ListOptions extends DoorOptions {
  readonly sponsor?: string;
  readonly open?: true;
  readonly cursor?: string;
}

function list(): Command {
  const command = new Command('list')
    .description('people by name')
    .option('--sponsor <subject>', 'only those this employee answers for')
    .option('--open', 'only accounts that are not closed')
    .option('--cursor <subject>', 'go on after this one');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { sponsor, open, cursor } = options;
      const path = `/v1/people${query({ sponsor, open, cursor })}`;
      const body = await door.ask<{ people: readonly PersonJson[]; next: string | null }>('GET', path);
      tell(options, body, ({ people, next }) =>
        people.length === 0 ? 'no people' : `${tableOf(people)}${next === null ? '' : `\nmore: --cursor ${next}`}`,
      );
      return 0;
    }),
  );
}

function tableOf(people: readonly PersonJson[]): string {
  return table(
    ['PERSON', 'STATE', 'KIND', 'FROM', 'NAME', 'SPONSOR', 'ENDS (UTC)', 'GROUPS'],
    people.map(({ subject, state, kind, source, name, sponsor, endsAt, groups }) => [
      ...[subject, state, kind, source, name, sponsor ?? ''],
      ...[endsAt === null ? '' : moment(endsAt), groups.join(', ')],
    ]),
  );
}

function show(): Command {
  const command = new Command('show').description('one person').argument('<subject>');
  return withDoorOptions(command).action((subject: string, options: DoorOptions) =>
    withDoor(options, async (door) => {
      const body = await door.ask<Shown>('GET', pathOf(subject));
      tell(options, body, (person) =>
        facts([
          ...factsOf(person),
          ...person.passkeys.map(({ createdAt, usedAt }) => ['passkey', wordsOf(createdAt, usedAt)] as const),
        ]),
      );
      return 0;
    }),
  );
}

function factsOf(person: PersonJson): (readonly [string, string | null])[] {
  return [
    ['person', `${person.subject} (${person.name})`],
    ['state', person.state],
    ['kind', `${person.kind}, ${person.source}`],
    ['e-mail', person.email],
    ['sponsor', person.sponsor],
    ['groups', person.groups.length === 0 ? null : person.groups.join(', ')],
    ['ends', person.endsAt],
    ['created', `${person.createdAt} by ${person.createdBy}`],
    ['closed', person.closedAt],
  ];
}

function wordsOf(createdAt: string, usedAt: string | null): string {
  return `made ${createdAt}, ${usedAt === null ? 'not used yet' : `last used ${usedAt}`}`;
}

interface ActOptions extends DoorOptions {
  readonly reason: string;
}

function reassign(): Command {
  const command = new Command('reassign')
    .description('give a contractor another sponsor')
    .argument('<subject>')
    .requiredOption('--sponsor <subject>', 'the employee who answers for them from now on');
  return act<ActOptions & { sponsor: string }>(
    command,
    'reassign',
    ({ sponsor }) => ({ sponsor }),
    ({ subject, sponsor }) => `${sponsor} is the sponsor of ${subject} now`,
  );
}

function extend(): Command {
  const command = new Command('extend')
    .description("move an account's end further away")
    .argument('<subject>')
    .requiredOption('--until <date>', '2027-03-01 (0:00 UTC), or a whole time', momentArgument);
  return act<ActOptions & { until: string }>(
    command,
    'extend',
    ({ until }) => ({ endsAt: until }),
    ({ subject, endsAt }) => `the account of ${subject} ends at ${endsAt}`,
  );
}

function groups(): Command {
  const command = new Command('groups')
    .description('say which groups somebody is in; no others stay')
    .argument('<subject>')
    .requiredOption('--groups <a,b>', 'their names; "" for none', groupsArgument);
  return act<ActOptions & { groups: readonly string[] }>(
    command,
    'groups',
    ({ groups }) => ({ groups }),
    ({ subject, groups }) => `${subject} is in ${groups.length === 0 ? 'no group' : groups.join(', ')}`,
  );
}

/** An act that changes an account, and is told the person it is then. */
function act<Options extends ActOptions>(
  command: Command,
  verb: string,
  body: (options: Options) => object,
  words: (person: PersonJson) => string,
): Command {
  return withDoorOptions(withReason(command)).action((subject: string, options: Options) =>
    withDoor(options, async (door) => {
      const asked = { ...body(options), reason: options.reason };
      const answered = await door.ask<PersonJson>('POST', `${pathOf(subject)}/${verb}`, asked);
      tell(options, answered, words);
      return 0;
    }),
  );
}

interface Closed {
  readonly subject: string;
  readonly ended: Readonly<Record<'invitations' | 'passkeys' | 'logins' | 'tokens' | 'grants', number>>;
}

function close(): Command {
  const command = new Command('close')
    .description('close an account for good; grants stay, revoke them')
    .argument('<subject>');
  return withDoorOptions(withReason(command)).action((subject: string, options: ActOptions) =>
    withDoor(options, async (door) => {
      const { reason } = options;
      const body = await door.ask<Closed>('POST', `${pathOf(subject)}/close`, { reason });
      tell(options, body, ({ ended }) => {
        const { invitations, passkeys, logins, tokens, grants } = ended;
        const counts = `${grants} grants, ${passkeys} passkeys, ${logins} logins, ${tokens} tokens, ${invitations} invitations`;
        return `the account of ${subject} is closed; ended: ${counts}`;
      });
      return 0;
    }),
  );
}

function withReason(command: Command): Command {
  return command.requiredOption('--reason <text>', 'why, one sentence');
}

function pathOf(subject: string): string {
  return `/v1/people/${encodeURIComponent(subject)}`;
}

function groupsArgument(text: string): readonly string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
