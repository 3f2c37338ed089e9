import type { Clock } from '../clock.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { Grant } from './grant.js';
import { isGrantId } from './handle.js';
import type { Ledger } from './ledger.js';
import { checkText, type GrantLimits, latestEnd } from './limits.js';
import type { PendingRevocation, PendingRevocations } from './pending.js';
import type { Act } from './record.js';
import type { GrantStore } from './store.js';
import type { TombstoneRetry } from './tombstones.js';
import type { TokenVerifier } from './verifier.js';

/** What became of a revocation. It holds on this gateway in every case. */
export interface Revoked {
  /** `queued`: the ledger did not answer; the revocation is on disk here and goes to the ledger as soon as it does. */
  readonly ledger: 'written' | 'queued';
  /** Whether the tombstone stands and the other gateways were told. */
  readonly announced: boolean;
}

export interface RevokerParts {
  readonly store: GrantStore;
  readonly ledger: Ledger;
  readonly verifier: TokenVerifier;
  readonly pending: PendingRevocations;
  readonly tombstones: TombstoneRetry;
  readonly policyOf: (service: string) => GrantLimits | undefined;
  /** Tells this gateway's own sessions at once. */
  readonly revoked: (id: string, at: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

const DRAIN_EVERY_MS = 2_000;

/** Revokes: the ledger first, then the tombstone and the feed. An outage of either delays the others and loses nothing. */
export class Revoker {
  readonly #parts: RevokerParts;
  #draining: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: RevokerParts) {
    this.#parts = parts;
    this.#arm();
  }

  /**
   * Revokes a grant, and what took its place: whoever names one of them means the access.
   * @throws DaypassError `unknown_grant`, `invalid_request`; `announce_failed` when the ledger has it and the store did
   * not answer (sessions end within the 2 s check; the tombstone is tried again in the background); `queue_failed` when
   * the ledger did not answer and it could not be kept on disk either
   */
  async revoke(id: string, { by, via, reason }: Omit<Act, 'at'>): Promise<Revoked> {
    checkText('revoker', by);
    checkText('reason', reason);
    if (!isGrantId(id)) throw unknown(id);
    const act: Act = { by, via, reason, at: this.#parts.clock.wall() };
    const row = await this.#parts.ledger.revoke(id, act).catch((error: unknown) => {
      this.#parts.log.error(
        { grant: id, error: messageOf(error) },
        'the ledger did not take a revocation; queueing it',
      );
      return 'unanswered' as const;
    });
    if (row === 'unanswered') return this.#queue(id, act);
    if (row === null) throw unknown(id);
    this.#parts.revoked(id, act.at);
    const later = row.successor === null ? null : await this.revoke(row.successor, { by, via, reason });
    const revoked = await this.#announce(id, latestEnd(this.#parts.policyOf(row.service), row.expiresAt, act.at));
    return later ?? revoked;
  }

  /**
   * A grant was revoked in the ledger, as another took its place: tells everyone. A tombstone that the store does not take is
   * tried again in the background; the ledger denies meanwhile.
   */
  async buried(id: string, { service, expiresAt }: Pick<Grant, 'service' | 'expiresAt'>, now: number): Promise<void> {
    this.#parts.revoked(id, now);
    await this.#announce(id, latestEnd(this.#parts.policyOf(service), expiresAt, now)).catch((error: unknown) => {
      this.#parts.log.warn(
        { grant: id, error: messageOf(error) },
        'the tombstone of a replaced grant waits for the store',
      );
    });
  }

  has(id: string): boolean {
    return this.#parts.pending.has(id);
  }

  /** Resolves once the ledger has every queued revocation. @throws DaypassError `ledger_unavailable` */
  async drain(): Promise<void> {
    if (this.#parts.pending.size === 0) return;
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
    await this.#draining;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #announce(id: string, until: number): Promise<Revoked> {
    try {
      await this.#parts.store.revoke(id, until);
      return { ledger: 'written', announced: true };
    } catch (cause) {
      this.#parts.tombstones.add(id, until);
      throw new DaypassError(
        'announce_failed',
        'The grant is revoked in the ledger, but the grant store did not answer.',
        {
          cause,
          hint: 'No new connection is admitted; live ones end within seconds. The gateway goes on telling the store.',
        },
      );
    }
  }

  async #queue(id: string, act: Act): Promise<Revoked> {
    const entry: PendingRevocation = { id, at: act.at, by: act.by, via: act.via, reason: act.reason };
    const kept = this.#parts.pending.add(entry); // denies from here on, before it is on disk
    this.#parts.revoked(id, act.at);
    this.#arm();
    const [disk, store] = await Promise.allSettled([kept, this.#tombstone(id, act.at)]);
    if (disk.status === 'rejected') {
      throw new DaypassError(
        'queue_failed',
        'The ledger did not answer, and the revocation could not be kept on disk.',
        {
          cause: disk.reason,
          hint: 'It holds on this gateway while it runs. Revoke the grant again as soon as the ledger answers.',
        },
      );
    }
    return { ledger: 'queued', announced: store.status === 'fulfilled' };
  }

  /** Without the ledger the store's own token says whose grant it is, and so how long the tombstone must stand. */
  async #tombstone(id: string, now: number): Promise<void> {
    const { store, verifier, policyOf, tombstones } = this.#parts;
    const token = await store.get(id).then(
      (stored) => stored.token,
      () => null,
    );
    const grant = token === null ? null : await verifier.open(token);
    const until = latestEnd(grant === null ? undefined : policyOf(grant.service), grant?.expiresAt, now);
    await store.revoke(id, until).catch((error: unknown) => {
      tombstones.add(id, until);
      throw error;
    });
  }

  async #drain(): Promise<void> {
    const { pending, ledger, log } = this.#parts;
    for (const entry of pending.entries()) {
      const { id, ...act } = entry;
      const row = await ledger.revoke(id, act);
      if (row === null) log.warn({ grant: id }, 'a queued revocation names a grant the ledger does not know');
      else if (row.successor !== null) await this.revoke(row.successor, act).catch(exceptUnannounced);
      await pending.remove(entry);
      log.info({ grant: id }, 'a queued revocation reached the ledger');
    }
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#closed || this.#parts.pending.size === 0) return;
    this.#timer = setTimeout(() => void this.#retry(), DRAIN_EVERY_MS).unref();
  }

  async #retry(): Promise<void> {
    await this.drain().catch((error: unknown) => {
      this.#parts.log.warn(
        { queued: this.#parts.pending.size, error: messageOf(error) },
        'revocations wait for the ledger',
      );
    });
    this.#timer = undefined;
    this.#arm();
  }
}

/** The ledger has it, and the store is told again in the background. */
function exceptUnannounced(thrown: unknown): void {
  if (!(thrown instanceof DaypassError && thrown.code === 'announce_failed')) throw thrown;
}

function unknown(id: string): DaypassError {
  return new DaypassError('unknown_grant', `There is no grant ${JSON.stringify(id)}.`);
}
