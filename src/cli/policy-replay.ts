import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { PolicyReplay } from '../api/policy-replay.js';
import { DaypassError, messageOf } from '../errors.js';
import { type DoorOptions, LONG_ANSWER, withDoor, withDoorOptions } from './door.js';
import { sinceArgument, tell } from './run.js';
import { moment, table } from './words.js';

interface ReplayOptions extends DoorOptions {
  readonly draft: string;
  readonly since: string;
  readonly strict?: true;
}

/** `daypass policy replay`: exit code 1 when the draft would have decided anything otherwise. */
export function policyReplayCommand(): Command {
  const command = new Command('replay')
    .description('decide recorded actions again by a draft of a service file, and say what would have changed')
    .requiredOption('--draft <file>', 'the service file as it is to become')
    .option('--since <when>', 'actions since: 7d, 2h, or a date', sinceArgument, sinceArgument('7d'))
    .option('--strict', 'fail as well when something cannot be determined');
  return withDoorOptions(command).action((options: ReplayOptions) =>
    withDoor(options, async (door) => {
      const asked = { draft: readDraft(options.draft), since: options.since };
      const body = await door.ask<PolicyReplay>('POST', '/v1/policy/replay', asked, LONG_ANSWER);
      tell(options, body, replayWords);
      const changed = body.refused + body.allowed > 0;
      return changed || (options.strict === true && body.undeterminable > 0) ? 1 : 0;
    }),
  );
}

function readDraft(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    throw new DaypassError('usage', `The draft cannot be read: ${messageOf(thrown)}`);
  }
}

function replayWords({ service, since, sessions, actions, why, changes, ...counts }: PolicyReplay): string {
  const { refused, allowed, undeterminable } = counts;
  const lines = [
    `${service}: ${actions} actions of ${sessions} sessions since ${since}`,
    `would have refused ${refused} of ${actions}`,
    `would have allowed ${allowed} that were refused`,
    `undeterminable ${undeterminable}`,
    ...Object.entries(why).map(([reason, count]) => `  ${count}: ${reason}`),
  ];
  if (changes.length === 0) return lines.join('\n');
  const rows = changes.map((one) => [
    ...[one.would, one.session, String(one.seq), moment(one.at), one.principal, one.role],
    one.action.replace(/\s+/g, ' ').slice(0, 80),
    one.rule,
  ]);
  const more = refused + allowed - changes.length;
  const end = more > 0 ? [`and ${more} more`] : [];
  return [
    ...lines,
    '',
    table(['WOULD BE', 'SESSION', 'EVENT', 'AT (UTC)', 'PERSON', 'ROLE', 'ACTION', 'RULE'], rows),
    ...end,
  ].join('\n');
}
