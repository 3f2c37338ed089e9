import { Command } from 'commander';
import type { AlertJson } from '../api/alerts.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { query, tell } from './run.js';
import { moment, table } from './words.js';

interface ListOptions extends DoorOptions {
  readonly all?: true;
  readonly kind?: string;
  readonly person?: string;
  readonly service?: string;
  readonly limit: string;
  readonly cursor?: string;
}

interface AcknowledgeOptions extends DoorOptions {
  readonly comment: string;
}

interface Listed {
  readonly alerts: readonly AlertJson[];
  readonly next: string | null;
}

/** `daypass alerts [list|acknowledge]`. */
export function alertsCommand(): Command {
  const alerts = new Command('alerts').description('what somebody should look at');
  return alerts.addCommand(list(), { isDefault: true }).addCommand(acknowledge());
}

function list(): Command {
  const command = new Command('list')
    .description('alerts that nobody acknowledged, the newest first')
    .option('--all', 'also those that somebody acknowledged')
    .option('--kind <kind>', 'only of this rule: denials, volume, break_glass, …')
    .option('--person <name>', 'only about this person')
    .option('--service <name>', 'only about this service')
    .option('--limit <count>', 'at most so many', '50')
    .option('--cursor <id>', 'read on after this alert');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { all, kind, person, service, limit, cursor } = options;
      const asked = query({ open: all ? undefined : true, kind, person, service, limit, cursor });
      tell(options, await door.ask<Listed>('GET', `/v1/alerts${asked}`), listWords);
      return 0;
    }),
  );
}

function listWords({ alerts, next }: Listed): string {
  if (alerts.length === 0) return 'no alerts';
  const rows = alerts.map((one) => [
    ...[one.id, one.kind, one.principal ?? '-', one.service ?? '-', moment(one.at), String(one.count)],
    ...[moment(one.lastAt), one.acknowledgedBy ?? '-', JSON.stringify(one.detail)],
  ]);
  const heading = ['ALERT', 'RULE', 'PERSON', 'SERVICE', 'AT (UTC)', 'COUNT', 'LAST (UTC)', 'ACKNOWLEDGED', 'DETAIL'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

function acknowledge(): Command {
  const command = new Command('acknowledge')
    .description('say that you have seen to it; what is found from then on is another alert')
    .argument('<alert>')
    .requiredOption('--comment <text>', 'what it was, one sentence');
  return withDoorOptions(command).action((id: string, options: AcknowledgeOptions) =>
    withDoor(options, async (door) => {
      const where = `/v1/alerts/${encodeURIComponent(id)}/acknowledge`;
      const done = await door.ask<AlertJson>('POST', where, { comment: options.comment });
      tell(options, done, ({ kind }) => `alert ${id} (${kind}) is acknowledged`);
      return 0;
    }),
  );
}
