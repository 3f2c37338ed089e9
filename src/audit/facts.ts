import { z } from 'zod';
import { readJson } from '../json.js';
import type { AuditFacts } from './entry.js';

const factsSchema = z.strictObject({
  seq: z.int(),
  at: z.string(),
  actor: z.string(),
  via: z.string(),
  act: z.string(),
  target: z.string(),
  reason: z.string().nullable(),
  result: z.string(),
  detail: z.record(z.string(), z.unknown()).nullable(),
});

/** Reads an entry; null for anything that is none. */
export function factsOf(entry: string): AuditFacts | null {
  return factsSchema.safeParse(readJson(entry)).data ?? null;
}
