import fc from 'fast-check';
import { DateTime } from 'luxon';
import t from 'tap';
import { endOf, openAt, opensAt, parseWindow, readWindow, wordTime } from '../../src/grant/window.js';

const OFFICE = parseWindow('Mon-Fri 09:00-18:00 Europe/Berlin');
const at = (iso: string, zone = 'Europe/Berlin') => DateTime.fromISO(iso, { zone }).toMillis();

t.test('hours are read in several spellings and have one canonical text', async (t) => {
  const spelled: readonly (readonly [string, string])[] = [
    ['Mon–Fri 09:00–18:00 Europe/Berlin', 'Mon-Fri 09:00-18:00 Europe/Berlin'],
    [' mon - fri  09:00 - 18:00  europe/berlin ', 'Mon-Fri 09:00-18:00 Europe/Berlin'],
    ['Mon,Wed 08:00-12:00 UTC', 'Mon,Wed 08:00-12:00 UTC'],
    ['Wed,Mon,Tue,Sun 08:00-12:00 Asia/Kolkata', 'Mon-Wed,Sun 08:00-12:00 Asia/Kolkata'],
    ['Fri-Mon 22:00-06:00 America/New_York', 'Mon,Fri-Sun 22:00-06:00 America/New_York'],
    ['Mon 08:00-12:00;Tue 00:00-24:00 Europe/Kyiv', 'Mon 08:00-12:00; Tue 00:00-24:00 Europe/Kyiv'],
  ];
  for (const [written, canonical] of spelled) {
    t.equal(parseWindow(written).text, canonical, written);
    t.equal(parseWindow(canonical).text, canonical, 'and that is its own');
  }
});

t.test('what is no hours is refused with what to write instead', async (t) => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /weekly hours/],
    ['Mon-Fri 09:00-18:00', /weekly hours with a time zone/],
    ['always Europe/Berlin', /no days and hours/],
    ['Mon-Fri 09:00-18:00 Europe/Atlantis', /unknown time zone "Europe\/Atlantis"/],
    ['Mon-Fri 09:00-18:00 +01:00', /time zone/],
    ['Mon-Fri 09:00-18:00 ../etc/localtime', /unknown time zone/],
    ['Mon-Fry 09:00-18:00 UTC', /no days and hours/],
    ['Mon-Wed-Fri 09:00-18:00 UTC', /no days and hours/],
    ['Mon, 09:00-18:00 UTC', /no days and hours/],
    ['Mon 9-18 UTC', /no days and hours/],
    ['Mon 25:00-26:00 UTC', /no clock shows/],
    ['Mon 09:60-10:00 UTC', /no clock shows/],
    ['Mon 24:00-06:00 UTC', /no clock shows/],
    ['Mon 09:00-09:00 UTC', /at the same time/],
    ['Mon 09:00-10:00; UTC', /no days and hours/],
    [`Mon 09:00-10:00${'; Mon 09:00-10:00'.repeat(50)} UTC`, /too long/],
    [`Mon 09:00-10:00${' '.repeat(300)}UTC`, /too long/],
    // Written out, `Mon,Sat-Sun`, it could not be read again.
    [`${Array.from({ length: 14 }, () => 'Sat-Mon 09:00-10:00').join(';')} UTC`, /too long/],
  ];
  for (const [text, problem] of wrong) {
    t.match(readWindow(text), { ok: false, message: problem, hint: /\S/ }, text);
    t.throws(() => parseWindow(text), { code: 'invalid_request', message: problem, hint: /\S/ });
  }
});

t.test('hours begin and end at their exact instants', async (t) => {
  const [opens, closes] = [at('2026-11-30T09:00'), at('2026-11-30T18:00')];
  t.same(
    [openAt(OFFICE, opens - 1), openAt(OFFICE, opens), openAt(OFFICE, closes - 1), openAt(OFFICE, closes)],
    [...[false, true, true, false]],
  );
  t.equal(endOf(OFFICE, opens), closes);
  t.equal(endOf(OFFICE, closes - 1), closes);
  t.equal(endOf(OFFICE, closes), closes, 'closed already');
  t.equal(opensAt(OFFICE, opens), opens, 'open already');
  t.equal(opensAt(OFFICE, at('2026-11-27T18:00')), opens, 'over the weekend');
  t.equal(wordTime(OFFICE, opens), 'Mon 2026-11-30 09:00 Europe/Berlin');
});

t.test('hours over midnight, over the end of the week and side by side are one stretch', async (t) => {
  const night = parseWindow('Sun 22:00-06:00 UTC');
  t.ok(openAt(night, at('2026-11-30T05:59', 'UTC')), 'Monday morning');
  t.equal(endOf(night, at('2026-11-29T23:00', 'UTC')), at('2026-11-30T06:00', 'UTC'));
  const days = parseWindow('Mon,Tue 00:00-24:00; Wed 00:00-01:00 UTC');
  t.equal(endOf(days, at('2026-11-30T12:00', 'UTC')), at('2026-12-02T01:00', 'UTC'));
  const always = parseWindow('Mon-Sun 00:00-24:00 Europe/Berlin');
  t.equal(endOf(always, at('2026-11-30T12:00')), Number.POSITIVE_INFINITY);
});

