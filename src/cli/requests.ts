import { Command } from 'commander';
import type { RequestDetailJson, RequestJson } from '../api/request-views.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { requestWords, roleWords } from './engagement.js';
import { query, tell } from './run.js';
import { moment, table } from './words.js';

interface ListOptions extends DoorOptions {
  readonly mine?: true;
  readonly state?: string;
  readonly service?: string;
  readonly person?: string;
  readonly toDecide?: true;
  readonly unreviewed?: true;
  readonly limit: string;
  readonly cursor?: string;
}

interface Listed {
  readonly requests: readonly RequestJson[];
  readonly next: string | null;
}

/** `daypass requests list|show`. */
export function requestsCommand(): Command {
  const requests = new Command('requests').description('requests for access that you may see');
  for (const command of [list(), show()]) requests.addCommand(command);
  return requests;
}

function list(): Command {
  const command = new Command('list')
    .description('requests, the newest first')
    .option('--mine', 'only your own')
    .option('--to-decide', 'only those that you may decide about and have not')
    .option('--unreviewed', 'only break-glass access that nobody has reviewed')
    .option('--state <state>', 'only those that stand so: pending, approved, activated, …')
    .option('--service <name>', 'only for this service')
    .option('--person <name>', 'only of this person')
    .option('--limit <count>', 'at most so many', '50')
    .option('--cursor <id>', 'read on after this request');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { mine, state, service, person, toDecide, unreviewed, limit, cursor } = options;
      const asked = query({ mine, state, service, person, toDecide, unreviewed, limit, cursor });
      tell(options, await door.ask<Listed>('GET', `/v1/requests${asked}`), listWords);
      return 0;
    }),
  );
}

function listWords({ requests, next }: Listed): string {
  if (requests.length === 0) return 'no requests';
  const rows = requests.map((one) => [
    ...[one.id, one.state, one.principal, one.service, roleOf(one), moment(one.startsAt)],
    ...[`${one.given}/${one.needed}`, one.task],
  ]);
  const heading = ['REQUEST', 'STATE', 'PERSON', 'SERVICE', 'ROLE', 'FROM (UTC)', 'AGREED', 'TASK'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

function roleOf({ role, allowed }: RequestJson): string {
  return roleWords(allowed.role ?? role, allowed.only);
}

function show(): Command {
  const command = new Command('show').description('one request, with its decisions and acts').argument('<request>');
  return withDoorOptions(command).action((id: string, options: DoorOptions) =>
    withDoor(options, async (door) => {
      const shown = await door.ask<RequestDetailJson>('GET', `/v1/requests/${encodeURIComponent(id)}`);
      tell(options, shown, showWords);
      return 0;
    }),
  );
}

function showWords(detail: RequestDetailJson): string {
  const rows = detail.acts.map(({ at, act, by, reason }) => [moment(at), act, by, reason]);
  return `${requestWords(detail)}\n\n${table(['AT (UTC)', 'ACT', 'BY', 'REASON'], rows)}`;
}
