import { setTimeout as pause } from 'node:timers/promises';
import type { ClientRequest } from '../client/request.js';
import { type Answer, refuse } from './refusals.js';

/** How long a body may take to come, milliseconds. */
const BODY_WITHIN = 5_000;

/** A short body, or what to answer where it did not come: nothing to whoever left, who is not refused. */
export type ShortBody = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly answer: Answer };

/** Reads a body that is no longer than it may be; one whose head says that it is longer, or does not say, counts as empty. */
export async function shortBody(req: ClientRequest, longest: number): Promise<ShortBody> {
  const late = pause(BODY_WITHIN, null, { ref: false }).then(
    (): ShortBody => ({ ok: false, answer: refuse.tooSlow() }),
  );
  return Promise.race([read(req, longest), late]);
}

function read(req: ClientRequest, longest: number): Promise<ShortBody> {
  if (!(Number(req.header('content-length') ?? longest + 1) <= longest)) return Promise.resolve({ ok: true, text: '' });
  const pieces: Buffer[] = [];
  return new Promise((resolve) => {
    req.receive({
      data: ({ bytes }) => pieces.push(bytes),
      end: () => resolve({ ok: true, text: Buffer.concat(pieces).toString('utf8') }),
      fail: () => resolve({ ok: false, answer: null }),
    });
  });
}

/** A field of a form or a query; one that is there more than once says nothing. */
export function fieldOf(form: URLSearchParams, name: string): string {
  const [value = '', ...more] = form.getAll(name);
  return more.length === 0 ? value : '';
}
