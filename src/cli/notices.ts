import { Command } from 'commander';
import type { NoticeJson, RetriedJson } from '../api/notices.js';
import { DaypassError } from '../errors.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { query, tell } from './run.js';
import { moment, table } from './words.js';

interface ListOptions extends DoorOptions {
  readonly state?: string;
  readonly cursor?: string;
}

interface TestOptions extends DoorOptions {
  readonly to?: string;
}

interface Listed {
  readonly notices: readonly NoticeJson[];
  readonly next: string | null;
}

interface RetryOptions extends DoorOptions {
  readonly all?: true;
  readonly channel?: string;
}

/** `daypass notices list|failed|test|retry`; `list` when none is said. */
export function noticesCommand(): Command {
  const notices = new Command('notices').description('what people are told, and whether it arrived');
  const listing = notices.addCommand(list(), { isDefault: true }).addCommand(failed());
  return listing.addCommand(test()).addCommand(retry());
}

function list(): Command {
  const command = new Command('list')
    .description('deliveries, the newest first')
    .option('--state <state>', 'only these: waiting, sent, failed')
    .option('--cursor <id>', 'read on after this one');
  return withDoorOptions(command).action((options: ListOptions) => told(options, options.state));
}

function failed(): Command {
  const command = new Command('failed')
    .description('deliveries that were given up, the newest first')
    .option('--cursor <id>', 'read on after this one');
  return withDoorOptions(command).action((options: ListOptions) => told(options, 'failed'));
}

function told(options: ListOptions, state: string | undefined): Promise<void> {
  return withDoor(options, async (door) => {
    const { cursor } = options;
    tell(options, await door.ask<Listed>('GET', `/v1/notices${query({ state, cursor })}`), listWords);
    return 0;
  });
}

function listWords({ notices, next }: Listed): string {
  if (notices.length === 0) return 'no notices';
  const rows = notices.map(({ id, at, kind, channel, recipient, state, attempts, next: again, unsure, error }) => [
    ...[
      id,
      moment(at),
      kind,
      channel,
      recipient === '' ? '-' : recipient,
      unsure ? `${state}, may have arrived` : state,
    ],
    ...[String(attempts), again === null ? '-' : moment(again), error ?? '-'],
  ]);
  const heading = ['DELIVERY', 'AT (UTC)', 'KIND', 'CHANNEL', 'TO', 'STATE', 'TRIED', 'NEXT (UTC)', 'LAST ERROR'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

function test(): Command {
  const command = new Command('test')
    .description('send a test by one channel now')
    .argument('<channel>', 'slack, webhook or smtp')
    .option('--to <address>', 'whom to write to, by smtp');
  return withDoorOptions(command).action((channel: string, options: TestOptions) =>
    withDoor(options, async (door) => {
      const { to } = options;
      const sent = await door.ask<object>('POST', `/v1/notices/test/${encodeURIComponent(channel)}`, { to });
      tell(options, sent, () => `${channel} took the test`);
      return 0;
    }),
  );
}

function retry(): Command {
  const command = new Command('retry')
    .description('send again what was given up: it may arrive twice, if the receiver had taken it after all')
    .argument('[delivery]', 'one of daypass notices failed')
    .option('--all', 'all that were given up of a channel')
    .option('--channel <channel>', 'with --all: slack, webhook or smtp');
  return withDoorOptions(command).action((delivery: string | undefined, options: RetryOptions) =>
    withDoor(options, async (door) => {
      const which = whichOf(delivery, options);
      tell(options, await door.ask<RetriedJson>('POST', '/v1/notices/retry', which), retriedWords);
      return 0;
    }),
  );
}

/** @throws DaypassError `usage` */
function whichOf(delivery: string | undefined, { all, channel }: RetryOptions): object {
  if (delivery !== undefined && all === undefined && channel === undefined) return { delivery };
  if (delivery === undefined && all === true && channel !== undefined) return { channel };
  throw new DaypassError('usage', 'Name one delivery, or --all --channel <channel>.');
}

function retriedWords({ retried, unsure, skipped, more }: RetriedJson): string {
  return [
    `${retried} in the outbox again`,
    ...(unsure === 0
      ? []
      : [`of ${unsure} nobody knows whether the receiver took it: it may arrive twice, with the same id`]),
    ...(skipped === 0 ? [] : [`${skipped} left as they are: there is nobody to write to (daypass notices failed)`]),
    ...(more ? ['there are more: run it again'] : []),
  ].join('\n');
}
