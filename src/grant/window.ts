import { IANAZone } from 'luxon';
import { DaypassError } from '../errors.js';

/** Weekly hours during which a grant may be used, in the time of one zone. */
export interface Window {
  /** The one spelling of these hours: what is signed and shown. */
  readonly text: string;
  readonly zone: string;
  /** One for every minute of the week that is open, from Monday 00:00 by the clock on the wall. */
  readonly open: Uint8Array;
}

export type ReadWindow =
  | { readonly ok: true; readonly window: Window }
  | { readonly ok: false; readonly message: string; readonly hint: string };

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const DAY = 1_440;
const WEEK = 7 * DAY;
const MINUTE_MS = 60_000;
/** No zone changes its clocks twice within this time. */
const STRIDE_MS = 3 * 3_600_000;
/** Two weeks and a day: hours that one change of the clocks leaves out come again in the week after. */
const STRIDES = (15 * 24) / 3;

const MAX_TEXT = 300;
const FORM = 'for example Mon-Fri 09:00-18:00 Europe/Berlin, or Mon,Wed 08:00-12:00; Fri 22:00-06:00 Europe/Berlin';
const SPAN = /^([A-Za-z,-]+) (\d\d):(\d\d)-(\d\d):(\d\d)$/;
const ZONE = /^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+)*$/;

/** What was read before: the same hours are asked about at every admission. */
const known = new Map<string, ReadWindow>();
const MOST_KNOWN = 1_000;

/** Reads weekly hours: days, hours and at the end their time zone; several of them parted by `;`. Never throws. */
export function readWindow(text: string): ReadWindow {
  const before = known.get(text);
  if (before !== undefined) return before;
  const read = text.length > MAX_TEXT ? refuse('are too long') : readAnew(text);
  if (read.ok && known.size < MOST_KNOWN) known.set(text, read);
  return read;
}

function readAnew(text: string): ReadWindow {
  const plain = text.replace(/[\u2012-\u2015]/g, '-').trim();
  const at = plain.lastIndexOf(' ');
  const name = plain.slice(at + 1);
  if (at < 0 || /\d:\d/.test(name)) return refuse('are not weekly hours with a time zone');
  const zone = zoneNamed(name);
  if (zone === null) {
    return refuse(
      `name an unknown time zone ${JSON.stringify(name)}`,
      'write its IANA name, for example Europe/Berlin',
    );
  }
  return withSpans(plain.slice(0, at).split(';'), zone);
}

/** As `readWindow`. @throws DaypassError `invalid_request` with what to write instead */
export function parseWindow(text: string): Window {
  const read = readWindow(text);
  if (read.ok) return read.window;
  throw new DaypassError('invalid_request', read.message, { hint: read.hint });
}

/** Whether the window is open: by the clock on the wall of its zone. @param now - milliseconds since the epoch */
export function openAt({ open, zone }: Window, now: number): boolean {
  return open[minuteOf(IANAZone.create(zone), now)] === 1;
}

/**
 * The first instant from `now` on at which the window is closed: `now` itself when it is not open.
 * @returns milliseconds since the epoch; infinity for a window that never closes
 */
export function endOf(window: Window, now: number): number {
  return nextWhen(window, now, 0);
}

/**
 * The first instant from `now` on at which the window is open.
 * @returns milliseconds since the epoch; infinity when there is none within two weeks
 */
export function opensAt(window: Window, now: number): number {
  return nextWhen(window, now, 1);
}

/** An instant by the clock of the window's zone: `Mon 2026-11-30 09:00 Europe/Berlin`. */
export function wordTime({ zone }: Window, at: number): string {
  const local = new Date(localTime(IANAZone.create(zone), at));
  const day = DAYS[(local.getUTCDay() + 6) % 7];
  return `${day} ${local.toISOString().slice(0, 16).replace('T', ' ')} ${zone}`;
}

/**
 * Walks to the instant: as far as the clock on the wall says, but never past a change of the clocks, after which it is asked
 * anew. What the gap of a change leaves out is never there; what comes twice is there twice.
 */
function nextWhen({ open, zone: name }: Window, now: number, wanted: 0 | 1): number {
  const zone = IANAZone.create(name);
  let at = now;
  for (let strides = 0; strides < STRIDES * 2; strides += 1) {
    const minute = minuteOf(zone, at);
    if (open[minute] === wanted || !Number.isFinite(at)) return at;
    const minutes = minutesUntil(open, minute, wanted);
    if (!Number.isFinite(minutes)) return minutes;
    const wall = minutes * MINUTE_MS - modulo(localTime(zone, at), MINUTE_MS);
    const next = at + Math.min(wall, STRIDE_MS);
    at = zone.offset(next) === zone.offset(at) ? next : changeBetween(zone, at, next);
  }
  return Number.POSITIVE_INFINITY;
}

