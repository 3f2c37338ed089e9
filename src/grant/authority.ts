import type { Clock } from '../clock.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { GrantChecker } from './checker.js';
import type { GrantClaims } from './claims.js';
import { newClaims, renewedClaims, replacedClaims } from './draft.js';
import { examineClock } from './examine.js';
import type { Grant, GrantCheck, GrantSource } from './grant.js';
import { formatHandle, mintId, mintSecret } from './handle.js';
import { type KeyRing, keyRing, type SigningKey } from './keys.js';
import type { GrantFilter, Ledger } from './ledger.js';
import {
  checkBeginning,
  checkIssue,
  checkRenewal,
  checkReplacement,
  checkText,
  checkUsable,
  type GrantLimits,
  type IssueRequest,
  type RenewRequest,
} from './limits.js';
import { mintToken } from './mint.js';
import { PendingRevocations } from './pending.js';
import { type Act, type GrantView, type LedgerRow, type RecordedAct, viewOf } from './record.js';
import { type Revoked, Revoker } from './revoker.js';
import { makeScramVerifier } from './scram.js';
import type { GrantStore } from './store.js';
import { TombstoneRetry } from './tombstones.js';
import { TokenVerifier } from './verifier.js';

export interface AuthorityParts {
  readonly store: GrantStore;
  readonly ledger: Ledger;
  readonly signingKey: SigningKey;
  /** The keys to trust; the signing key's alone when not given. */
  readonly keys?: KeyRing;
  /** The policy in force for a service: a function, so that a reload is seen. */
  readonly policyOf: (service: string) => GrantLimits | undefined;
  /** Where revocations wait for the ledger. */
  readonly dataDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** A new grant with the handle to give away: the only time the secret is seen. */
export interface Issued {
  readonly grant: Grant;
  readonly handle: string;
}

/** Issues, renews, replaces, suspends, revokes and checks grants: the ledger, the store and the signature together. */
export class GrantAuthority implements GrantSource {
  readonly #parts: AuthorityParts;
  readonly #verifier: TokenVerifier;
  readonly #tombstones: TombstoneRetry;
  readonly #revoker: Revoker;
  readonly #checker: GrantChecker;
  #changed: (id: string, revokedAt?: number) => void = () => {};
  #issued: () => void = () => {};

  private constructor(parts: AuthorityParts, pending: PendingRevocations) {
    this.#parts = parts;
    this.#verifier = new TokenVerifier(parts.keys ?? keyRing(parts.signingKey));
    this.#tombstones = new TombstoneRetry(parts.store, parts.log);
    const revoked = (id: string, at: number) => this.#changed(id, at);
    const shared = { ...parts, verifier: this.#verifier };
    this.#revoker = new Revoker({ ...shared, pending, tombstones: this.#tombstones, revoked });
    this.#checker = new GrantChecker({ ...shared, pending: this.#revoker });
  }

  /** @throws DaypassError `pending_revocations_corrupt`, or the file system's error for the data directory */
  static async open(parts: AuthorityParts): Promise<GrantAuthority> {
    return new GrantAuthority(parts, await PendingRevocations.open(parts.dataDirectory));
  }

  /** Who hears at once of what this gateway itself changes, and, where it was revoked, when (milliseconds since the epoch). */
  onChange(changed: (id: string, revokedAt?: number) => void): void {
    this.#changed = changed;
  }

  /** Who hears at once of what an operator issues here past all requests. */
  onIssue(issued: () => void): void {
    this.#issued = issued;
  }

  check(id: string): Promise<GrantCheck> {
    return this.#checker.check(id);
  }

  /**
   * Issues a grant: the ledger first, then the store. A grant the store did not take is marked revoked.
   * @throws DaypassError `unknown_service`, `unknown_role`, `unknown_rule`, `duration_exceeds_policy`, `invalid_request`,
   * `ledger_unavailable`, `store_unavailable`, `clock_differs`
   */
  async issue(request: IssueRequest): Promise<Issued> {
    const allowed = checkIssue(request, this.#parts.policyOf(request.service));
    const now = this.#parts.clock.wall();
    checkBeginning(request, allowed, now);
    const handle = await newHandle();
    const grant = await this.#sign(newClaims(request, allowed, handle, now));
    const { by, via, reason } = request;
    await this.#parts.ledger.insert(grant, { by, via, reason, at: now });
    await this.#publish(grant).catch(async (error: unknown) => {
      await this.#withdraw(handle.id, { by, via });
      throw error;
    });
    if (request.request === undefined) this.#issued();
    return { grant, handle: formatHandle(handle) };
  }

