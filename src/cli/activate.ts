import { Command } from 'commander';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { tell } from './run.js';
import { facts } from './words.js';

interface ActivateOptions extends DoorOptions {
  readonly acknowledge?: string;
}

interface Activated {
  readonly grant: string;
  readonly handle: string;
  readonly expiresAt: string;
  readonly connect: readonly string[];
}

/** `daypass activate`: begins, and prints the handle, once. */
export function activateCommand(): Command {
  const command = new Command('activate')
    .description('begin what was approved; prints the handle, once. Again: a new handle, and the former one is over')
    .argument('<request>', 'its id')
    .option('--acknowledge <sha256>', "of the NDA's text, whose terms you have read");
  return withDoorOptions(command).action((id: string, options: ActivateOptions) =>
    withDoor(options, async (door) => {
      const { acknowledge } = options;
      const where = `/v1/requests/${encodeURIComponent(id)}/activate`;
      tell(options, await door.ask<Activated>('POST', where, { acknowledge }), activatedWords);
      return 0;
    }),
  );
}

function activatedWords({ grant, handle, expiresAt, connect }: Activated): string {
  return facts([
    ['grant', grant],
    ['until', expiresAt],
    ['handle', `${handle}   (shown only this once)`],
    ...connect.map((line) => ['connect', line] as const),
  ]);
}
