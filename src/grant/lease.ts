import type { Grant } from './grant.js';
import { endOf, openAt, opensAt, readWindow, wordTime } from './window.js';

type Limited = Pick<Grant, 'expiresAt' | 'window'>;

/** Until when a grant that is in use may be used without a break. */
export interface Lease {
  /** Milliseconds since the epoch. */
  readonly until: number;
  /** What comes then: the end of the grant, or that of its hours. */
  readonly end: 'expired' | 'hours_over';
}

/**
 * The lease of a grant that is used now: to its end, or to the end of its hours when that comes first.
 * @param now - milliseconds since the epoch
 */
export function leaseOf({ expiresAt, window: text }: Limited, now: number): Lease {
  if (text === null) return { until: expiresAt, end: 'expired' };
  const read = readWindow(text);
  const closes = read.ok ? endOf(read.window, now) : now;
  return closes < expiresAt ? { until: closes, end: 'hours_over' } : { until: expiresAt, end: 'expired' };
}

/** How long a grant may be used from now on, as its holder is told. */
export interface TimeLeft extends Lease {
  /** Milliseconds from now (of a grant that begins later: from its beginning) until then; 0 outside its hours. */
  readonly left: number;
  /** Why its hours keep it from being used, and when they begin; null when they do not. */
  readonly outside: string | null;
}

/** What is left of a grant. @param now - milliseconds since the epoch */
export function timeLeftOf(grant: Limited & Pick<Grant, 'notBefore'>, now: number): TimeLeft {
  const from = Math.max(now, grant.notBefore);
  const lease = leaseOf(grant, from);
  return { ...lease, left: Math.max(0, lease.until - from), outside: outsideHours(grant, from) };
}

/** Why the hours of a grant keep it from being used now, and when they begin; null when they do not. */
export function outsideHours({ expiresAt, window: text }: Limited, now: number): string | null {
  if (text === null) return null;
  const read = readWindow(text);
  if (!read.ok) return 'The hours of this grant cannot be read.';
  const { window } = read;
  if (openAt(window, now)) return null;
  const next = opensAt(window, now);
  const opens =
    next < expiresAt ? `it opens next on ${wordTime(window, next)}` : 'it does not open again before its end';
  return `This grant is for ${window.text}; ${opens}.`;
}
