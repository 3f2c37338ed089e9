import type { IncomingMessage } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** How long a body may take to come, milliseconds. */
const BODY_WITHIN = 5_000;

/** A short body: `late` when it took too long, `gone` when its sender left before its end. */
export type ShortBody = { readonly text: string } | 'late' | 'gone';

/** Reads a body that is no longer than it may be; one whose head says that it is longer, or does not say, counts as empty. */
export async function shortBody(req: IncomingMessage, longest: number): Promise<ShortBody> {
  return Promise.race([read(req, longest), pause(BODY_WITHIN, 'late' as const, { ref: false })]);
}

async function read(req: IncomingMessage, longest: number): Promise<ShortBody> {
  if (!(Number(req.headers['content-length'] ?? longest + 1) <= longest)) return { text: '' };
  try {
    const pieces: Buffer[] = [];
    for await (const piece of req) pieces.push(Buffer.from(piece));
    return { text: Buffer.concat(pieces).toString('utf8') };
  } catch {
    return 'gone';
  }
}
