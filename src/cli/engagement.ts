import { Command } from 'commander';
import type { RequestJson } from '../api/request-views.js';
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
  const { id, state, principal, service, role, task, kind, needed, given, allowed, grant } = request;
  return facts([
    ['request', id],
    ['state', state],
    ['access', `${principal} to ${service} as ${allowed.role ?? role}${kind === 'usual' ? '' : ` (${kind})`}`],
    ['task', task],
    ['time', `${moment(request.startsAt)} to ${moment(request.endsAt)} UTC, ${allowed.seconds ?? request.seconds} s`],
    ['hours', request.hours],
    ['approvals', `${given} of ${needed}`],
    ['answer by', state === 'pending' ? request.decideBy : null],
    ['grant', grant && `${grant.id}, until ${grant.expiresAt}`],
  ]);
}
