import { Command } from 'commander';
import type { ReviewJson } from '../api/reviews.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { query, tell } from './run.js';
import { moment, table } from './words.js';

interface ListOptions extends DoorOptions {
  readonly all?: true;
  readonly service?: string;
  readonly limit: string;
  readonly cursor?: string;
}

interface AnswerOptions extends DoorOptions {
  readonly comment: string;
}

interface Listed {
  readonly reviews: readonly ReviewJson[];
  readonly next: string | null;
}

/** `daypass reviews [list|confirm|end]`. */
export function reviewsCommand(): Command {
  const reviews = new Command('reviews').description('access that lasts, for its service’s owners to confirm or end');
  reviews.addCommand(list(), { isDefault: true });
  reviews.addCommand(answer('confirm', 'say that the access is still needed'));
  return reviews.addCommand(answer('end', 'end the access'));
}

function list(): Command {
  const command = new Command('list')
    .description('reviews that wait for an answer, the newest first')
    .option('--all', 'also those that were answered')
    .option('--service <name>', 'only of this service')
    .option('--limit <count>', 'at most so many', '50')
    .option('--cursor <id>', 'read on after this review');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { all, service, limit, cursor } = options;
      tell(options, await door.ask<Listed>('GET', `/v1/reviews${query({ all, service, limit, cursor })}`), listWords);
      return 0;
    }),
  );
}

function listWords({ reviews, next }: Listed): string {
  if (reviews.length === 0) return 'no reviews';
  const rows = reviews.map((one) => [
    ...[one.id, one.principal, one.service, usageWords(one), moment(one.dueAt)],
    one.answer === null ? '-' : `${one.answer}${one.answeredBy === null ? '' : ` by ${one.answeredBy}`}`,
  ]);
  const heading = ['REVIEW', 'PERSON', 'SERVICE', 'USE', 'ANSWER BY (UTC)', 'ANSWER'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

function usageWords({ standing, granted, used, sessions }: ReviewJson): string {
  const rules = `granted ${granted.length} ${granted.length === 1 ? 'rule' : 'rules'}`;
  return standing === 'unused' ? `${rules}, never used` : `${rules}, used ${used.length} in ${sessions} sessions`;
}

function answer(verb: 'confirm' | 'end', description: string): Command {
  const command = new Command(verb)
    .description(description)
    .argument('<review>')
    .requiredOption('--comment <text>', 'why, one sentence');
  return withDoorOptions(command).action((id: string, options: AnswerOptions) =>
    withDoor(options, async (door) => {
      const body = { answer: verb, comment: options.comment };
      const answered = await door.ask<ReviewJson>('POST', `/v1/reviews/${encodeURIComponent(id)}`, body);
      tell(options, answered, answeredWords);
      return 0;
    }),
  );
}

function answeredWords({ answer, principal, service, endedAt }: ReviewJson): string {
  if (answer === 'confirm') return `${principal} keeps the access to ${service}`;
  const when = endedAt === null ? 'ends within a minute' : 'has ended';
  return `the access of ${principal} to ${service} ${when}`;
}
