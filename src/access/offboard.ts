import { appendAudit } from '../audit/append.js';
import { DaypassError, messageOf } from '../errors.js';
import { checkPrincipal, checkText } from '../grant/limits.js';
import type { Actor } from '../identity/actor.js';
import { refused } from './audit.js';
import { endGrants, type GrantsEnded } from './leaving-grants.js';
import { type NeedsHand, readNeedsHand } from './leaving-hand.js';
import type { OffboardingParts, Why } from './leaving-parts.js';
import { type Ended, mergeEnded, NOTHING } from './leaving-report.js';
import { endRequests } from './leaving-requests.js';
import { openSessions, sessionsStillOpen } from './leaving-sessions.js';
import { unknownFault } from './leaving-trace.js';
import { resumeOf, suspendSponsored } from './sponsors.js';

/** One step, in the order they were made. */
export interface Step {
  readonly step: 'account' | 'grants' | 'requests' | 'logins' | 'sponsored' | 'sessions' | 'report';
  readonly ok: boolean;
  /** What went wrong; the steps after it were made all the same. */
  readonly code?: string;
  readonly message?: string;
}

export interface Offboarded {
  readonly subject: string;
  /** Whether every step was made. If not, do it again. */
  readonly complete: boolean;
  readonly steps: readonly Step[];
  /** What ended, this time and before. */
  readonly ended: Ended;
  /** `queued`: some revocations hold here and wait for the ledger. */
  readonly ledger: 'written' | 'queued';
  /** What is left to people; null when the ledger did not say. */
  readonly hand: NeedsHand | null;
}

const CONFIRM_WITHIN = 6_000;

/** Ends all access of somebody who leaves. */
export class Offboarding {
  readonly #parts: OffboardingParts;

  constructor(parts: OffboardingParts) {
    this.#parts = parts;
  }

