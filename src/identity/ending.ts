import type pg from 'pg';
import type { Door } from '../grant/record.js';
import { ask } from './ask.js';

/** Who ends something, why and when (milliseconds since the epoch). */
export interface Ending {
  readonly by: string;
  /** The door by which they came. */
  readonly via: Door;
  readonly reason: string;
  readonly at: number;
}

/** How many of each were there. */
export interface Ended {
  readonly invitations: number;
  readonly passkeys: number;
  readonly logins: number;
  readonly tokens: number;
}

/**
 * Ends everything somebody could log in with, or is logged in with. The caller holds the account's row, so that no login and no
 * registration is under way: each locks it too.
 */
export async function endAccess(
  client: pg.PoolClient,
  subject: string,
  { by, via, reason, at }: Ending,
): Promise<Ended> {
  const now = new Date(at);
  const invitations = await takeInvitationsBack(client, subject, at);
  const count = async (text: string) => (await ask(client, `${text} returning 1 as one`, [subject, now])).length;
  const passkeys = await count('update passkeys set ended_at = $2 where subject = $1 and ended_at is null');
  await count('update login_links set used_at = $2 where principal = $1 and used_at is null');
  const logins = await count(
    'update logins set ended_at = $2 where principal = $1 and ended_at is null and expires_at > $2',
  );
  const tokens = await count(
    'update tokens set ended_at = $2 where principal = $1 and ended_at is null and expires_at > $2',
  );
  if (logins > 0) {
    const act = `insert into login_acts (principal, act, at, by, reason)
      select $1, 'logout', $2, $3, $4 where set_config('daypass.via', $5, true) is not null`;
    await ask(client, act, [subject, now, by, reason, via]);
  }
  return { invitations, passkeys, logins, tokens };
}

/** Takes back invitations that were not used. @returns how many could still have been */
export async function takeInvitationsBack(client: pg.PoolClient, subject: string, at: number): Promise<number> {
  const text = `update invitations set used_at = $2 where subject = $1 and used_at is null returning expires_at > $2 as open`;
  const rows = await ask(client, text, [subject, new Date(at)]);
  return rows.filter(({ open }) => open === true).length;
}
