import { parseDuration } from '../config/duration.js';
import { DaypassError } from '../errors.js';
import type { AccessOf } from './held-access.js';
import { askRemote } from './remote.js';

interface Asked {
  readonly requests: readonly { readonly id: string; readonly grant: { readonly id: string } | null }[];
}

/**
 * Moves the end of a grant, by the request that it came from.
 * @throws DaypassError `not_renewable`, and what the policy says
 */
export async function renew({ token, service, ...place }: AccessOf, grant: string, seconds: number, reason: string) {
  const query = new URLSearchParams({ mine: 'true', state: 'activated', service });
  const { requests } = await askRemote<Asked>(place, 'GET', `/api/v1/requests?${query}`, { token });
  const request = requests.find((one) => one.grant?.id === grant);
  if (request === undefined)
    throw new DaypassError(
      'not_renewable',
      'This access comes from no request of yours: whoever gave it can extend it.',
    );
  const path = `/api/v1/requests/${encodeURIComponent(request.id)}/renew`;
  await askRemote(place, 'POST', path, { token, body: { seconds, reason } });
}

/** What was typed: `r`, `r 10m`, `r 10m still at it`; what is missing is asked for. Null for anything else. */
export async function renewalAsked(
  line: string,
  ask: (question: string) => Promise<string>,
): Promise<{ seconds: number; reason: string } | null> {
  const [, length = '', words = ''] = /^\s*r(?:\s+(\S+)(?:\s+(.*\S))?)?\s*$/.exec(line) ?? [null];
  if (!/^\s*r(\s|$)/.test(line)) return null;
  const seconds = parseDuration(length || (await ask('By how long? (10m) ')) || '10m');
  if (seconds === undefined) throw new DaypassError('usage', 'A time is a whole number and a unit: 10m, 1h.');
  const reason = words || (await ask('Why? One sentence: '));
  if (reason === '') throw new DaypassError('usage', 'A renewal needs a reason.');
  return { seconds, reason };
}
