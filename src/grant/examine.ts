import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import { MAX_SKEW_MS, skewOf } from './judge.js';
import type { KeyRing, SigningKey } from './keys.js';
import type { Ledger } from './ledger.js';
import type { GrantStore } from './store.js';
import { keyIdOf } from './verify.js';

/**
 * Compares this machine's clock with the grant store's: before anything is served, and before a grant is signed. Otherwise a difference makes the
 * gateway unready only: a clock that is set right again is then noticed by itself.
 * @throws DaypassError `clock_differs`; `store_unavailable`
 */
export async function examineClock(store: Pick<GrantStore, 'ping'>, clock: Clock): Promise<void> {
  const asked = clock.wall();
  const skew = skewOf(await store.ping(), asked, clock.wall());
  if (Math.abs(skew) <= MAX_SKEW_MS) return;
  const how = `${(Math.abs(skew) / 1_000).toFixed(1)} s ${skew > 0 ? 'ahead of' : 'behind'}`;
  throw new DaypassError('clock_differs', `The clock of this machine is ${how} that of Redis; 2 s are allowed.`, {
    hint: 'Look at the time synchronisation of both machines.',
  });
}

/**
 * Looks whether this gateway believes the key of the others: the grant that was issued last says with which it was signed.
 * A gateway with another one would refuse every grant, and the others every grant of its own.
 * A token without a legible header says nothing here; whoever presents its grant is refused.
 * @throws DaypassError `signing_key_differs`; `ledger_unavailable`
 */
export async function examineKey(
  ledger: Pick<Ledger, 'newestToken'>,
  key: SigningKey,
  believed: KeyRing,
  now: number,
): Promise<void> {
  const token = await ledger.newestToken(now);
  const kid = token === null ? null : keyIdOf(token);
  if (kid === null || believed.has(kid)) return;
  const keys = `${key.kid.slice(0, 8)}… here, ${kid.slice(0, 8)}… there`;
  throw new DaypassError('signing_key_differs', `The signing key is not the one of the live grants (${keys}).`, {
    hint: 'Give every gateway the same key, or name the other under verification_keys; see "Keys" in docs/operating.md.',
  });
}
