import { buildConnector, type Dispatcher, errors, Pool } from 'undici';
import { systemClock } from '../clock.js';
import type { Admission } from '../gate/admission.js';
import type { ServiceMeter } from '../metrics.js';
import type { Session } from '../session/session.js';
import type { RequestBody } from './body.js';
import { type HttpUpstream, upstreamOf } from './target.js';

/** What is sent to a service. `path` is the decided path with its query; both consist of legal characters only. */
export interface Forward {
  readonly method: string;
  readonly path: string;
  /** Flat: name, value, name, value. */
  readonly headers: readonly string[];
  readonly body: RequestBody | null;
}

/** How long an upstream may take, milliseconds. */
export interface UpstreamLimits {
  readonly connect: number;
  /** Until the head of its response. */
  readonly response: number;
}

export const UPSTREAM_LIMITS: UpstreamLimits = { connect: 5_000, response: 60_000 };

interface Dialled {
  readonly session: Session;
  readonly upstream: HttpUpstream;
  pool: Pool;
}

/**
 * The connections to HTTP services: one pool for each admitted session, so that no socket and no TLS session is ever shared
 * between two grants (A5). A pool lives and ends with its session.
 */
export class Upstreams {
  readonly limits: UpstreamLimits;
  readonly #dialled = new Map<Session, Dialled>();

  constructor(limits: UpstreamLimits = UPSTREAM_LIMITS) {
    this.limits = limits;
  }

  get size(): number {
    return this.#dialled.size;
  }

  /** Sends one request; everything that comes of it is told to `handler`. Never throws. */
  dispatch(admission: Admission, forward: Forward, handler: Dispatcher.DispatchHandler): void {
    const dialled = this.#of(admission);
    const { url } = dialled.upstream;
    try {
      dialled.pool.dispatch(
        {
          method: forward.method,
          path: `${url.basePath}${forward.path}`,
          headers: forward.headers as string[], // undici reads them only
          body: forward.body,
        },
        this.#watched(dialled, handler),
      );
    } catch (thrown) {
      handler.onResponseError?.(DEAD, thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }

  /** Ends everything at once. */
  close(): void {
    for (const session of this.#dialled.keys()) this.#drop(session);
  }

  #of(admission: Admission): Dialled {
    const { session } = admission;
    const upstream = upstreamOf(admission);
    const existing = this.#dialled.get(session);
    if (existing?.upstream === upstream) return existing;
    if (existing === undefined) session.whenEnded(() => this.#drop(session));
    // A reloaded policy may name another address: what is under way there finishes, nothing new goes there.
    else void existing.pool.close().catch(() => {});
    const dialled = { session, upstream, pool: this.#open(upstream, session) };
    this.#dialled.set(session, dialled);
    return dialled;
  }

  #open({ url, tls }: HttpUpstream, { meter }: Session): Pool {
    return new Pool(url.origin, {
      pipelining: 1,
      headersTimeout: this.limits.response,
      bodyTimeout: 0, // an event stream may be silent for hours; the lease ends it
      connect: metered(
        buildConnector({ ...tls, timeout: this.limits.connect, rejectUnauthorized: true, allowH2: false }),
        meter,
      ),
      allowH2: false,
    });
  }

  #drop(session: Session): void {
    const dialled = this.#dialled.get(session);
    this.#dialled.delete(session);
    void dialled?.pool.destroy().catch(() => {});
  }

  /**
   * A request that undici itself refuses leaves one client of its pool draining for ever, and when all do, every request
   * hangs. Requests are validated before; should one slip through, the pool is replaced.
   */
  #watched(dialled: Dialled, handler: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
    const { pool } = dialled;
    return {
      onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
      onResponseStart: (controller, status, headers, text) =>
        handler.onResponseStart?.(controller, status, headers, text),
      onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => {
        if (isRefusedByUs(error) && dialled.pool === pool) {
          dialled.pool = this.#open(dialled.upstream, dialled.session);
          void pool.close().catch(() => {});
        }
        handler.onResponseError?.(controller, error);
      },
    };
  }
}

/** Counts connections that are made, and those that fail. */
function metered(dial: buildConnector.connector, meter: ServiceMeter): buildConnector.connector {
  return (options, done) => {
    const from = systemClock.monotonic();
    dial(options, (...answer) => {
      if (answer[0] === null) meter.dialled(systemClock.monotonic() - from);
      else meter.dialFailed();
      done(...answer);
    });
  };
}

const DEAD: Dispatcher.DispatchController = {
  aborted: true,
  paused: false,
  reason: null,
  abort: () => {},
  pause: () => {},
  resume: () => {},
};

function isRefusedByUs(error: Error): boolean {
  return error instanceof errors.InvalidArgumentError || error instanceof errors.NotSupportedError;
}

/** Whether an upstream was too slow rather than broken. */
export function isTimeout(error: Error): boolean {
  return error instanceof errors.ConnectTimeoutError || error instanceof errors.HeadersTimeoutError;
}
