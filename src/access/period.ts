import { wordSeconds } from '../config/duration.js';
import { DaypassError } from '../errors.js';
import type { RequestAsked } from './request.js';

/** When access is to be, milliseconds since the epoch. */
export interface Period {
  readonly startsAt: number;
  /** With clock `start` the end, with `first_use` the last moment to begin. */
  readonly endsAt: number;
  readonly seconds: number;
}

/** Until when anything may last, and what to do about it. */
export interface Bound {
  readonly until: number;
  readonly code: 'account_ended' | 'nda_not_valid';
  /** `The account of kim`. */
  readonly what: string;
  readonly mend: string;
}

/** What a period is held against. */
export interface PeriodLimits {
  readonly service: string;
  readonly clock: 'start' | 'first_use';
  readonly longestSeconds: number;
  readonly maxAheadSeconds: number;
  readonly bounds: readonly Bound[];
}

/** A clock of the asker that is behind. */
const LATE_MS = 60_000;
const DAY_MS = 86_400_000;
/** The end of the year 9999: beyond it no time can be written. */
const LAST = 253_402_300_799_000;

/**
 * The period somebody asks for.
 * @throws DaypassError `invalid_period`, `starts_too_far`, `duration_exceeds_policy`, `account_ended`, `nda_not_valid`, each with
 * the limit and the largest value that would pass
 */
export function readPeriod(
  asked: Pick<RequestAsked, 'from' | 'to' | 'seconds'>,
  limits: PeriodLimits,
  now: number,
): Period {
  const { seconds } = asked;
  checkSeconds(seconds, limits.longestSeconds, limits.service);
  const startsAt = readStart(asked.from, limits, now);
  const latest = Math.min(LAST, ...limits.bounds.map(({ until }) => until));
  if (limits.clock === 'start') {
    const endsAt = startsAt + seconds * 1000;
    if (asked.to !== undefined) checkEnd(asked.to, startsAt, endsAt);
    checkBounds(endsAt, startsAt, limits.bounds);
    return { startsAt, endsAt, seconds };
  }
  checkBounds(startsAt + seconds * 1000, startsAt, limits.bounds);
  const usual = Math.min(startsAt + DAY_MS, latest - seconds * 1000);
  const endsAt = asked.to === undefined ? usual : floor(asked.to);
  checkLastBegin(endsAt, startsAt, limits, now);
  checkBounds(endsAt + seconds * 1000, endsAt, limits.bounds);
  return { startsAt, endsAt, seconds };
}

/** @throws DaypassError `invalid_period`, `duration_exceeds_policy` */
export function checkSeconds(seconds: number, longest: number, service: string): void {
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    throw new DaypassError('invalid_period', 'The duration must be a whole number of seconds, at least one.');
  }
  if (seconds <= longest) return;
  throw new DaypassError(
    'duration_exceeds_policy',
    `The policy of ${service} allows at most ${wordSeconds(longest)} at a time.`,
    {
      hint: `Ask for ${wordSeconds(longest)} or less.`,
    },
  );
}

export function wordTime(at: number): string {
  return new Date(at).toISOString().replace('.000Z', 'Z');
}

/** Whether two stretches of time have a moment in common. */
export function overlap(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] < b[1] && b[0] < a[1];
}

/** Grants begin and end with whole seconds. */
export function floor(at: number): number {
  return Math.floor(at / 1000) * 1000;
}

function readStart(from: number | undefined, { service, maxAheadSeconds }: PeriodLimits, now: number): number {
  if (from === undefined) return floor(now);
  if (!Number.isFinite(from)) throw new DaypassError('invalid_period', 'The beginning is no time.');
  if (from < now - LATE_MS) {
    throw new DaypassError('invalid_period', `The beginning ${wordPlain(from)} is past.`, {
      hint: `Leave it out to begin now, ${wordTime(floor(now))}.`,
    });
  }
  const farthest = floor(now + maxAheadSeconds * 1000);
  if (from <= farthest) return floor(from);
  throw new DaypassError(
    'starts_too_far',
    `The policy of ${service} lets access begin at most ${wordSeconds(maxAheadSeconds)} ahead.`,
    {
      hint: `Begin at ${wordTime(farthest)} at the latest, or ask again later.`,
    },
  );
}

function checkEnd(to: number, startsAt: number, endsAt: number): void {
  if (!Number.isFinite(to)) throw new DaypassError('invalid_period', 'The end is no time.');
  if (to <= startsAt) throw backwards(to, startsAt);
  if (floor(to) === endsAt) return;
  throw new DaypassError('invalid_period', 'The end is not the beginning and the duration together.', {
    hint: `Leave the end out: the access ends at ${wordTime(endsAt)}.`,
  });
}

function checkLastBegin(endsAt: number, startsAt: number, limits: PeriodLimits, now: number): void {
  if (!Number.isFinite(endsAt)) throw new DaypassError('invalid_period', 'The end is no time.');
  if (endsAt <= startsAt) throw backwards(endsAt, startsAt);
  const farthest = Math.max(startsAt, floor(now + limits.maxAheadSeconds * 1000)) + DAY_MS;
  if (endsAt <= farthest) return;
  throw new DaypassError('starts_too_far', `The policy of ${limits.service} does not keep access ready for so long.`, {
    hint: `The last moment to begin may be ${wordTime(farthest)}.`,
  });
}

function backwards(to: number, startsAt: number): DaypassError {
  return new DaypassError(
    'invalid_period',
    `The end ${wordPlain(to)} is not after the beginning ${wordTime(startsAt)}.`,
    {
      hint: 'The beginning comes first.',
    },
  );
}

function checkBounds(end: number, from: number, bounds: readonly Bound[]): void {
  const first = bounds.filter(({ until }) => end > until).toSorted((a, b) => a.until - b.until)[0];
  if (first === undefined) return;
  const left = Math.floor((first.until - from) / 1000);
  const hint = left >= 1 ? `Ask for ${wordSeconds(left)} or less, or ${first.mend}.` : `Do this first: ${first.mend}.`;
  throw new DaypassError(first.code, `${first.what} ends ${wordTime(first.until)}, before this access would.`, {
    hint,
  });
}

function wordPlain(at: number): string {
  return Math.abs(at) <= LAST ? wordTime(at) : String(at);
}
