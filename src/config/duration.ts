/** How a duration is written: a whole number without leading zero, and one unit. */
export const DURATION = /^[1-9]\d*[smhd]$/;

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Ten years in seconds: longer than any grant, and far below where dates and timers overflow. */
const LONGEST = 3650 * 86_400;

/**
 * Reads `90s`, `10m`, `4h`, `7d`.
 * @returns seconds, or undefined when the text is no duration or is longer than ten years
 */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  const unit = SECONDS[text.slice(-1)];
  if (unit === undefined) return undefined;
  const seconds = Number(text.slice(0, -1)) * unit;
  return seconds > LONGEST ? undefined : seconds;
}

/** How the ledger and people say a duration: `4h`, `90m`, `45s`. */
export function wordSeconds(seconds: number): string {
  if (seconds >= 3_600 && seconds % 3_600 === 0) return `${seconds / 3_600}h`;
  return seconds >= 60 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}
