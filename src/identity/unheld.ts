/**
 * A query for those of the rows `beyond`, the oldest of too many, that nobody else is about to change: whoever holds one is ending
 * it. Several tabs or tools of a person that come at once find the same ones, each in an order of its own; waiting, they would
 * deadlock and all be refused.
 * @param table - what `beyond` has hashes of
 */
export function unheld(table: 'logins' | 'browser_sessions' | 'tokens'): string {
  return `select hash from ${table}
    where hash in (select hash from beyond) and ended_at is null for no key update skip locked`;
}
