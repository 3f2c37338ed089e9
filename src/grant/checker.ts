import type { Clock } from '../clock.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { Batch } from './batch.js';
import type { GrantCheck, GrantSource } from './grant.js';
import { isGrantId } from './handle.js';
import { type Answers, type Denied, denied, judgeAnswers, revoked, suspended, type Verdict } from './judge.js';
import type { Ledger } from './ledger.js';
import type { LedgerRow } from './record.js';
import type { GrantStore, StoredGrant } from './store.js';
import type { TokenVerifier } from './verifier.js';
import { within } from './within.js';

const ANSWER_LIMIT_MS = 450;
const CHECK_LIMIT_MS = 480;

/** The revocations that wait for the ledger: they deny at once and reach the ledger before anyone is admitted. */
export interface PendingGate {
  has(id: string): boolean;
  drain(): Promise<void>;
}

/** Asks the store and the ledger about a grant and verifies its token. */
export class GrantChecker implements GrantSource {
  readonly #parts: CheckerParts;
  readonly #rows: Batch<LedgerRow>;

  constructor(parts: CheckerParts) {
    this.#parts = parts;
    this.#rows = new Batch((ids) => parts.ledger.getAll(ids, ANSWER_LIMIT_MS));
  }

  async check(id: string): Promise<GrantCheck> {
    if (!isGrantId(id)) return { ok: false, reason: 'malformed', message: 'This is not a grant id.' };
    if (this.#parts.pending.has(id)) return REVOKED;
    try {
      const checked = await within(CHECK_LIMIT_MS, this.#ask(id), late);
      // It may have been revoked while the answers were on their way.
      return this.#parts.pending.has(id) ? REVOKED : checked;
    } catch (error) {
      this.#parts.log.warn({ grant: id, error: messageOf(error) }, 'a grant could not be checked');
      return {
        ok: false,
        reason: 'store_unavailable',
        message: 'Grants cannot be checked at the moment; try again shortly.',
      };
    }
  }

  async #ask(id: string): Promise<GrantCheck> {
    await this.#parts.pending.drain();
    const first = await this.#verdict(id);
    // A renewal between the two answers makes them differ for a moment: ask once more.
    const verdict = first.kind === 'differ' ? await this.#verdict(id) : first;
    const settled = verdict.kind === 'differ' ? await this.#settle(id, verdict) : verdict;
    if (settled.kind === 'denied') return this.#named(id, settled);
    const checked = await this.#parts.verifier.verify(settled.token, { id }, this.#parts.clock.wall());
    if (checked.ok && checked.grant.expiresAt !== settled.expiresAt) return disagree(id, this.#parts.log).check;
    return checked;
  }

  /** The denial with the grant that it is about, if its token is validly signed. */
  async #named(id: string, { check, token }: Denied): Promise<GrantCheck> {
    const grant = token === undefined ? null : await this.#parts.verifier.open(token);
    return grant?.id === id ? { ...check, grant } : check;
  }

  async #verdict(id: string): Promise<Verdict> {
    const { clock, store } = this.#parts;
    const asked = clock.wall();
    const [stored, row] = await Promise.allSettled([
      within(ANSWER_LIMIT_MS, store.get(id), late),
      within(ANSWER_LIMIT_MS, this.#rows.get(id), late),
    ]);
    // Either side's no is a no, also while the other is down: a revocation must not wait for an outage to end.
    if (saysRevoked(stored, row)) return revoked(row.status === 'fulfilled' ? row.value : null);
    if (stored.status === 'rejected' && row.status === 'fulfilled' && isSuspended(row.value))
      return suspended(row.value);
    if (stored.status === 'rejected') throw stored.reason;
    if (row.status === 'rejected') throw row.reason;
    const answers: Answers = { stored: stored.value, row: row.value, asked, answered: clock.wall() };
    return judgeAnswers(answers);
  }

  /**
   * The ledger holds a later renewal than the store, both validly signed: a gateway died between writing the two. The
   * ledger decides; the store takes its token unless a tombstone stands. Any other difference is a denial.
   */
  async #settle(id: string, tokens: { stored: string; ledger: string }): Promise<Exclude<Verdict, { kind: 'differ' }>> {
    const { store, verifier, log } = this.#parts;
    const [stored, written] = await Promise.all([verifier.open(tokens.stored), verifier.open(tokens.ledger)]);
    const renewed = stored?.id === id && written?.id === id && written.renewals > stored.renewals;
    if (!renewed) return disagree(id, log);
    const put = await store.put(id, written.token, written.expiresAt);
    if (put !== 'stored') return put === 'revoked' ? denied('revoked', 'The grant was revoked.') : disagree(id, log);
    return { kind: 'agreed', token: written.token, expiresAt: written.expiresAt };
  }
}

export interface CheckerParts {
  readonly store: GrantStore;
  readonly ledger: Ledger;
  readonly verifier: TokenVerifier;
  readonly pending: PendingGate;
  readonly clock: Clock;
  readonly log: Log;
}

function saysRevoked(stored: PromiseSettledResult<StoredGrant>, row: PromiseSettledResult<LedgerRow | null>): boolean {
  if (stored.status === 'fulfilled' && stored.value.revoked) return true;
  return row.status === 'fulfilled' && row.value !== null && row.value.revokedAt !== null;
}

function isSuspended(row: LedgerRow | null): row is LedgerRow {
  return row !== null && row.suspendedAt !== null;
}

const REVOKED: GrantCheck = { ok: false, reason: 'revoked', message: 'The grant was revoked.' };

function disagree(id: string, log: Log) {
  log.error({ grant: id }, 'the store and the ledger hold different tokens for this grant');
  return denied('store_unavailable', 'The records of this grant do not agree; if that stays so, ask for a renewal.');
}

function late(): DaypassError {
  return new DaypassError('store_unavailable', 'no answer in time');
}
