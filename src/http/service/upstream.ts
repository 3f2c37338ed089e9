import { connect, type OnReadOpts, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { Admission } from '../../gate/admission.js';
import { Shares } from '../../gate/shares.js';
import { lookupOnce as lookup } from '../../lookup.js';
import type { Session } from '../../session/session.js';
import { PAGE_BYTES } from '../memory/pages.js';
import { reachedAt } from './reached.js';
import { type HttpUpstream, upstreamOf } from './target.js';
import type { AnswerHandler, Dialled } from './upstream-connection.js';
import { type Sent, type UpstreamLimits, UpstreamPool } from './upstream-pool.js';
import type { Forward } from './upstream-request.js';

const UPSTREAM_LIMITS: UpstreamLimits = { connect: 5_000, response: 60_000 };

/** How often it is looked whether something takes too long, milliseconds: four times within the shorter of its limits. */
const [OFTEN, SELDOM] = [10, 500];

interface Serving {
  readonly upstream: HttpUpstream;
  readonly pool: UpstreamPool;
}

/**
 * The connections to HTTP services: one pool for each admitted session, so that no socket and no TLS session is ever shared
 * between two grants (A5). A pool lives and ends with its session.
 */
export class Upstreams {
  readonly #limits: UpstreamLimits;
  readonly #shares: Shares;
  readonly #dialled = new Map<Session, Serving>();
  /** Those of `#dialled`, and such as finish what they have begun. */
  readonly #pools = new Set<UpstreamPool>();
  readonly #round: number;
  #rounds: NodeJS.Timeout | null = null;

  constructor(limits: UpstreamLimits = UPSTREAM_LIMITS, shares = new Shares()) {
    this.#limits = limits;
    this.#shares = shares;
    this.#round = Math.max(OFTEN, Math.min(SELDOM, limits.connect / 4, limits.response / 4));
  }

  /** What holds for this service: its policy may say how long it takes to answer. */
  limitsOf({ answersWithin }: HttpUpstream): UpstreamLimits {
    return answersWithin === undefined ? this.#limits : { ...this.#limits, response: answersWithin };
  }

  /** Sends one request; everything that comes of it is told to `handler`. Never throws. */
  dispatch(admission: Admission, forward: Forward, handler: AnswerHandler): Sent {
    return this.#of(admission).send(forward, handler);
  }

  /** A connection that its user has given up, and that may take its time to end. */
  left(connection: Duplex): void {
    if (connection.destroyed) return;
    let isLeft = true;
    const giveWay = () => {
      if (!isLeft) return false;
      isLeft = false;
      this.#shares.leave(giver);
      this.#shares.wakes();
      connection.destroy();
      return true;
    };
    const giver = { giveWay };
    connection.once('close', giveWay);
    this.#shares.rests(giver);
  }

  /** Ends everything at once. */
  close(): void {
    this.#dialled.clear();
    for (const pool of this.#pools) pool.destroy();
  }

  #of(admission: Admission): UpstreamPool {
    const { session } = admission;
    const upstream = upstreamOf(admission);
    const existing = this.#dialled.get(session);
    if (existing?.upstream === upstream) return existing.pool;
    // A reloaded policy may show the service another certificate, or give it more time: what is under way finishes as it began.
    existing?.pool.close();
    const limits = this.limitsOf(upstream);
    const pool = new UpstreamPool(wayTo(admission), session.meter, limits, this.#round, this.#shares);
    this.#dialled.set(session, { upstream, pool });
    this.#pools.add(pool);
    this.#rounds ??= setInterval(() => this.#look(), this.#round).unref();
    if (existing === undefined) session.whenEnded(() => this.#drop(session));
    return pool;
  }

  #drop(session: Session): void {
    const dialled = this.#dialled.get(session);
    this.#dialled.delete(session);
    dialled?.pool.destroy();
  }

  #look(): void {
    for (const pool of this.#pools) if (!pool.look()) this.#pools.delete(pool);
    if (this.#pools.size > 0 || this.#rounds === null) return;
    clearInterval(this.#rounds);
    this.#rounds = null;
  }
}

/**
 * Opens a connection to a service.
 * @param reading - what it reads into, and who hears of that; null where its stream is read
 * @param session - what TLS is resumed with, of its very owner
 */
type Way = (reading: OnReadOpts | null, session: Buffer | null) => Dialled;

/** Of a service of which nothing is heard for so long the system asks whether it is still there, milliseconds. */
const KEEP_ALIVE_PROBES = 60_000;

function probed(socket: Socket): Socket {
  return socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_PROBES);
}

/** The way to the service of an admitted session. Its certificate is verified, whatever else is configured. */
export function wayTo(admission: Admission): Way {
  const { url, tls } = upstreamOf(admission);
  const { host, port, isSecure, servername } = reachedAt(url);
  if (!isSecure) {
    return (onread) => {
      const buffered = onread === null ? {} : { onread, highWaterMark: PAGE_BYTES };
      return { socket: probed(connect({ host, port, lookup, ...buffered })), ready: 'connect' };
    };
  }
  const secured = { ...tls, servername, rejectUnauthorized: true, ALPNProtocols: ['http/1.1'] };
  return (onread, session) => {
    const read = onread === null ? {} : { onread };
    const resumed = session === null ? {} : { session };
    return {
      socket: probed(connectTls({ host, port, lookup, ...secured, ...read, ...resumed })),
      ready: 'secureConnect',
    };
  };
}