  /**
   * Ends everything somebody has, access first: a step that fails is told and keeps none of the others. Doing it again ends
   * what was left, tells the same and changes nothing else. Works for a principal without an account too.
   * @throws DaypassError `not_allowed` unless an operator acts, `invalid_request`, `unknown_person`
   */
  async offboard(actor: Actor, subject: string, reason: string): Promise<Offboarded> {
    checkPrincipal(subject);
    checkText('reason', reason);
    checkText('actor', actor.subject);
    const line = { actor: actor.subject, via: actor.via, act: 'offboard', target: `person:${subject}`, reason };
    if (!actor.duties.has('operator')) {
      const fault = new DaypassError('not_allowed', 'Only operators may offboard somebody.');
      return refused(this.#parts.pool, line, fault);
    }
    const unknown = await unknownFault(this.#parts, subject);
    if (unknown !== null) return refused(this.#parts.pool, line, unknown);
    const run = new Run(this.#parts, actor, subject, reason);
    const offboarded = await run.all();
    this.#parts.log.info({ subject, by: actor.subject, complete: offboarded.complete }, 'somebody was offboarded');
    return offboarded;
  }

  /**
   * Somebody's account was closed by itself: the grants of the contractors they answer for wait for another sponsor. To be
   * called once that is committed, and again after a fault.
   * @returns the ids of the grants that were suspended
   * @throws what went wrong first; the others were suspended all the same
   */
  async sponsorLeft(subject: string, act: Why): Promise<readonly string[]> {
    const { suspended, fault } = await suspendSponsored(this.#parts, subject, act);
    if (fault !== null) throw fault;
    return suspended;
  }

  /**
   * A contractor has another sponsor: the grants that were suspended because the last one left work again. Those that are
   * over, or suspended for another reason, stay so. To be called once the new sponsor is committed.
   * @returns the ids of the grants that were resumed
   */
  sponsorChanged(subject: string, act: Why): Promise<readonly string[]> {
    return resumeOf(this.#parts, subject, act);
  }
}

/** One offboarding under way. */
class Run {
  readonly #parts: OffboardingParts;
  readonly #actor: Actor;
  readonly #subject: string;
  readonly #reason: string;
  readonly #steps: Step[] = [];
  #ended: Ended = NOTHING;
  #queued = false;

  constructor(parts: OffboardingParts, actor: Actor, subject: string, reason: string) {
    this.#parts = parts;
    this.#actor = actor;
    this.#subject = subject;
    this.#reason = reason;
  }

  async all(): Promise<Offboarded> {
    const subject = this.#subject;
    // What is live before anything ends, to be told as ended when it has.
    const live = await openSessions(this.#parts.pool, subject).catch(() => []);
    // Closed first: whoever issues or activates a grant from here on finds the account closed, and what came before is listed.
    await this.#step('account', () => this.#account());
    await this.#step('grants', () => this.#grants());
    await this.#step('requests', () => this.#requests());
    await this.#step('logins', () => this.#logins());
    await this.#step('sponsored', () => this.#sponsored());
    await this.#step('sessions', () => this.#sessions(live));
    const hand = await readNeedsHand(this.#parts, subject, this.#parts.clock.wall()).catch((thrown) => {
      this.#failed('report', thrown);
      return null;
    });
    await this.#step('report', () => this.#write());
    const complete = this.#steps.every(({ ok }) => ok);
    const ledger = this.#queued ? 'queued' : 'written';
    return { subject, complete, steps: this.#steps, ended: this.#ended, ledger, hand };
  }

  get #why(): Why {
    const { subject: by, via } = this.#actor;
    return { by, via, reason: this.#reason };
  }

  async #account(): Promise<void> {
    const { rows } = await this.#parts.pool.query('select from people where subject = $1', [this.#subject]);
    if (rows.length === 0) return;
    this.#add({ counts: await this.#parts.closeAccount(this.#actor, this.#subject, this.#reason) });
  }

  async #grants(): Promise<void> {
    const ended: GrantsEnded = await endGrants(this.#parts, this.#subject, this.#why);
    if (ended.queued.length > 0) this.#queued = true;
    this.#add({ grants: ended.revoked });
    if (ended.fault !== null) throw ended.fault;
  }

  /** A request may have become a grant while the grants were ended: they are looked at once more. */
  async #requests(): Promise<void> {
    this.#add({ requests: await endRequests(this.#parts, this.#actor, this.#subject, this.#reason) });
    await this.#grants();
  }

  async #logins(): Promise<void> {
    this.#add({ counts: { logins: await this.#parts.logOut(this.#subject, this.#why) } });
  }

  async #sponsored(): Promise<void> {
    const { suspended, fault } = await suspendSponsored(this.#parts, this.#subject, this.#why);
    this.#add({ suspended: [...suspended] });
    if (fault !== null) throw fault;
  }

  async #sessions(before: readonly string[]): Promise<void> {
    const within = this.#parts.confirmWithin ?? CONFIRM_WITHIN;
    const open = new Set(await sessionsStillOpen(this.#parts.pool, this.#subject, within));
    this.#add({ sessions: before.filter((id) => !open.has(id)) });
  }

  /** Keeps what ended, for whoever asks again, and writes the act down. */
  async #write(): Promise<void> {
    const { pool, clock } = this.#parts;
    const [subject, by, reason] = [this.#subject, this.#actor.subject, this.#reason];
    this.#ended = await mergeEnded(pool, { subject, by, reason, at: clock.wall() }, this.#ended);
    const result = this.#steps.every(({ ok }) => ok) ? 'done' : 'failed';
    const { grants, requests, sessions, suspended, counts } = this.#ended;
    const sizes = { grants: grants.length, requests: requests.length, sessions: sessions.length };
    const detail = { ...counts, ...sizes, suspended: suspended.length };
    const who = { actor: by, via: this.#actor.via, reason };
    await appendAudit(pool, { ...who, act: 'offboard', target: `person:${subject}`, result, detail });
  }

  async #step(step: Step['step'], work: () => Promise<void>): Promise<void> {
    try {
      await work();
      if (!this.#steps.some((one) => one.step === step)) this.#steps.push({ step, ok: true });
    } catch (thrown) {
      this.#failed(step, thrown);
    }
  }

  #failed(step: Step['step'], thrown: unknown): void {
    const code = thrown instanceof DaypassError ? thrown.code : 'failed';
    this.#steps.push({ step, ok: false, code, message: messageOf(thrown) });
    this.#parts.log.error({ step, subject: this.#subject, err: messageOf(thrown) }, 'a step of an offboarding failed');
  }

  #add(more: Partial<Ended>): void {
    const { grants, requests, sessions, suspended, counts } = this.#ended;
    this.#ended = {
      grants: [...grants, ...(more.grants ?? [])],
      requests: [...requests, ...(more.requests ?? [])],
      sessions: [...sessions, ...(more.sessions ?? [])],
      suspended: [...suspended, ...(more.suspended ?? [])],
      counts: summed(counts, more.counts ?? {}),
    };
  }
}

function summed(one: Readonly<Record<string, number>>, other: Readonly<Record<string, number>>) {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])].sort();
  return Object.fromEntries(names.map((name) => [name, (one[name] ?? 0) + (other[name] ?? 0)]));
}
