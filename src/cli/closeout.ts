import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { Command } from 'commander';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { linesOf, textOfFile } from './lines.js';
import { query, tell, tellFault } from './run.js';
import { writeOut } from './showing.js';
import { facts } from './words.js';

interface CloseOutOptions extends DoorOptions {
  readonly html?: true;
  readonly output?: string;
}

/** `daypass closeout <request>` and `daypass closeout verify <file>`. */
export function closeOutCommand(): Command {
  const command = new Command('closeout')
    .description('the signed record of an engagement; that it was made is recorded')
    .argument('<request>', 'the access request')
    .option('--html', 'as a page to read and print; it can be verified too')
    .option('-o, --output <file>', 'where to write it; standard output when not given');
  withDoorOptions(command).action((id: string, options: CloseOutOptions) =>
    withDoor(options, async (door) => {
      const asked = query({ by: door.by, format: options.html === true ? 'html' : 'json' });
      const file = door.stream(`/v1/requests/${encodeURIComponent(id)}/closeout${asked}`);
      await write(file, options.output);
      if (options.output !== undefined) await tellWritten(options, id, options.output);
      return 0;
    }),
  );
  return command.addCommand(verify());
}

/** Byte by byte: a record that was written anew is not the one that was signed. */
async function write(pieces: AsyncIterable<string>, path: string | undefined): Promise<void> {
  if (path === undefined) {
    for await (const piece of pieces) await writeOut(piece);
    return;
  }
  let file: ReturnType<typeof createWriteStream> | undefined;
  for await (const piece of pieces) {
    // Not before there is something: a refusal leaves the file of before as it is.
    file ??= createWriteStream(path, { mode: 0o600 });
    if (!file.write(piece)) await once(file, 'drain');
  }
  if (file === undefined) return;
  file.end();
  await finished(file);
}

/** Whether it is the last word: an interim record looks no different in a folder. */
async function tellWritten(options: CloseOutOptions, request: string, file: string): Promise<void> {
  const { recordIn } = await import('../access/closeout-verify.js');
  const { state = 'unknown', open = [] } = recordIn(await textOfFile(file)) ?? {};
  tell(options, { request, state, open, file }, () =>
    facts([
      ['record', `${state} record of request ${request}, in ${file}`],
      ...open.map((why) => ['open', why] as const),
    ]),
  );
}

interface VerifyOptions {
  readonly keys: string;
  readonly audit?: string;
  readonly json?: boolean;
}

/** Asks no gateway: exit code 1 when anything is wrong. */
function verify(): Command {
  return new Command('verify')
    .description('check a close-out record, or its page, offline')
    .argument('<file>')
    .requiredOption('--keys <file>', "the gateway's published keys: /.well-known/jwks.json")
    .option('--audit <export>', 'an export of the audit log (daypass audit export): the lines must be those in it')
    .option('--json', 'the answer as JSON')
    .action(async (path: string, options: VerifyOptions, command: Command) => {
      const json = options.json === true || command.parent?.opts().json === true;
      try {
        process.exitCode = (await verified(path, options, json)) ? 0 : 1;
      } catch (thrown) {
        tellFault(thrown, json);
      }
    });
}

async function verified(path: string, { keys, audit }: VerifyOptions, json: boolean): Promise<boolean> {
  const [{ verifyCloseOut }, { readKeySet }] = await Promise.all([
    import('../access/closeout-verify.js'),
    import('../audit/head.js'),
  ]);
  const { ok, record, holds, findings } = await verifyCloseOut(
    await textOfFile(path),
    readKeySet(await textOfFile(keys)),
    audit === undefined ? undefined : linesOf(audit),
  );
  const about = record && { request: record.request.id, state: record.state, made: record.made, open: record.open };
  tell({ json }, { ok, about, holds, findings }, () =>
    facts([
      ['record', about && `${about.state} record of request ${about.request}`],
      ['made', about && `${about.made.at} by ${about.made.by}`],
      ...(about?.open ?? []).map((why) => ['open', why] as const),
      ...holds.map((what) => ['holds', what] as const),
      ...findings.map(({ fault, message }) => ['WRONG', `${message} (${fault})`] as const),
      ['verdict', ok ? 'it holds' : 'do not believe it'],
    ]),
  );
  return ok;
}
