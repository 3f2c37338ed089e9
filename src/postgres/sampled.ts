import type { Json } from '../recording/event.js';

/** How much of a result the record keeps at most, bytes of the server's messages. */
export const MOST_SAMPLED = 64 * 1024;
/** A longer row is not kept. */
export const LONGEST_ROW = 16 * 1024;

const PRINTABLE = /^[^\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]*$/;

/** The values of a DataRow: text as text, anything else as `\x` and hex, SQL's null as null. */
export function readRow(frame: Buffer): readonly Json[] {
  const values: Json[] = [];
  const count = frame.length >= 7 ? frame.readInt16BE(5) : 0;
  let at = 7;
  for (let i = 0; i < count && at + 4 <= frame.length; i += 1) {
    const length = frame.readInt32BE(at);
    at += 4;
    if (length < 0) values.push(null);
    else values.push(shown(frame.subarray(at, at + length)));
    at += Math.max(0, length);
  }
  return values;
}

/** The column names of a RowDescription. */
export function readColumns(frame: Buffer): readonly string[] {
  const names: string[] = [];
  const count = frame.length >= 7 ? frame.readInt16BE(5) : 0;
  let at = 7;
  for (let i = 0; i < count; i += 1) {
    const end = frame.indexOf(0, at);
    if (end === -1) break;
    names.push(frame.toString('utf8', at, end));
    at = end + 19; // table, column, type, its length, its modifier, format
  }
  return names;
}

function shown(value: Buffer): string {
  const text = value.toString('utf8');
  return PRINTABLE.test(text) ? text : `\\x${value.toString('hex')}`;
}
