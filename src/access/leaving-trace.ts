import { DaypassError } from '../errors.js';
import type { OffboardingParts } from './leaving-parts.js';

/** Requests are of people with an account. */
const TRACE = `
  select exists (select from people where subject = $1) or exists (select from grants where $1 in (principal, sponsor))
    or exists (select from logins where principal = $1) or exists (select from login_links where principal = $1)
    or exists (select from login_acts where principal = $1) as known`;

/**
 * What is wrong with offboarding a name under which there never was an account, a grant, a request or a login: most likely it is
 * misspelt, and whoever leaves keeps what they have. Null for any other, and while the ledger is silent.
 */
export async function unknownFault(
  { pool, liveHere }: Pick<OffboardingParts, 'pool' | 'liveHere'>,
  subject: string,
): Promise<DaypassError | null> {
  if (liveHere(subject).length > 0) return null;
  const known = await pool.query<{ known: boolean }>(TRACE, [subject]).then(
    ({ rows }) => rows[0]?.known === true,
    () => true,
  );
  if (known) return null;
  const message = `Nobody is known as ${JSON.stringify(subject)}: no account, grant, request or login has this name.`;
  return new DaypassError('unknown_person', message, { hint: 'daypass people list and grant list have the names.' });
}
