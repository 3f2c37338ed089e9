import { DaypassError } from '../errors.js';
import { withoutHandles } from '../log.js';

/** What a task must be, as the policy says. */
export interface TaskPolicy {
  readonly minLength: number;
  /** Phrases that name no task. */
  readonly refuse: readonly string[];
}

/** As long as the reason of a grant may be. */
const LONGEST = 500;
/** Control characters, line and paragraph separators, halves of a character, and what turns text around. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;
const GOOD =
  'Name what is to be done, to what, and why, for example: correct the delivery address of order 4711, which was imported twice.';

/**
 * A sentence that a person wrote: one line, without handles that were pasted into it.
 * @throws DaypassError `invalid_request`
 */
export function readSentence(what: string, written: string): string {
  const text = withoutHandles(written).trim();
  if (text !== '' && text.length <= LONGEST && !UNSAFE.test(text)) return text;
  throw new DaypassError('invalid_request', `The ${what} must be 1 to ${LONGEST} characters on one line.`);
}

/**
 * The task as it is kept.
 * @throws DaypassError `invalid_request`, `vague_task` with what a good one names
 */
export function readTask(written: string, policy: TaskPolicy): string {
  const task = readSentence('task', written);
  const words = folded(task);
  if ([...words].length < policy.minLength) {
    throw vague(`The task is too short: at least ${policy.minLength} letters and digits in words are asked for.`);
  }
  const phrases = policy.refuse.map(folded).filter((phrase) => phrase !== '');
  const whole = phrases.find((phrase) => words === phrase);
  if (whole !== undefined) throw vague(`"${whole}" names no task.`);
  const rest = without(words, phrases);
  if (rest !== words && [...rest].length < policy.minLength) {
    throw vague('Beside phrases that could mean anything, the task says too little.');
  }
  return task;
}

/** What is compared: no case, no accents, no punctuation, nothing invisible, one blank between words. */
export function folded(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/[\p{M}\p{Cf}]/gu, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

/** The words that stand in no phrase; the longest phrases are taken out first. */
function without(words: string, phrases: readonly string[]): string {
  let rest = ` ${words} `;
  for (const phrase of phrases.toSorted((a, b) => b.length - a.length)) {
    // Twice, since two neighbours share the blank between them.
    rest = rest.replaceAll(` ${phrase} `, ' ').replaceAll(` ${phrase} `, ' ');
  }
  return rest.trim();
}

function vague(message: string): DaypassError {
  return new DaypassError('vague_task', message, { hint: GOOD });
}
