import { compactVerify } from 'jose';
import type { z } from 'zod';
import { readJson } from '../json.js';
import { ALGORITHM } from './claims.js';
import type { KeyRing } from './keys.js';

/** RFC 7515, section 3.1. Decoders forgive blanks and line ends; what is signed has one text here. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** A part of a token, read; null for what is not as it must be. Proves nothing. */
export function readPart<Schema extends z.ZodType>(schema: Schema, part: string | undefined): z.infer<Schema> | null {
  return schema.safeParse(readJson(Buffer.from(part ?? '', 'base64url').toString('utf8'))).data ?? null;
}

/**
 * What was signed, of a compact JWS (RFC 7515). Keys come from the ring alone, and the algorithm is ours (RFC 8725).
 * @param header - what its header must be: its type, so that nothing is taken for something else, and the key's id
 * @returns null for anything that no key of the ring signed, or that is not as it must be
 */
export async function openSigned<Claims extends z.ZodType>(
  token: string,
  keys: KeyRing,
  header: z.ZodType<{ kid: string }>,
  claims: Claims,
): Promise<z.infer<Claims> | null> {
  const parts = COMPACT.test(token) ? token.split('.') : [];
  const head = readPart(header, parts[0]);
  const key = head === null ? undefined : keys.get(head.kid);
  if (key === undefined) return null;
  try {
    await compactVerify(token, key, { algorithms: [ALGORITHM] });
  } catch {
    return null;
  }
  return readPart(claims, parts[1]);
}
