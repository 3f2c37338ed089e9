import { systemClock } from '../../clock.js';
import { errorOf } from '../../errors.js';
import { type Giver, Shares } from '../../gate/shares.js';
import type { ServiceMeter } from '../../service-meter.js';
import { LastHead } from '../last-head.js';
import { copied, type Kept } from '../memory/reading.js';
import type { ResponseHead } from './response-head.js';
import {
  type AnswerHandler,
  type Call,
  type ConnectionOwner,
  type Dial,
  UpstreamConnection,
  UpstreamTimeout,
} from './upstream-connection.js';
import { type Forward, isRepeatable, isSendable, UnsendableRequest } from './upstream-request.js';

/** How long an upstream may take, milliseconds. */
export interface UpstreamLimits {
  readonly connect: number;
  /** Until the head of its response. */
  readonly response: number;
}

/** How long a connection rests unless the service says how long it keeps it, milliseconds; many close after five seconds. */
const RESTS = 4_000;
/** The longest that a service is believed. */
const RESTS_AT_MOST = 600_000;
/** So much before the service closes a request would meet that on its way. */
const EARLIER = 2_000;

/** A request that was handed over. */
export interface Sent {
  /** Ends it; nothing is heard of it afterwards. */
  abort(): void;
  /** The client takes more of the body. */
  resume(): void;
  /** See `UpstreamConnection.keep`. */
  keep(bytes: Buffer): Kept;
  /** It was sent a second time, on another connection: the service may have it twice. */
  readonly isRepeated: boolean;
}

/** One request, and the connection it is on at the moment. */
class Sending implements Call, Sent {
  readonly forward: Forward;
  readonly handler: AnswerHandler;
  on: UpstreamConnection | null = null;
  isOver = false;
  isRepeated = false;

  constructor(forward: Forward, handler: AnswerHandler) {
    this.forward = forward;
    this.handler = handler;
  }

  abort(): void {
    this.isOver = true;
    this.on?.abandon(this);
  }

  resume(): void {
    this.on?.resume(this);
  }

  keep(bytes: Buffer): Kept {
    return this.on === null ? copied(bytes) : this.on.keep(bytes);
  }
}

const OVER = new Error('the session is over');
const NOTHING_SENT: Sent = { abort: () => {}, resume: () => {}, keep: copied, isRepeated: false };

/** The connections of one session to its service, each for one request at a time (A5). */
export class UpstreamPool implements ConnectionOwner, Giver {
  readonly lastHead = new LastHead<ResponseHead>();
  /** Rounds of the clock that were told by `look`. */
  now = 0;
  readonly #dialTo: Dial;
  readonly #meter: ServiceMeter;
  readonly #limits: UpstreamLimits;
  readonly #round: number;
  readonly #shares: Shares;
  readonly #connections = new Set<UpstreamConnection>();
  readonly #dialling = new WeakMap<UpstreamConnection, { readonly sending: Sending; readonly from: number }>();
  readonly #resting: UpstreamConnection[] = [];
  #chosen: { readonly connection: UpstreamConnection; readonly sending: Sending }[] = [];
  #tlsSession: Buffer | null = null;
  #isClosed = false;
  #isDestroyed = false;

  /**
   * @param round - how often `look` is called, milliseconds
   * @param shares - where its connections rest
   */
  constructor(dial: Dial, meter: ServiceMeter, limits: UpstreamLimits, round: number, shares = new Shares()) {
    this.#dialTo = dial;
    this.#meter = meter;
    this.#limits = limits;
    this.#round = round;
    this.#shares = shares;
  }

