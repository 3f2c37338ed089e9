/**
 * One page of a list that was read with one more row than a page has, which tells whether another one follows.
 * @param cursorOf - what the next page begins behind
 * @returns `next`: null on the last page
 */
export function pageOf<T, Cursor>(
  rows: readonly T[],
  limit: number,
  cursorOf: (last: T) => Cursor,
): { readonly shown: readonly T[]; readonly next: Cursor | null } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { shown, next: rows.length > limit && last !== undefined ? cursorOf(last) : null };
}