t.test('the clock on the wall counts when the clocks change', async (t) => {
  const office = parseWindow('Sun 01:00-05:00 Europe/Berlin');
  t.equal(endOf(office, at('2026-03-29T01:00')) - at('2026-03-29T01:00'), 3 * 3_600_000, 'an hour is left out');
  t.equal(endOf(office, at('2026-10-25T01:00')) - at('2026-10-25T01:00'), 5 * 3_600_000, 'an hour comes twice');
  const missing = parseWindow('Sun 02:15-02:45 Europe/Berlin');
  t.equal(opensAt(missing, at('2026-03-29T00:00')), at('2026-04-05T02:15'), 'there is no such time on that day');
  const gap = parseWindow('Sun 01:00-02:30 Europe/Berlin');
  t.equal(endOf(gap, at('2026-03-29T01:00')), at('2026-03-29T03:00'), 'the clock jumps over its end');
});

t.test('a time that is no number is outside of all hours', async (t) => {
  const always = parseWindow('Mon-Sun 00:00-24:00 UTC');
  for (const now of [Number.NaN, Number.POSITIVE_INFINITY]) t.notOk(openAt(always, now));
  t.notOk(endOf(OFFICE, Number.NaN) > 0);
});

const ZONES = [
  ...['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Africa/Casablanca'],
  ...['America/St_Johns', 'Pacific/Chatham', 'Asia/Tehran', 'UTC'],
];
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const clock = fc.integer({ min: 0, max: 95 }).map((quarter) => {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(Math.floor(quarter / 4))}:${two((quarter % 4) * 15)}`;
});
const span = fc
  .record({ days: fc.uniqueArray(fc.constantFrom(...DAYS), { minLength: 1 }), from: clock, to: clock })
  .filter(({ from, to }) => from !== to);
const hours = fc.record({ spans: fc.array(span, { minLength: 1, maxLength: 3 }), zone: fc.constantFrom(...ZONES) });
type Hours = { spans: { days: string[]; from: string; to: string }[]; zone: string };
const textOf = ({ spans, zone }: Hours) =>
  `${spans.map(({ days, from, to }) => `${days.join(',')} ${from}-${to}`).join('; ')} ${zone}`;

/** Instants around each change of the clocks of those zones in 2026, and anywhere in that year. */
const CHANGES = [
  '2026-02-15',
  '2026-03-08',
  '2026-03-22',
  '2026-03-29',
  '2026-04-05',
  '2026-09-27',
  '2026-10-25',
  '2026-11-01',
];
const instant = fc.oneof(
  fc
    .tuple(fc.constantFrom(...CHANGES), fc.integer({ min: -24 * 60, max: 48 * 60 }))
    .map(([day, minutes]) => Date.parse(`${day}T00:00Z`) + minutes * 60_000),
  fc.integer({ min: Date.parse('2026-01-01T00:00Z'), max: Date.parse('2027-01-01T00:00Z') }),
);

/** The same question asked of Intl alone. */
function openByIntl({ spans, zone }: Hours, now: number): boolean {
  const parts = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  }).formatToParts(now);
  const part = (name: string) => parts.find(({ type }) => type === name)?.value ?? '';
  const time = `${part('hour')}:${part('minute')}`;
  const today = part('weekday');
  const yesterday = DAYS[(DAYS.indexOf(today) + 6) % 7] ?? '';
  return spans.some(({ days, from, to }) => {
    if (from < to) return days.includes(today) && from <= time && time < to;
    return (days.includes(today) && from <= time) || (days.includes(yesterday) && time < to);
  });
}

t.test('at any instant hours are open if the clock on the wall, as Intl tells it, is within them', async (t) => {
  fc.assert(
    fc.property(hours, instant, (given, now) => openAt(parseWindow(textOf(given)), now) === openByIntl(given, now)),
  );
  t.pass();
});

t.test(
  'from any instant the end is the first that is closed and the next beginning the first that is open',
  async (t) => {
    const minute = 60_000;
    fc.assert(
      fc.property(hours, instant, (given, now) => {
        const window = parseWindow(textOf(given));
        const open = openByIntl(given, now);
        const change = open ? endOf(window, now) : opensAt(window, now);
        if (open ? opensAt(window, now) !== now : endOf(window, now) !== now) return false;
        if (change === Number.POSITIVE_INFINITY) return true;
        if (openByIntl(given, change) === open || openByIntl(given, change - 1) !== open) return false;
        const until = Math.min(change, now + 26 * 3_600_000);
        for (let at = now; at < until; at += 15 * minute) if (openByIntl(given, at) !== open) return false;
        return true;
      }),
      { numRuns: 60 },
    );
    t.pass();
  },
);

t.test('the canonical text means the same', async (t) => {
  fc.assert(
    fc.property(hours, (given) => {
      const window = parseWindow(textOf(given));
      const again = parseWindow(window.text);
      return again.text === window.text && Buffer.from(again.open).equals(Buffer.from(window.open));
    }),
  );
  t.pass();
});
