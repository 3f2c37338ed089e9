import { type Clock, iso } from '../clock.js';
import type { ServicePolicy } from '../config/protocol.js';
import { samePlace, sameUpstream } from '../config/same-upstream.js';
import { type SoughtSecret, soughtAfter } from '../config/secret.js';
import type { Grant } from '../grant/grant.js';
import { type Lease, leaseOf } from '../grant/lease.js';
import type { Log } from '../log.js';
import type { CutReason, EndReason } from '../policy/reason.js';
import type { Facts } from '../recording/event.js';
import type { SessionLog } from '../recording/log.js';
import type { ServiceMeter } from '../service-meter.js';
import type { Connection } from './connection.js';
import { Connections } from './connections.js';
import type { Deadlines, Due } from './deadlines.js';
import { letWritesGo } from './held-writes.js';
import { Sightings } from './sightings.js';
import { attempt } from './steps.js';
import { type Lasting, ToClients } from './to-clients.js';
import { Unsaid } from './unsaid.js';
import { Warnings } from './warnings.js';
import { wordCut } from './words.js';

/** A turn of the event loop takes less, milliseconds. */
const LONGEST_TURN = 100;

/** How a session's end stands in its record. */
export interface End {
  readonly reason: EndReason;
  readonly dueAt: number | null;
  readonly cutAt: number | null;
}

/** What a session needs of the process around it. */
export interface SessionParts {
  readonly id: string;
  readonly grant: Grant;
  /** The browser session it was opened by; empty for whoever holds the handle. */
  readonly holder: string;
  readonly policy: ServicePolicy;
  readonly recording: SessionLog;
  readonly meter: ServiceMeter;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly log: Log;
  /** Called once when the session has ended. */
  readonly ended: (session: Session) => void;
}

/**
 * One admitted session and its lease: the hold on its grant that a deadline ends, renewal moves and revocation cuts. It owns
 * the ordered cut, so that every protocol ends the same way.
 */
