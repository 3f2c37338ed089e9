import { neutral } from '../recording/neutral.js';

/** Aligned columns under a heading. Every field is neutralised: none can move the cursor or pose as another. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows.map((row) => row.map(neutral))];
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((field, column) => field.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `name  value` lines; null values are left out. Every value is neutralised. */
export function facts(pairs: readonly (readonly [string, string | number | null | undefined])[]): string {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined);
  const width = Math.max(...told.map(([name]) => name.length));
  return told.map(([name, value]) => `${name.padEnd(width)}  ${neutral(String(value))}`).join('\n');
}

/** An ISO time for a table: seconds, UTC. */
export function moment(iso: string | null): string {
  return iso === null ? '-' : iso.slice(0, 19).replace('T', ' ');
}
