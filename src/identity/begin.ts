import { unheld } from './unheld.js';

/**
 * The one statement that makes a login, whoever vouches for it. What the browser was logged in with before ends, and so do
 * the person's oldest logins beyond the most there may be. Nobody whose account is closed, or at its end, gets in; a login
 * lasts no longer than the account. The account's row is locked, so that a login and its closing are never blind to each
 * other. `ended` names whose logins ended for it.
 *
 * `$1` the time, `$2` hash of the new login, `$3` its end, `$4` hash of the browser's login before, `$5` how many others stay,
 * `$6` source, `$7` who did it (null: the person), `$8` why, `$9` `$10` `$11` what the directory calls it; the rest is `who`'s.
 * @param who - a query for the one principal who logs in; a statement that gives nobody changes nothing
 * @param account - `needed`: only people log in so; `optional`: operators give links to whom they will
 */
export function beginStatement(who: string, account: 'needed' | 'optional'): string {
  return `with who as (${who}),
    account as (
      select closed_at, ends_at from people where subject = (select principal from who) for share
    ), entering as (
      select who.principal, least($3, account.ends_at) as expires_at
      from who ${account === 'needed' ? 'join' : 'left join'} account on true
      where account.closed_at is null and (account.ends_at is null or account.ends_at > $1)
    ), old as (
      update logins set ended_at = $1 where hash = $4 and ended_at is null and exists (select from entering)
      returning principal, hash
    ), beyond as (
      select hash from logins
      where principal = (select principal from entering) and hash not in (select hash from old)
        and ended_at is null and expires_at > $1
      order by created_at desc, hash offset $5
    ), oldest as (
      update logins set ended_at = $1 where hash in (${unheld('logins')}) returning principal
    ), act as (
      insert into login_acts (principal, act, at, by, reason)
      select principal, 'login', $1, coalesce($7, principal), $8 from entering
      where set_config('daypass.via', 'browser', true) is not null
      union all select principal, 'logout', $1, principal, 'the oldest of too many logins' from oldest
    )
    insert into logins (hash, principal, created_at, expires_at, source, issuer, id_token_sub, sid)
    select $2, principal, $1, expires_at, $6, $9, $10, $11 from entering returning principal, expires_at,
      array(select principal from old union select principal from oldest) as ended`;
}
