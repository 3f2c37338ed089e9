/** An instant as HTML, for people and programs. @param at - milliseconds since the epoch */
export function instant(at: number): string {
  return `<time datetime="${isoOf(at)}">${plainInstant(at)}</time>`;
}

/** The same as plain text, to the minute. */
export function plainInstant(at: number): string {
  return `${isoOf(at).slice(0, 16).replace('T', ' ')} UTC`;
}

/** A time that is none is shown as such, and denies nothing here: what decides looks again. */
function isoOf(at: number): string {
  return Number.isFinite(at) ? new Date(at).toISOString() : 'unknown';
}
