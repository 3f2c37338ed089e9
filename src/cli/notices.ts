import { Command } from 'commander';
import type { NoticeJson } from '../api/notices.js';
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

/** `daypass notices list|test`; `list` when neither is said. */
export function noticesCommand(): Command {
  const notices = new Command('notices').description('what people are told, and whether it arrived');
  return notices.addCommand(list(), { isDefault: true }).addCommand(test());
}

function list(): Command {
  const command = new Command('list')
    .description('deliveries, the newest first')
    .option('--state <state>', 'only these: waiting, sent, failed')
    .option('--cursor <id>', 'read on after this one');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { state, cursor } = options;
      tell(options, await door.ask<Listed>('GET', `/v1/notices${query({ state, cursor })}`), listWords);
      return 0;
    }),
  );
}

function listWords({ notices, next }: Listed): string {
  if (notices.length === 0) return 'no notices';
  const rows = notices.map(({ at, kind, channel, recipient, state, attempts, next: again, unsure, error }) => [
    ...[moment(at), kind, channel, recipient === '' ? '-' : recipient, unsure ? `${state}, may have arrived` : state],
    ...[String(attempts), again === null ? '-' : moment(again), error ?? '-'],
  ]);
  const heading = ['AT (UTC)', 'KIND', 'CHANNEL', 'TO', 'STATE', 'TRIED', 'NEXT (UTC)', 'LAST ERROR'];
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
