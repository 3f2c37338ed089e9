import type { HealthCheck } from './api/health.js';
import { type GrantWatch, isApart } from './grant/watch.js';
import type { Readings } from './metrics.js';
import type { Presence } from './recording/gateways.js';
import type { Recorder } from './recording/recorder.js';

/** The parts that say whether the gateway can work. */
export interface Observed {
  readonly watch: Pick<GrantWatch, 'health'>;
  readonly presence: Pick<Presence, 'answers'>;
  readonly recorder: Pick<Recorder, 'healthy' | 'queuedBytes'>;
  /** Whether it has been asked to stop. */
  readonly stopping: () => boolean;
}

/** What /readyz asks, by name. */
export function readinessOf({ watch, presence, recorder, stopping }: Observed): Readonly<Record<string, HealthCheck>> {
  const unless = (works: () => boolean, otherwise: string) => () => (works() ? null : otherwise);
  return {
    store: unless(() => watch.health().store, 'the grant store does not answer'),
    feed: unless(() => watch.health().feed, 'changes of grants are not heard'),
    clock: unless(() => !isApart(watch.health().skew), "the clock differs from the grant store's by more than 2 s"),
    ledger: unless(() => watch.health().ledger && presence.answers, 'the ledger does not answer'),
    recorder: unless(() => recorder.healthy, 'recording to Postgres fails'),
    accepting: unless(() => !stopping(), 'the gateway is stopping'),
  };
}

/** What /metrics asks at each scrape. */
export function readingsOf({ watch, presence, recorder }: Observed, ready: () => boolean): Readings {
  return {
    ready,
    dependencies: () => {
      const { store, feed, ledger } = watch.health();
      return { store, feed, ledger: ledger && presence.answers, recorder: recorder.healthy };
    },
    answerAges: () => {
      const { storeAge, ledgerAge } = watch.health();
      return { store: storeAge / 1_000, ledger: ledgerAge / 1_000 };
    },
    clockSkew: () => watch.health().skew / 1_000,
    queueBytes: () => recorder.queuedBytes,
  };
}
