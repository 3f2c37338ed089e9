import { Command } from 'commander';
import type { RequestJson } from '../api/request-views.js';
import { wordSeconds } from '../config/duration.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { type ExitCode, tell } from './run.js';
import { facts, moment } from './words.js';

/** What a verb that acts on one request is made of. */
export interface ActVerb<Options extends DoorOptions> {
  readonly name: string;
  readonly description: string;
  /** The last word of its path. */
  readonly path: string;
  /** What it sends. */
  readonly body: (options: Options) => object;
}

/** A verb on one request: `daypass <verb> <request>`. */
export function actCommand<Options extends DoorOptions>(
  { name, description, path, body }: ActVerb<Options>,
  more: (command: Command) => Command,
): Command {
  const command = more(new Command(name).description(description).argument('<request>', 'its id'));
  return withDoorOptions(command).action((id: string, options: Options) =>
    withDoor(options, async (door) => {
      const where = `/v1/requests/${encodeURIComponent(id)}/${path}`;
      const answer = await door.ask<RequestJson & { readonly ledger?: string }>('POST', where, body(options));
      tell(options, answer, requestWords);
      return exitOf(answer);
    }),
  );
}

/** 4 when the ledger's write is queued. */
export function exitOf({ ledger }: { readonly ledger?: string }): ExitCode {
  return ledger === 'queued' ? 4 : 0;
}

/** A request for a person to read. */
export function requestWords(request: RequestJson): string {
  const { id, state, principal, service, role, task, kind, hours, allowed, grant } = request;
  const asked = allowed.role === null || allowed.role === role ? '' : ` (asked for: ${role})`;
  return facts([
    ['request', id],
    ['state', state],
    ['access', `${principal} to ${service} as ${allowed.role ?? role}${asked}${kind === 'usual' ? '' : ` (${kind})`}`],
    ...(allowed.only ?? []).map((rule) => ['only', rule] as const),
    ['task', task],
    ['time', timeWords(request)],
    ['hours', hours],
    ['approvals', approvalsWords(request)],
    ['answer by', state === 'pending' ? request.decideBy : null],
    ['grant', grant && `${grant.id}, until ${grant.expiresAt}`],
  ]);
}

/** A role, and whether approvers left fewer rules of it: for a table. */
export function roleWords(role: string, only: readonly string[] | null): string {
  return only === null ? role : `${role} (${only.length} of its rules)`;
}

function timeWords({ startsAt, endsAt, clock, seconds, allowed }: RequestJson): string {
  const left = allowed.seconds ?? seconds;
  const lasts = `${wordSeconds(left)}${left === seconds ? '' : ` (asked for: ${wordSeconds(seconds)})`}`;
  if (clock === 'first_use') return `${lasts} from its first use, ${moment(startsAt)} to ${moment(endsAt)} UTC`;
  const ends = new Date(Date.parse(startsAt) + left * 1000).toISOString();
  return `${moment(startsAt)} to ${moment(ends)} UTC, ${lasts}`;
}

function approvalsWords({ needed, usual, given, principal }: RequestJson): string {
  const more = needed > (usual ?? needed);
  return `${given} of ${needed}${more ? `, one more than usual: ${principal} has access in another lane at the same time` : ''}`;
}
