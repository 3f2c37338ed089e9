import { Command } from 'commander';
import { type DoorOptions, LONG_ANSWER, withDoor, withDoorOptions } from './door.js';
import { tell } from './run.js';
import { table } from './words.js';

interface Verified {
  readonly ok: boolean;
  readonly sessions: number;
  readonly events: number;
  readonly open: number;
  readonly last?: { readonly seq: number; readonly head: string };
  readonly findings: readonly { session: string; seq: number; fault: string; message: string }[];
}

/** `daypass verify [session]`: exit code 1 when anything is wrong. */
export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('check that recordings are what was recorded, and name what is not')
    .argument('[session]', 'only this one');
  return withDoorOptions(command).action((session: string | undefined, options: DoorOptions) =>
    withDoor(options, async (door) => {
      const body = await door.ask<Verified>('POST', '/v1/verify', { session }, LONG_ANSWER);
      tell(options, body, verifiedWords);
      return body.ok ? 0 : 1;
    }),
  );
}

function verifiedWords({ ok, sessions, events, open, last, findings }: Verified): string {
  const looked = `${sessions} sessions, ${events} events`;
  const live = open > 0 ? `\nstill live: ${open}; their ends are not fixed yet.` : '';
  const end = last === undefined ? '' : `\nthe last is event ${last.seq}; the chain ends with ${last.head}`;
  if (ok) return `${looked}: every chain holds.${live}${end}`;
  const rows = findings.map(({ session, seq, fault, message }) => [session, String(seq), fault, message]);
  return `${table(['SESSION', 'EVENT', 'FAULT', 'WHAT IS WRONG'], rows)}\n${looked}: ${findings.length} findings.${live}`;
}
