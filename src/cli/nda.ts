import { Command } from 'commander';
import type { NdaJson } from '../api/request-views.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { dayArgument, query, tell } from './run.js';
import { table } from './words.js';

interface RegisterOptions extends DoorOptions {
  readonly party: string;
  readonly title: string;
  readonly textHash: string;
  readonly signedOn: string;
  readonly validUntil: string;
}

interface ListOptions extends DoorOptions {
  readonly party?: string;
  readonly valid?: true;
  readonly cursor?: string;
}

interface EndOptions extends DoorOptions {
  readonly reason: string;
}

interface Listed {
  readonly ndas: readonly NdaJson[];
  readonly next: string | null;
}

/** `daypass nda register|list|end`. */
export function ndaCommand(): Command {
  const nda = new Command('nda').description('the register of NDAs');
  for (const command of [register(), list(), end()]) nda.addCommand(command);
  return nda;
}

function register(): Command {
  const command = new Command('register')
    .description('register an NDA that was signed')
    .requiredOption('--party <name>', 'whom it binds')
    .requiredOption('--title <text>', 'what it is called')
    .requiredOption('--text-hash <sha256>', 'of the text that was signed (sha256sum <file>)')
    .requiredOption('--signed-on <date>', '2026-11-27', dayArgument)
    .requiredOption('--valid-until <date>', 'its last day', dayArgument);
  return withDoorOptions(command).action((options: RegisterOptions) =>
    withDoor(options, async (door) => {
      const { party, title, textHash, signedOn, validUntil } = options;
      const made = await door.ask<NdaJson>('POST', '/v1/ndas', { party, title, textHash, signedOn, validUntil });
      tell(options, made, ({ id }) => `NDA ${id} of ${party} is registered, until ${validUntil}`);
      return 0;
    }),
  );
}

function list(): Command {
  const command = new Command('list')
    .description('NDAs that you may see, the newest first')
    .option('--party <name>', 'only of this person')
    .option('--valid', 'only those that hold now')
    .option('--cursor <id>', 'read on after this NDA');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { party, valid, cursor } = options;
      tell(options, await door.ask<Listed>('GET', `/v1/ndas${query({ party, valid, cursor })}`), listWords);
      return 0;
    }),
  );
}

function listWords({ ndas, next }: Listed): string {
  if (ndas.length === 0) return 'no NDAs';
  const rows = ndas.map((one) => [
    ...[one.id, one.party, one.title, one.signedOn, one.validUntil],
    one.endedAt === null ? '-' : `${one.endedAt} by ${one.endedBy}`,
  ]);
  const heading = ['NDA', 'PARTY', 'TITLE', 'SIGNED', 'VALID UNTIL', 'TAKEN BACK'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

function end(): Command {
  const command = new Command('end')
    .description('take an NDA back before its time; access that stands on it ends')
    .argument('<nda>')
    .requiredOption('--reason <text>', 'why, one sentence');
  return withDoorOptions(command).action((id: string, options: EndOptions) =>
    withDoor(options, async (door) => {
      const where = `/v1/ndas/${encodeURIComponent(id)}/end`;
      const ended = await door.ask<NdaJson>('POST', where, { reason: options.reason });
      tell(options, ended, () => `NDA ${id} is taken back`);
      return 0;
    }),
  );
}
