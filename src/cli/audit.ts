import { Command } from 'commander';
import type { AuditPage } from '../audit/log.js';
import type { AuditVerified } from '../audit/verify.js';
import { DaypassError } from '../errors.js';
import { linesOf, textOfFile } from './lines.js';
import {
  type ActorOptions,
  type ExitCode,
  type GatewayOptions,
  query,
  sinceArgument,
  tell,
  withActor,
  withGateway,
  withGatewayOptions,
} from './run.js';
import { showLines } from './showing.js';
import { moment, table } from './words.js';

interface ListOptions extends GatewayOptions {
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
  return withGatewayOptions(command).action((options: ListOptions) =>
    withGateway(options, async (gateway) => {
      const { actor, act, target, since, result, limit, cursor } = options;
      const path = `/v1/audit${query({ actor, act, target, since, result, limit, cursor })}`;
      tell(options, (await gateway.ask<AuditPage>('GET', path)).body, listWords);
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
  return withActor(command).action((options: ActorOptions) =>
    withGateway(options, async (gateway) => {
      await showLines(gateway.stream(`/v1/audit/export${query({ by: options.by })}`), 'The audit log');
      return 0;
    }),
  );
}

interface VerifyOptions extends GatewayOptions {
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
  return withGatewayOptions(command).action((options: VerifyOptions) =>
    withGateway(options, async (gateway): Promise<ExitCode> => {
      const noted = options.head === undefined ? undefined : (await textOfFile(options.head)).trim();
      const verified =
        options.file === undefined
          ? (await gateway.ask<AuditVerified>('GET', `/v1/audit/verify${query({ head: noted })}`)).body
          : await verifyFile(options.file, options.keys, noted);
      const ok = verified.findings.length === 0;
      tell(options, { ...verified, ok }, verifiedWords);
      return ok ? 0 : 1;
    }),
  );
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
  return withGatewayOptions(command).action((options: GatewayOptions) =>
    withGateway(options, async (gateway) => {
      tell(options, (await gateway.ask<{ head: string }>('GET', '/v1/audit/head')).body, ({ head }) => head);
      return 0;
    }),
  );
}