  /**
   * Moves a grant's end by `durationSeconds`; id and secret stay.
   * @throws DaypassError `unknown_grant`, `revoked`, `expired`, `suspended`, `renewals_exhausted`, `duration_exceeds_policy`,
   * `total_exceeds_policy`, `end_too_late`, `unknown_service`, `unknown_role`, `invalid_request`, `ledger_unavailable`, `clock_differs`;
   * `announce_failed` when the ledger has it and the store did not answer: it takes effect with the next check
   */
  async renew(id: string, request: RenewRequest): Promise<Grant> {
    await this.#revoker.drain();
    const { grant } = await this.#parts.ledger.renew(id, async (row) => {
      const now = this.#parts.clock.wall();
      const old = await this.#signed(row);
      checkRenewal(request, { ...old, ...this.#standing(row) }, this.#parts.policyOf(old.service), now);
      const act: Act = { by: request.by, via: request.via, reason: request.reason, at: now };
      return { grant: await this.#sign(renewedClaims(old, request.durationSeconds)), act };
    });
    await this.#publish(grant).catch(renewalUnheard);
    await this.#tell(id);
    return grant;
  }

  /**
   * Ends a grant and gives another in its place: the same claims, end and renewals under a new id and a new secret. For
   * whoever lost the handle.
   * @throws DaypassError `unknown_grant`, `revoked`, `expired`, `suspended`, `unknown_service`, `unknown_role`,
   * `invalid_request`, `ledger_unavailable`, `store_unavailable`, `clock_differs`; nothing has changed then
   */
  async replace(id: string, { by, via, reason }: Omit<Act, 'at'>): Promise<Issued> {
    await this.#revoker.drain();
    const handle = await newHandle();
    const { grant, act } = await this.#parts.ledger.replace(id, async (row) => {
      const now = this.#parts.clock.wall();
      const old = await this.#signed(row);
      checkReplacement({ by, reason }, { ...old, ...this.#standing(row) }, this.#parts.policyOf(old.service), now);
      const grant = await this.#sign(replacedClaims(old, handle, now));
      // Before the ledger has it nobody is let in with it: a store that does not take it leaves everything as it was.
      await this.#publish(grant);
      return { grant, act: { by, via, reason, at: now } };
    });
    await this.#revoker.buried(id, grant, act.at);
    return { grant, handle: formatHandle(handle) };
  }

  /**
   * Suspends a grant: nobody is let in with it and its sessions are cut, until it is resumed. One that is over or suspended
   * already stays as it is.
   * @throws DaypassError `unknown_grant`, `invalid_request`, `ledger_unavailable`; the grant is then not suspended
   */
  async suspend(id: string, act: Omit<Act, 'at'>): Promise<void> {
    const now = this.#parts.clock.wall();
    const isToSuspend = ({ revokedAt, suspendedAt, expiresAt }: LedgerRow) =>
      revokedAt === null && suspendedAt === null && now < expiresAt;
    await this.#suspension(id, 'suspend', { ...act, at: now }, isToSuspend);
  }

  /**
   * Takes a suspension back: the same handle works again until the grant's end. One that is not suspended stays as it is.
   * @throws DaypassError `unknown_grant`, `revoked`, `expired`, `invalid_request`, `ledger_unavailable`
   */
  async resume(id: string, act: Omit<Act, 'at'>): Promise<void> {
    const now = this.#parts.clock.wall();
    await this.#revoker.drain();
    await this.#suspension(id, 'resume', { ...act, at: now }, (row) => {
      checkUsable({ ...row, ...this.#standing(row), suspendedAt: null }, 'resumed', now);
      return row.suspendedAt !== null;
    });
  }

  /** @see Revoker.revoke */
  revoke(id: string, act: Omit<Act, 'at'>): Promise<Revoked> {
    return this.#revoker.revoke(id, act);
  }

  /** Brings queued revocations to the ledger. Admission does so by itself. */
  drainPending(): Promise<void> {
    return this.#revoker.drain();
  }

  /**
   * Puts every live grant of the ledger into the store: how the in-process store begins.
   * @returns how many
   * @throws DaypassError `ledger_unavailable`
   */
  async refill(): Promise<number> {
    await this.#revoker.drain();
    let count = 0;
    for (const row of await this.#parts.ledger.live(this.#parts.clock.wall())) {
      const grant = await this.#verifier.open(row.token);
      if (grant?.id !== row.id) this.#parts.log.error({ grant: row.id }, 'a grant in the ledger is not validly signed');
      else if ((await this.#parts.store.put(grant.id, grant.token, grant.expiresAt)) === 'stored') count += 1;
    }
    return count;
  }

  /** One grant with its history, without secrets. @throws DaypassError `unknown_grant`, `ledger_unavailable` */
  async show(id: string): Promise<GrantView & { readonly acts: readonly RecordedAct[] }> {
    const [row, acts] = await Promise.all([this.#parts.ledger.get(id), this.#parts.ledger.acts(id)]);
    if (row === null) throw new DaypassError('unknown_grant', `There is no grant ${JSON.stringify(id)}.`);
    return { ...this.#view(row), acts };
  }

  /** Grants without secrets, the newest first. @throws DaypassError `ledger_unavailable` */
  async list(filter: GrantFilter = {}): Promise<readonly GrantView[]> {
    const rows = await this.#parts.ledger.list(filter, this.#parts.clock.wall());
    return rows.map((row) => this.#view(row)).filter((view) => !filter.active || view.state !== 'revoked');
  }

  /** Stops what runs in the background. The store and the ledger are their owner's to close. */
  close(): void {
    this.#revoker.close();
    this.#tombstones.close();
  }

  async #suspension(
    id: string,
    name: 'suspend' | 'resume',
    act: Act,
    decide: (row: LedgerRow) => boolean,
  ): Promise<void> {
    checkText('name of who does it', act.by);
    checkText('reason', act.reason);
    if (await this.#parts.ledger.suspension(id, name, act, decide)) await this.#tell(id);
  }

  /** Tells this gateway's sessions, and the other gateways; whoever does not hear it asks the ledger within 2 s. */
  async #tell(id: string): Promise<void> {
    this.#changed(id);
    await this.#parts.store.announce(id).catch((error: unknown) => {
      const problem = { grant: id, error: messageOf(error) };
      this.#parts.log.warn(problem, 'a change of a grant was not announced; the ledger check will tell');
    });
  }

  /** What the ledger says of a grant that its token does not, with the revocations that wait for the ledger. */
  #standing({ id, revokedAt, suspendedAt }: LedgerRow): Pick<LedgerRow, 'revokedAt' | 'suspendedAt'> {
    return { revokedAt: this.#revoker.has(id) ? this.#parts.clock.wall() : revokedAt, suspendedAt };
  }

  #view(row: LedgerRow): GrantView {
    return viewOf(row, this.#parts.clock.wall(), row.revokedAt !== null || this.#revoker.has(row.id));
  }

  /** What the ledger's token itself says: whoever can write the ledger must not get a widened grant signed here. */
  async #signed(row: LedgerRow): Promise<Grant> {
    const grant = await this.#verifier.open(row.token);
    if (grant?.id === row.id) return grant;
    throw new DaypassError('grant_corrupt', `The ledger's token of grant ${row.id} is not validly signed.`);
  }

  /** Signs, and reads back what was signed: nothing leaves here that the gateways would refuse, and nothing by a clock that is not theirs. */
  async #sign(claims: GrantClaims): Promise<Grant> {
    await examineClock(this.#parts.store, this.#parts.clock).catch(unlessSilent);
    const grant = await this.#verifier.open(await mintToken(claims, this.#parts.signingKey));
    if (grant === null) throw new DaypassError('invalid_request', 'A grant with these values cannot be signed.');
    return grant;
  }

  async #publish(grant: Grant): Promise<void> {
    const put = await this.#parts.store.put(grant.id, grant.token, grant.expiresAt);
    if (put === 'stored') return;
    if (put === 'revoked') throw new DaypassError('revoked', 'The grant was revoked meanwhile.');
    throw new DaypassError('expired', 'By the clock of the grant store this grant has ended already.');
  }

  async #withdraw(id: string, who: Pick<Act, 'by' | 'via'>): Promise<void> {
    const act = { ...who, reason: 'withdrawn: the grant store did not take the grant', at: this.#parts.clock.wall() };
    await this.#parts.ledger.revoke(id, act).catch((error: unknown) => {
      // Its secret was given to nobody: the row is only untidy.
      this.#parts.log.error(
        { grant: id, error: messageOf(error) },
        'a grant that was never given away stays in the ledger',
      );
    });
  }
}

async function newHandle(): Promise<{ readonly id: string; readonly secret: string; readonly scram: string }> {
  const handle = { id: mintId(), secret: mintSecret() };
  return { ...handle, scram: await makeScramVerifier(formatHandle(handle)) };
}

/** A store that does not answer says so when it is written to. */
function unlessSilent(thrown: unknown): void {
  if (!(thrown instanceof DaypassError) || thrown.code === 'clock_differs') throw thrown;
}

function renewalUnheard(cause: unknown): never {
  if (cause instanceof DaypassError && (cause.code === 'revoked' || cause.code === 'expired')) throw cause;
  throw new DaypassError('announce_failed', 'The renewal is in the ledger, but the grant store did not answer.', {
    cause,
    hint: 'It takes effect as soon as the store answers, unless the former end has come by then: renew it again in that case.',
  });
}