/** The first instant after `from` whose offset is another; there is one until `to`. */
function changeBetween(zone: IANAZone, from: number, to: number): number {
  const before = zone.offset(from);
  let [same, other] = [from, to];
  while (other - same > 1) {
    const middle = Math.floor((same + other) / 2);
    if (middle <= same) break;
    if (zone.offset(middle) === before) same = middle;
    else other = middle;
  }
  return other;
}

/** Minutes of the week until one that is as wanted; infinity when there is none. */
function minutesUntil(open: Uint8Array, minute: number, wanted: 0 | 1): number {
  for (let ahead = 1; ahead <= WEEK; ahead += 1) if (open[(minute + ahead) % WEEK] === wanted) return ahead;
  return Number.POSITIVE_INFINITY;
}

/** What the clock on the wall shows, as milliseconds since 1970 there. */
function localTime(zone: IANAZone, at: number): number {
  return at + zone.offset(at) * MINUTE_MS;
}

/** The minute of the week; the epoch was a Thursday. */
function minuteOf(zone: IANAZone, at: number): number {
  return modulo(Math.floor(localTime(zone, at) / MINUTE_MS) + 3 * DAY, WEEK);
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}

/** The zone's name as it is written, in its own case; null for what is no zone. */
function zoneNamed(text: string): string | null {
  if (!ZONE.test(text) || !IANAZone.isValidZone(text)) return null;
  const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions();
  return timeZone.toLowerCase() === text.toLowerCase() ? timeZone : text;
}

function withSpans(texts: readonly string[], zone: string): ReadWindow {
  const open = new Uint8Array(WEEK);
  const spans: string[] = [];
  for (const text of texts) {
    const span = readSpan(
      text
        .trim()
        .replace(/\s*([,-])\s*/g, '$1')
        .replace(/\s+/g, ' '),
    );
    if (!span.ok) return span;
    for (const day of span.days) {
      for (let minute = span.from; minute < span.to; minute += 1) open[(day * DAY + minute) % WEEK] = 1;
    }
    spans.push(`${wordDays(span.days)} ${span.hours}`);
  }
  const text = `${spans.join('; ')} ${zone}`;
  // What is signed is read again: the one spelling may be longer than what was written.
  return text.length > MAX_TEXT ? refuse('are too long') : { ok: true, window: { text, zone, open } };
}

type Span =
  | {
      readonly ok: true;
      readonly days: readonly number[];
      readonly from: number;
      readonly to: number;
      readonly hours: string;
    }
  | Extract<ReadWindow, { ok: false }>;

/** `Mon-Fri 09:00-18:00`; what ends before it begins ends on the next day. */
function readSpan(text: string): Span {
  const [, names = '', ...clock] = SPAN.exec(text) ?? [];
  const [fromHour = 99, fromMinute = 0, toHour = 99, toMinute = 0] = clock.map(Number);
  const days = readDays(names);
  const [from, to] = [fromHour * 60 + fromMinute, toHour * 60 + toMinute];
  if (days === null) return refuse(`have no days and hours in ${JSON.stringify(text)}`);
  if (fromMinute > 59 || toMinute > 59 || from >= DAY || to > DAY)
    return refuse(`hold a time that no clock shows: ${text}`);
  if (from === to) return refuse(`open and close at the same time: ${text}`, 'a whole day is 00:00-24:00');
  const hours = text.slice(text.indexOf(' ') + 1);
  return { ok: true, days, from, to: to > from ? to : to + DAY, hours };
}

/** `Mon-Wed,Fri` as numbers from Monday, each once and in order; null for anything else. */
function readDays(text: string): readonly number[] | null {
  const days = new Set<number>();
  for (const part of text.split(',')) {
    const [first = -1, last = first, ...more] = part.split('-').map(dayNamed);
    if (first < 0 || last < 0 || more.length > 0) return null;
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].sort();
}

function dayNamed(text: string): number {
  return DAYS.findIndex((day) => day.toLowerCase() === text.toLowerCase());
}

function wordDays(days: readonly number[]): string {
  const runs: number[][] = [];
  for (const day of days) {
    const run = runs.at(-1);
    if (run?.at(-1) === day - 1) run.push(day);
    else runs.push([day]);
  }
  const name = (day: number | undefined) => DAYS[day ?? 0];
  return runs.map((run) => (run.length === 1 ? name(run[0]) : `${name(run[0])}-${name(run.at(-1))}`)).join(',');
}

function refuse(
  problem: string,
  hint = `write days, hours and the time zone, ${FORM}`,
): Extract<ReadWindow, { ok: false }> {
  return { ok: false, message: `The hours ${problem}.`, hint };
}
