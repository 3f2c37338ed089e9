/** A text as somebody reads it, and where each of its characters stands in the record. */
export interface Reading {
  readonly text: string;
  /** How often escapes were undone. */
  readonly level: number;
  /** Where the character at `index` begins in the text that is recorded. */
  at(index: number): number;
}

/** JSON within a JSON string within a JSON string; a URL in a parameter of a URL. */
const DEEPEST = 4;
const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(["'\\/bfnrt]))|%([0-7][0-9a-fA-F])/g;
const NAMED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/**
 * The readings of a text: as it is, and with the escapes of JSON and of URLs undone again and again. Whoever gets JSON within
 * JSON, or a URL within a URL, reads what stands there so; a credential is looked for in each.
 */
export function* readingsOf(text: string): Generator<Reading> {
  let reading: Reading = { text, level: 0, at: (index) => index };
  yield reading;
  while (reading.level < DEEPEST && /[\\%]/.test(reading.text)) {
    const next = undone(reading);
    if (next === null) return;
    reading = next;
    yield reading;
  }
}

/** The reading with one layer of escapes undone; null when there are none. */
function undone(outer: Reading): Reading | null {
  const { text } = outer;
  // Runs of characters that follow one another in both: where they begin here, and there.
  const here: number[] = [0];
  const there: number[] = [0];
  let plain = '';
  let from = 0;
  ESCAPE.lastIndex = 0;
  for (let found = ESCAPE.exec(text); found !== null; found = ESCAPE.exec(text)) {
    plain += text.slice(from, found.index);
    here.push(plain.length);
    there.push(found.index);
    plain += characterOf(found);
    from = ESCAPE.lastIndex;
    here.push(plain.length);
    there.push(from);
  }
  if (from === 0) return null;
  plain += text.slice(from);
  const at = (index: number) => {
    const run = lastUpTo(here, index);
    return outer.at(there[run]! + index - here[run]!);
  };
  return { text: plain, level: outer.level + 1, at };
}

function characterOf([, unit, named, octet]: RegExpExecArray): string {
  if (named !== undefined) return NAMED[named] ?? named;
  return String.fromCharCode(Number.parseInt(unit ?? octet ?? '0', 16));
}

/** The place of the last number that is not above `index`; the first is 0. */
function lastUpTo(sorted: readonly number[], index: number): number {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (sorted[middle]! <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}
