import type { Clock } from '../clock.js';
import type { GrantCheck, GrantWatcher } from '../grant/grant.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import type { CutReason } from '../policy/reason.js';
import { Deadlines } from '../session/deadlines.js';
import { Registry } from '../session/registry.js';
import type { Session } from '../session/session.js';
import type { Policies } from './policies.js';
import { SharedAdmissions } from './shared-admissions.js';

export interface LiveParts {
  /** Never throws. */
  readonly check: (id: string) => Promise<GrantCheck>;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The sessions that are live at this gateway, which hear here of changes of their grants, of policies and of logins. */
export class LiveSessions implements GrantWatcher {
  readonly deadlines: Deadlines;
  readonly registry = new Registry();
  readonly shared = new SharedAdmissions();
  readonly #parts: LiveParts;

  constructor(parts: LiveParts) {
    this.#parts = parts;
    this.deadlines = new Deadlines(parts.clock);
  }

  /** One of them has ended. */
  ended(session: Session): void {
    const { end, meter } = session;
    meter.ended(end?.reason ?? '');
    if (end?.reason === 'expired' || end?.reason === 'hours_over')
      this.#parts.metrics.cutLate(Math.max(0, (end.cutAt ?? 0) - (end.dueAt ?? 0)));
    this.registry.remove(session);
    this.shared.remove(session);
  }

  /** The browser sessions that they were opened by. */
  holders(): string[] {
    const held = this.registry.all().map(({ holder }) => holder);
    return [...new Set(held)].filter((holder) => holder !== '');
  }

  /** Cuts what these browser sessions opened. */
  endHolders(holders: ReadonlySet<string>, reason: CutReason): void {
    for (const session of this.registry.all()) if (holders.has(session.holder)) session.cut(reason);
  }

  /** Cuts all of them. */
  cutAll(reason: CutReason): void {
    for (const session of this.registry.all()) session.cut(reason);
  }

  /** The policies were replaced: they are judged by the new ones from here on. */
  policiesChanged(): void {
    for (const session of this.registry.all()) session.repolicy(this.#parts.policies.get(session.policy.name));
  }

  heldIds(): string[] {
    return this.registry.heldIds();
  }

  recheck(id: string): void {
    this.registry.touch(id);
    if (this.registry.ofGrant(id).length === 0) return;
    const heardAt = this.#parts.clock.wall();
    void this.#parts.check(id).then((check) => this.#apply(id, check, heardAt));
  }

  over(id: string, reason: 'revoked' | 'suspended', revokedAt?: number): void {
    this.registry.touch(id);
    const said = { ok: false, reason, message: '' } as const;
    this.#apply(id, revokedAt === undefined ? said : { ...said, revokedAt }, this.#parts.clock.wall());
  }

  /** Said again until it is so: a check that was not answered in time would otherwise lose a renewal. */
  stands(id: string, expiresAt: number): void {
    const sessions = this.registry.ofGrant(id);
    if (sessions.length === 0 || sessions.some(({ grant }) => grant.expiresAt !== expiresAt)) this.recheck(id);
  }

  known(until: number): void {
    this.deadlines.knownUntil = until;
  }

  stale(): void {
    this.cutAll('stale');
  }

  tick(): void {
    this.deadlines.serve();
    this.shared.endIdle(this.#parts.clock.monotonic());
  }

  #apply(id: string, check: GrantCheck, heardAt: number): void {
    for (const session of this.registry.ofGrant(id)) {
      if (check.ok) session.renew(check.grant);
      else if (check.reason === 'suspended' || check.reason === 'unknown_grant') session.cut(check.reason);
      else if (check.reason === 'revoked') {
        session.cut('revoked');
        this.#parts.metrics.cutAfterRevocation(this.#parts.clock.wall() - (check.revokedAt ?? heardAt));
      } else if (check.reason === 'expired' || check.reason === 'outside_hours') session.isLive();
      else this.#parts.log.warn({ grant: id, reason: check.reason }, 'a live grant could not be read again');
    }
  }
}