  /** Sends one request; everything that comes of it is told to `handler`. Never throws. */
  send(forward: Forward, handler: AnswerHandler): Sent {
    try {
      if (this.#isClosed) throw OVER;
      if (!isSendable(forward)) throw new UnsendableRequest('not a request');
      const sending = new Sending(forward, handler);
      const connection = this.#resting.pop();
      if (connection === undefined) this.#dial(sending);
      else this.#choose(connection, sending);
      return sending;
    } catch (thrown) {
      handler.onError(errorOf(thrown));
      return NOTHING_SENT;
    }
  }

  /** Nothing new is sent; what is under way finishes. */
  close(): void {
    this.#isClosed = true;
    this.#shares.leave(this);
    for (const connection of [...this.#resting])
      connection.destroy(new Error('the policy of the service is another one'));
  }

  /** Ends everything at once. */
  destroy(): void {
    this.#isClosed = true;
    this.#isDestroyed = true;
    this.#shares.leave(this);
    for (const connection of [...this.#connections]) connection.destroy(OVER);
  }

  /** Another round of the clock: ends what takes too long. @returns whether there is, or may be, something to look at */
  look(): boolean {
    this.now += 1;
    for (const connection of this.#resting) {
      if (this.now >= connection.restsUntil) connection.destroy(new Error('the connection has rested long enough'));
    }
    for (const connection of this.#connections) this.#hurry(connection);
    return !this.#isClosed || this.#connections.size > 0;
  }

  giveWay(): boolean {
    const connection = this.#resting.shift();
    if (connection === undefined) return false;
    this.#shares.wakes();
    connection.destroy(new Error('its place is needed'));
    return true;
  }

  opened(connection: UpstreamConnection): void {
    const dialled = this.#dialling.get(connection);
    this.#dialling.delete(connection);
    if (dialled === undefined) return connection.destroy(new Error('nobody needs it any more'));
    this.#meter.dialled(systemClock.monotonic() - dialled.from);
    connection.send(dialled.sending);
  }

  rested(connection: UpstreamConnection, keptFor: number | null): void {
    const rests = keptFor === null ? RESTS : Math.min(keptFor * 1_000 - EARLIER, RESTS_AT_MOST);
    if (rests <= 0 || this.#isClosed) return connection.destroy(new Error('the service does not keep connections'));
    connection.restsUntil = this.now + Math.floor(rests / this.#round);
    this.#resting.push(connection);
    this.#shares.rests(this);
  }

  closed(connection: UpstreamConnection, error: Error, call: Call | null, isAnswered: boolean): void {
    this.#connections.delete(connection);
    const at = this.#resting.indexOf(connection);
    if (at !== -1) {
      this.#resting.splice(at, 1);
      this.#shares.wakes();
    }
    const dialled = this.#dialling.get(connection);
    if (dialled !== undefined) {
      if (!dialled.sending.isOver) this.#meter.dialFailed();
      this.#failed(dialled.sending, error);
    }
    if (!(call instanceof Sending)) return;
    if (!isAnswered && connection.isUsed && this.#isYoung(connection) && this.#mayRepeat(call, error)) {
      call.isRepeated = true;
      this.#dial(call);
    } else this.#failed(call, error);
  }

  tlsSession(session: Buffer): void {
    this.#tlsSession = session;
  }

  /**
   * A service may close a resting connection just as a request is on its way to it: it is asked again, and anew. No more than once:
   * a new connection has not rested.
   */
  #mayRepeat({ forward }: Sending, error: Error): boolean {
    return !this.#isDestroyed && !(error instanceof UpstreamTimeout) && isRepeatable(forward);
  }

  /**
   * Whether what was sent may just have met the close. Later the service had it, and broke off; what is asked again then would
   * say who asks in words that are over (`Daypass-Assertion`).
   */
  #isYoung({ since }: UpstreamConnection): boolean {
    return (this.now - since) * this.#round <= this.#limits.connect;
  }

  #failed(sending: Sending, error: Error): void {
    if (sending.isOver) return;
    sending.isOver = true;
    sending.handler.onError(error);
  }

  #dial(sending: Sending): void {
    const connection = new UpstreamConnection(this, this.#dialTo, this.#tlsSession);
    sending.on = connection;
    this.#connections.add(connection);
    this.#dialling.set(connection, { sending, from: systemClock.monotonic() });
  }

  /**
   * A connection that rested is written to at the end of this turn of the event loop: by then it is known whether the
   * service has closed it, or sent what nobody asked for.
   */
  #choose(connection: UpstreamConnection, sending: Sending): void {
    sending.on = connection;
    this.#shares.wakes();
    this.#chosen.push({ connection, sending });
    if (this.#chosen.length === 1) setImmediate(() => this.#sendChosen());
  }

  #sendChosen(): void {
    const chosen = this.#chosen;
    this.#chosen = [];
    for (const { connection, sending } of chosen) {
      if (sending.isOver) continue;
      if (this.#isDestroyed) this.#failed(sending, OVER);
      else if (connection.isOpen) connection.send(sending);
      else this.#dial(sending);
    }
  }

  #hurry(connection: UpstreamConnection): void {
    const waitsFor = connection.waitsFor;
    if (waitsFor === null) return;
    const most = waitsFor === 'connection' ? this.#limits.connect : this.#limits.response;
    if ((this.now - connection.since) * this.#round < most + this.#round) return;
    const what = waitsFor === 'connection' ? 'no connection' : 'no answer';
    connection.destroy(new UpstreamTimeout(`${what} within ${most} ms`));
  }
}
