import { z } from 'zod';
import type { KeyRing } from '../grant/keys.js';
import { readJson } from '../json.js';
import type { AuditLine } from './entry.js';
import { type Head, openHead } from './head.js';
import { AuditCheck, type AuditVerified } from './verify.js';

const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform((text) => Buffer.from(text, 'hex'));
const lineSchema = z.strictObject({ seq: z.int(), entry: z.string(), hash_before: hash, hash_after: hash });
const headSchema = z.strictObject({ head: z.string() });

/** A line of an export. The entry is a string in it: what is hashed are its bytes, and no reader of JSON changes them. */
export function exportLine({ seq, entry, hashBefore, hashAfter }: AuditLine): string {
  const [hash_before, hash_after] = [hashBefore.toString('hex'), hashAfter.toString('hex')];
  return `${JSON.stringify({ seq, entry, hash_before, hash_after })}\n`;
}

/** Reads a line of an export; null for what is none, its head among them. */
export function readExportLine(text: string): AuditLine | null {
  const line = lineSchema.safeParse(readJson(text)).data;
  if (line === undefined) return null;
  return { seq: line.seq, entry: line.entry, hashBefore: line.hash_before, hashAfter: line.hash_after };
}

/** The last line of an export. */
export function exportHead(head: string): string {
  return `${JSON.stringify({ head })}\n`;
}

/**
 * Verifies an export without the gateway: the chain, and that it ends where the signed head behind it says.
 * @param lines - the export's lines, without line breaks
 * @param keys - the gateway's public keys (`readKeySet`)
 * @param noted - a head noted earlier, as it was given
 */
export async function verifyExport(
  lines: AsyncIterable<string> | Iterable<string>,
  keys: KeyRing,
  noted?: string,
): Promise<AuditVerified> {
  const earlier = noted === undefined ? null : await openHead(noted, keys);
  const check = new AuditCheck(earlier === null ? [] : [earlier]);
  if (noted !== undefined && earlier === null)
    check.find(0, 'head_forged', 'the noted head is not signed by these keys');
  let [read, last]: [number, { token: string; at: number } | null] = [0, null];
  for await (const text of lines) {
    if (text === '') continue;
    read += 1;
    const head = headSchema.safeParse(readJson(text)).data?.head;
    const line = readExportLine(text);
    if (head !== undefined) last = { token: head, at: read };
    else if (line === null) check.find(0, 'unreadable', `line ${read} of the file is none of an export`);
    else check.line(line);
  }
  await holdToHead(check, last?.at === read ? last.token : null, keys);
  return check.end();
}

async function holdToHead(check: AuditCheck, token: string | null, keys: KeyRing): Promise<void> {
  const { last } = check;
  if (token === null)
    return check.find(last.seq, 'no_head', 'the export does not end with a signed head: it is not whole');
  const head: Head | null = await openHead(token, keys);
  if (head === null) check.find(last.seq, 'head_forged', 'the head of the export is not signed by these keys');
  else if (head.seq > last.seq)
    check.find(
      last.seq + 1,
      'truncated',
      `the export ends with line ${last.seq}; its head was signed at line ${head.seq}`,
    );
  else if (head.seq < last.seq || head.hash.toString('hex') !== last.hash)
    check.find(last.seq, 'rewritten', 'the export does not end with the line its head was signed for');
}