export class Session implements Due, Lasting {
  readonly id: string;
  readonly holder: string;
  readonly recording: SessionLog;
  readonly meter: ServiceMeter;
  /** Hears what the service says: whoever gives it to a client tells it of the bytes. */
  readonly sightings: Sightings;
  readonly toClients = new ToClients(this);
  /** What is recorded of its actions and their results goes through here. */
  unsaid: Unsaid;
  expiresAt = 0;
  dueMonotonic = 0;
  key = 0;
  place = -1;
  /** Set once the session is over; nothing passes from then on. */
  end: End | null = null;
  /** The role's compiled rules under the policy in force, as far as the grant has them; null when the role is gone (the session is then cut). */
  role: unknown;
  policy: ServicePolicy;
  grant: Grant;
  readonly #parts: SessionParts;
  readonly #connections: Connections;
  readonly #warnings: Warnings;
  readonly #whenEnded: (() => void)[] = [];
  /** The secrets of its policy, and those that were replaced while it lived: what is connected since before that was sent them. */
  #sought: readonly SoughtSecret[];
  #expires = { at: Number.NaN, text: '' };
  /** What it is cut with when its deadline comes. */
  #ends: Lease['end'] = 'expired';

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#connections = new Connections(parts.log);
    this.#warnings = new Warnings(parts.deadlines, parts.clock, (seconds) => this.#warn(seconds));
    this.id = parts.id;
    this.grant = parts.grant;
    this.holder = parts.holder;
    this.policy = parts.policy;
    this.role = parts.policy.roleFor(parts.grant.role, parts.grant.only);
    this.recording = parts.recording;
    this.meter = parts.meter;
    this.#sought = parts.policy.secrets;
    this.unsaid = Unsaid.of(this.#sought);
    this.sightings = new Sightings(this.#sought, {
      seen: (name) => this.#sighted(name),
      encoded: () => this.#note({ about: 'encoded_body' }),
    });
    this.recording.onStall = () => this.cut('recorder_stalled');
    this.#arm();
  }

  /** `expiresAt` in ISO 8601. */
  get expires(): string {
    if (this.#expires.at !== this.expiresAt) {
      this.#expires = { at: this.expiresAt, text: iso(this.expiresAt) };
    }
    return this.#expires.text;
  }

  /** The deadline has come (called by `Deadlines`). */
  expire(): (() => void) | undefined {
    return this.#sever(this.#ends, this.expiresAt) ? () => this.#conclude() : undefined;
  }

  /**
   * Whether something may still pass. Asked before every write: after a pause of the process the timer is late, this is not.
   * Cuts the session when its deadline has come, or when the pause was so long that its grant may have been revoked.
   */
  isLive(): boolean {
    if (this.end !== null) return false;
    if (!this.isOver) return true;
    if (this.#parts.deadlines.isOver(this)) this.cut(this.#ends, this.expiresAt);
    else this.cut('stale');
    return false;
  }

  /** Whether its deadline has come, or its grant is not known any more. */
  get isOver(): boolean {
    return !this.#parts.deadlines.mayPass(this);
  }

  /** Whether what may pass now still may at the end of this turn of the event loop. */
  get lastsTurn(): boolean {
    return this.end === null && this.#parts.deadlines.mayPass(this, LONGEST_TURN);
  }

  /** Calls `done` once when the session has ended: what was kept for it is let go. At once when it has ended already. */
  whenEnded(done: () => void): void {
    if (this.end === null) this.#whenEnded.push(done);
    else done();
  }

  /** How many client connections or exchanges are under way. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Whether no client is connected to it in any way. */
  get isAlone(): boolean {
    return this.#connections.isAlone;
  }

  /** Adds a connection to be cut with the session; the answer takes it out again. A session that is over severs it at once. */
  attach(connection: Connection): () => void {
    return this.end === null ? this.#connections.attach(connection) : this.#connections.refuse(connection);
  }

  /**
   * Has a connection cut with the session though nothing of it is under way any more: it is not closed, and what was written
   * to it may still wait. It does not count as one; of too many the next is severed at once.
   * @returns what takes it out again
   */
  linger(connection: Connection): () => void {
    return this.end === null ? this.#connections.linger(connection) : this.#connections.forsake(connection);
  }

  /** The grant was renewed (or re-read): the deadline of the open session moves. */
  renew(grant: Grant): void {
    // An answer asked for before the renewal and arriving after it must not take the renewal back.
    if (this.end !== null || grant.renewals < this.grant.renewals || grant.expiresAt === this.grant.expiresAt) return;
    this.grant = grant;
    this.#arm();
    this.recording.append(
      'renewed',
      { expiresAt: iso(grant.expiresAt), renewals: grant.renewals },
      { token: grant.token },
    );
    const closing = this.#ends === 'hours_over' ? `; its hours end at ${iso(this.expiresAt)}` : '';
    this.#connections.warn(`Daypass: your access was extended until ${iso(grant.expiresAt)}${closing}`);
  }

  /** The deadline: the grant's end, or the end of its hours when that comes first. */
  #arm(): void {
    const { until, end } = leaseOf(this.grant, this.#parts.clock.wall());
    this.#ends = end;
    this.#parts.deadlines.move(this, until);
    this.#warnings.plan(until);
  }

  /** The service's policy was reloaded: from here on every action is judged by it. Undefined: the service is gone. */
  repolicy(policy: ServicePolicy | undefined): void {
    if (this.end !== null || policy === this.policy) return;
    const role = policy?.roleFor(this.grant.role, this.grant.only);
    if (policy === undefined || role === undefined || policy.protocol !== this.policy.protocol)
      return this.cut('policy_gone');
    const isSameText = policy.version === this.policy.version;
    // What is connected already keeps its account and its address: a change of either ends it. Of a secret that was only replaced,
    // under the same text, it keeps the former one: what is sent from here on has the new one, and all of them are looked for.
    const isSame = isSameText ? samePlace : sameUpstream;
    if (!isSame(this.policy, policy) || !isSame(this.role, role)) return this.cut('policy_gone');
    // A record is kept as it was begun: what is allowed before that is safe would be no more.
    if (policy.recording.mode === 'strict' && this.recording.row.mode !== 'strict') return this.cut('policy_gone');
    this.#adopt(policy, role);
    if (isSameText) return;
    this.recording.append('policy', { policy: policy.version });
    this.#connections.policyChanged();
  }

  #adopt(policy: ServicePolicy, role: unknown): void {
    this.policy = policy;
    this.role = role;
    this.#sought = soughtAfter(this.#sought, policy.secrets);
    this.sightings.replace(this.#sought);
    this.unsaid = Unsaid.of(this.#sought);
  }

  /**
   * Ends the session now, in this order: upstream severed, farewell, client ended and destroyed when it does not flush,
   * receipt. Each step is caught, so that none can keep the next from happening.
   * @param dueAt - when the end was due, milliseconds since the epoch; now when not given
   */
  cut(reason: CutReason, dueAt?: number): void {
    if (this.#sever(reason, dueAt)) this.#conclude();
  }

  /** Everything of a cut but its receipt. @returns whether there was something to cut */
  #sever(reason: CutReason, dueAt?: number): boolean {
    if (this.end !== null) return false;
    letWritesGo(); // what was given before the end
    if (this.end !== null) return false;
    const now = this.#parts.clock.wall();
    this.end = { reason, dueAt: dueAt ?? now, cutAt: now };
    const until = reason === this.#ends ? this.expiresAt : null;
    this.#connections.cut(wordCut(reason, this.grant, until, now));
    return true;
  }

  /** The session came to its end by itself: the client left, the upstream closed, it idled. */
  finish(reason: Exclude<EndReason, CutReason>): void {
    if (this.end !== null) return;
    this.end = { reason, dueAt: null, cutAt: null };
    this.#connections.forsakeLingering();
    this.#conclude();
  }

  #conclude(): void {
    const end = this.end!;
    this.#parts.deadlines.remove(this);
    this.#warnings.cancel();
    this.#connections.clear();
    for (const done of this.#whenEnded) attempt(this.#parts.log, done);
    this.recording.close({
      ...end,
      endedAt: this.#parts.clock.wall(),
      bytesAfterDue: this.toClients.bytesAfterDue,
    });
    this.#parts.log.info(
      {
        session: this.id,
        grant: this.grant.id,
        service: this.policy.name,
        principal: this.grant.principal,
        reason: end.reason,
        due_at: iso(end.dueAt),
        cut_at: iso(end.cutAt),
        late_ms: end.dueAt === null || end.cutAt === null ? undefined : end.cutAt - end.dueAt,
        bytes_after_due: this.toClients.bytesAfterDue,
      },
      'session ended',
    );
    this.#parts.ended(this);
  }

  /** @returns whether there is anybody to be warned again */
  #warn(seconds: number): boolean {
    if (!this.isLive()) return false;
    const what = this.#ends === 'hours_over' ? 'the hours of your access end' : 'your access ends';
    this.#connections.warn(`Daypass: ${what} in ${seconds} s, at ${iso(this.expiresAt)}`);
    this.recording.append('notice', { about: 'expiry', left: seconds });
    return true;
  }

  /** The service gave away what the gateway logs in with. It is the service's own answer: the session goes on. */
  #sighted(secret: string): void {
    this.meter.secretSeen();
    const { id, grant, policy } = this;
    const of = { session: id, grant: grant.id, principal: grant.principal, service: policy.name };
    this.#parts.log.warn({ ...of, secret }, 'the service sent a secret that is injected towards it');
    this.#note({ about: 'secret_seen', secret });
  }

  #note(facts: Facts): void {
    if (this.recording.receipt === null) this.recording.append('notice', facts);
  }
}
