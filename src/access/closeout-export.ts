import { readExportLine, verifyExport } from '../audit/export.js';
import type { KeyRing } from '../grant/keys.js';
import { type CloseOutFinding, finding } from './closeout-finding.js';
import type { CloseOutRecord } from './closeout-record.js';

/**
 * Holds the lines of a record to an export of the whole audit log, which is verified itself: its chain, and that it ends with a
 * signed head.
 * @param lines - the export's, without line breaks
 * @param keys - the gateway's public keys
 */
export async function exportFindings(
  { audit }: CloseOutRecord,
  lines: AsyncIterable<string> | Iterable<string>,
  keys: KeyRing,
): Promise<CloseOutFinding[]> {
  const ends = audit.head === null ? [] : [audit.head];
  const due = new Map([...audit.lines, ...ends].map(({ seq, hash }) => [seq, hash]));
  const found = new Map<number, string>();
  const { findings, last } = await verifyExport(noting(lines, due, found), keys);
  const differing = [...due].filter(([seq, hash]) => found.get(seq) !== hash);
  return [
    ...findings.map(({ message }) => finding('export_differs', `The export of the audit log: ${message}.`)),
    ...differing.map(([seq]) => finding('export_differs', differenceOf(seq, found, last.seq))),
  ];
}

/** An export that is older than the record lacks what was written since: no forgery, and no proof of anything either. */
function differenceOf(seq: number, found: ReadonlyMap<number, string>, last: number): string {
  if (found.has(seq)) return `Line ${seq} of the audit log is another one in the export.`;
  if (seq <= last) return `Line ${seq} of the audit log is not in the export.`;
  return `Line ${seq} of the audit log is not in the export, which ends with line ${last}: take one that is newer than the record.`;
}

/** Passes the lines on, and notes the hashes of those that are due. */
async function* noting(
  lines: AsyncIterable<string> | Iterable<string>,
  due: ReadonlyMap<number, string>,
  found: Map<number, string>,
): AsyncGenerator<string> {
  for await (const text of lines) {
    const line = readExportLine(text);
    if (line !== null && due.has(line.seq)) found.set(line.seq, line.hashAfter.toString('hex'));
    yield text;
  }
}
