import { Command } from 'commander';
import type { Repeated } from '../access/repeated.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { query, sinceArgument, tell } from './run.js';
import { moment, table } from './words.js';

interface RepeatedOptions extends DoorOptions {
  readonly since?: string;
  readonly times: string;
  readonly group?: true;
  readonly only?: true;
  readonly service?: string;
  readonly limit: string;
}

/** `daypass report repeated`. */
export function reportCommand(): Command {
  const repeated = new Command('repeated')
    .description('permissions that are asked for again and again: a role may be missing')
    .option('--since <when>', 'requests since: 30d (when not given), or a date', sinceArgument)
    .option('--times <count>', 'at least so often', '3')
    .option('--group', 'all people of a group together, instead of each person')
    .option('--only', 'apart by the rules that approvers left of the role')
    .option('--service <name>', 'only for this service')
    .option('--limit <count>', 'at most so many', '100');
  withDoorOptions(repeated).action((options: RepeatedOptions) =>
    withDoor(options, async (door) => {
      const { since, times, only, service, limit } = options;
      const of = options.group === true ? 'group' : 'person';
      const path = `/v1/reports/repeated${query({ since, times, of, only, service, limit, by: door.by })}`;
      const body = await door.ask<{ repeated: readonly Repeated[] }>('GET', path);
      tell(options, body, ({ repeated }) => repeatedWords(repeated));
      return 0;
    }),
  );
  return new Command('report').description('what the requests say together').addCommand(repeated);
}

function repeatedWords(repeated: readonly Repeated[]): string {
  if (repeated.length === 0) return 'nothing is asked for again and again';
  const heading = ['TIMES', 'WHO', 'SERVICE', 'ROLE', 'FIRST (UTC)', 'LAST (UTC)', 'CONSIDER'];
  const rows = repeated.map(({ who, service, role, requests, first, last, hint }) => [
    ...[String(requests), who, service, role, moment(first), moment(last), hint],
  ]);
  return table(heading, rows);
}
