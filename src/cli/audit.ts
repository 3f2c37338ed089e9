import { Command } from 'commander';
import type { AuditPage } from '../audit/log.js';
import type { AuditVerified } from '../audit/verify.js';
import { DaypassError } from '../errors.js';
import { type Door, type DoorOptions, LONG_ANSWER, withDoor, withDoorOptions } from './door.js';
import { linesOf, textOfFile } from './lines.js';
import { type ExitCode, query, sinceArgument, tell, tellFault } from './run.js';
import { showLines } from './showing.js';
import { moment, table } from './words.js';

interface ListOptions extends DoorOptions {
  readonly actor?: string;
  readonly act?: string;
  readonly target?: string;
  readonly since?: string;
  readonly result?: string;
  readonly limit: string;
  readonly cursor?: string;
}

/** `daypass audit list|export|verify|head`. */
export function auditCommand(): Command {
  const audit = new Command('audit').description('every administrative act and every viewing of a recording');
  for (const command of [list(), exportAll(), verify(), head()]) audit.addCommand(command);
  return audit;
}

function list(): Command {
  const command = new Command('list')
    .description('what was done, the newest first')
    .option('--actor <name>', 'only by this person')
    .option('--act <act>', 'only this: grant.issue, or grant for every act on one')
    .option('--target <target>', 'only on this: grant:<id>, session:<id>, person:<name>')
    .option('--since <when>', 'only since: 2h, or a date', sinceArgument)
    .option('--result <result>', 'only with this result: done, refused, failed')
    .option('--limit <count>', 'at most so many', '50')
    .option('--cursor <line>', 'read on after this line');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { actor, act, target, since, result, limit, cursor } = options;
      const path = `/v1/audit${query({ actor, act, target, since, result, limit, cursor })}`;
      tell(options, await door.ask<AuditPage>('GET', path), listWords);
      return 0;
    }),
  );
}

function listWords({ entries, next }: AuditPage): string {
  if (entries.length === 0) return 'no acts';
  const rows = entries.map(({ seq, at, actor, via, act, target, result, reason }) => [
    ...[String(seq), moment(at), actor, via, act, target, result, reason ?? '-'],
  ]);
  const heading = ['LINE', 'AT (UTC)', 'BY', 'VIA', 'ACT', 'ON', 'RESULT', 'REASON'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

function exportAll(): Command {
  const command = new Command('export').description(
    'the whole log as lines of JSON, its signed head last; that it was exported is recorded',
  );
  return withDoorOptions(command).action((options: DoorOptions) =>
    withDoor(options, async (door) => {
      await showLines(door.stream(`/v1/audit/export${query({ by: door.by })}`), 'The audit log');
      return 0;
    }),
  );
}

interface VerifyOptions extends DoorOptions {
  readonly file?: string;
  readonly keys?: string;
  readonly head?: string;
}

function verify(): Command {
  const command = new Command('verify')
    .description('check that the log is what was written down, and name what is not')
    .option('--file <export>', 'an export instead of the running gateway; needs --keys')
    .option('--keys <jwks>', "the gateway's public keys: its /.well-known/jwks.json")
    .option('--head <file>', 'a head that was noted earlier: what was cut off since then is found');
  return withDoorOptions(command).action(async (options: VerifyOptions) => {
    const { file, keys } = options;
    if (file === undefined) return withDoor(options, async (door) => told(options, await ofGateway(door, options)));
    try {
      process.exitCode = told(options, await verifyFile(file, keys, await notedIn(options)));
    } catch (thrown) {
      tellFault(thrown, options.json === true);
    }
  });
}

async function ofGateway(door: Door, options: VerifyOptions): Promise<AuditVerified> {
  return door.ask('GET', `/v1/audit/verify${query({ head: await notedIn(options) })}`, undefined, LONG_ANSWER);
}

async function notedIn({ head }: VerifyOptions): Promise<string | undefined> {
  return head === undefined ? undefined : (await textOfFile(head)).trim();
}

function told(options: VerifyOptions, verified: AuditVerified): ExitCode {
  const ok = verified.findings.length === 0;
  tell(options, { ...verified, ok }, verifiedWords);
  return ok ? 0 : 1;
}

/** The keys are the reader's own: those that came with the file would prove nothing. */
async function verifyFile(file: string, keys: string | undefined, noted: string | undefined): Promise<AuditVerified> {
  if (keys === undefined)
    throw new DaypassError('keys_missing', 'An export is verified with the public keys of its gateway.', {
      hint: '--keys jwks.json, from https://<domain>/.well-known/jwks.json',
    });
  const [{ verifyExport }, { readKeySet }] = await Promise.all([
    import('../audit/export.js'),
    import('../audit/head.js'),
  ]);
  const ring = readKeySet(await textOfFile(keys));
  return verifyExport(linesOf(file), ring, noted);
}

function verifiedWords({ entries, findings, last }: AuditVerified): string {
  const looked = `${entries} lines, the last is line ${last.seq}`;
  if (findings.length === 0) return `${looked}: the chain holds.`;
  const rows = findings.map(({ seq, fault, message }) => [String(seq), fault, message]);
  return `${table(['LINE', 'FAULT', 'WHAT IS WRONG'], rows)}\n${looked}: ${findings.length} findings.`;
}

function head(): Command {
  const command = new Command('head').description('where the log ends now, signed: keep it where nobody can change it');
  return withDoorOptions(command).action((options: DoorOptions) =>
    withDoor(options, async (door) => {
      tell(options, await door.ask<{ head: string }>('GET', '/v1/audit/head'), ({ head }) => head);
      return 0;
    }),
  );
}
