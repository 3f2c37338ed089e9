import { setTimeout as pause } from 'node:timers/promises';
import type { ClientRequest } from '../client/request.js';

/** How long a body may take to come, milliseconds. */
const BODY_WITHIN = 5_000;

/** A short body: `late` when it took too long, `gone` when its sender left before its end. */
export type ShortBody = { readonly text: string } | 'late' | 'gone';

/** Reads a body that is no longer than it may be; one whose head says that it is longer, or does not say, counts as empty. */
export async function shortBody(req: ClientRequest, longest: number): Promise<ShortBody> {
  return Promise.race([read(req, longest), pause(BODY_WITHIN, 'late' as const, { ref: false })]);
}

function read(req: ClientRequest, longest: number): Promise<ShortBody> {
  if (!(Number(req.header('content-length') ?? longest + 1) <= longest)) return Promise.resolve({ text: '' });
  const pieces: Buffer[] = [];
  return new Promise((resolve) => {
    req.receive({
      data: ({ bytes }) => pieces.push(bytes),
      end: () => resolve({ text: Buffer.concat(pieces).toString('utf8') }),
      fail: () => resolve('gone'),
    });
  });
}
