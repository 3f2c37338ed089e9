/** Every dollar sign with the tag that begins there, if one does: two tags may share a dollar sign. */
const TAG = /\$(?=((?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)?)/g;

/**
 * Finds the ends of dollar quotes in one text, asked from left to right. The places of each tag are listed once, so that
 * thousands of quotes that never end do not search the rest of the text each.
 * @returns a function: where the closing `quote` begins at or after `at` and ends by `limit`; -1 for nowhere
 */
export function dollarQuotes(text: string): (at: number, quote: string, limit: number) => number {
  let places: Map<string, Places> | undefined;
  return (at, quote, limit) => {
    places ??= placesIn(text);
    const of = places.get(quote);
    if (of === undefined) return -1;
    while ((of.at[of.next] ?? Infinity) < at) of.next += 1;
    const close = of.at[of.next] ?? Infinity;
    return close + quote.length <= limit ? close : -1;
  };
}

interface Places {
  readonly at: number[];
  /** The first that may still be asked for. */
  next: number;
}

function placesIn(text: string): Map<string, Places> {
  const places = new Map<string, Places>();
  for (const { index, 1: tag } of text.matchAll(TAG)) {
    if (tag === undefined) continue;
    const of = places.get(`$${tag}`);
    if (of) of.at.push(index);
    else places.set(`$${tag}`, { at: [index], next: 0 });
  }
  return places;
}
