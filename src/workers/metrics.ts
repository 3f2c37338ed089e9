import { type Aggregator, AggregatorRegistry, Gauge, Registry } from 'prom-client';
import type { MetricJson } from '../metrics.js';
import { askWorker } from './ask.js';
import { HEALTH_WITHIN } from './health.js';

/** prom-client averages or adds these, which would hide a worker in trouble behind those that are well. */
const WORST: readonly (readonly [RegExp, Aggregator])[] = [
  [/^nodejs_eventloop_lag_/, 'max'],
  [/^process_open_fds$/, 'max'],
  [/^process_max_fds$/, 'min'],
];

/** What a worker that does not answer says by it. */
const SILENT = new Registry();
new Gauge({
  name: 'daypass_ready',
  help: '1 when /readyz answers 200.',
  aggregator: 'min',
  registers: [SILENT],
}).set(0);

/** One page for all workers: each metric by its own aggregator. */
export class CrewMetrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #sockets: readonly string[];
  /** What each living worker counted when it answered last. */
  readonly #counted: (readonly MetricJson[])[];
  /** What workers that died had counted: a sum that fell would look as if everything had been counted anew. */
  #gone: Promise<readonly MetricJson[]> = Promise.resolve([]);

  constructor(sockets: readonly string[]) {
    this.#sockets = sockets;
    this.#counted = sockets.map(() => []);
  }

  async metrics(): Promise<string> {
    const answers = await Promise.all(this.#sockets.map((socket, index) => this.#ask(socket, index)));
    return AggregatorRegistry.aggregate([...answers, await this.#gone].map(asWorst)).metrics();
  }

  /** A worker ended: its counts are kept. */
  ended(index: number): void {
    const last = this.#counted[index] ?? [];
    this.#counted[index] = [];
    this.#gone = this.#gone.then((gone) => AggregatorRegistry.aggregate([gone, last]).getMetricsAsJSON());
  }

  async #ask(socket: string, index: number): Promise<MetricJson[]> {
    try {
      const question = { method: 'GET', path: '/v1/metrics', within: HEALTH_WITHIN } as const;
      const { metrics } = (await askWorker<{ metrics: MetricJson[] }>(socket, question)).body;
      this.#counted[index] = metrics.filter(({ type }) => ['counter', 'histogram'].includes(String(type)));
      return metrics;
    } catch {
      return [...(await SILENT.getMetricsAsJSON()), ...(this.#counted[index] ?? [])];
    }
  }
}

function asWorst(metrics: readonly MetricJson[]): MetricJson[] {
  return metrics.map((metric) => {
    const aggregator = WORST.find(([name]) => name.test(metric.name))?.[1];
    return aggregator === undefined ? metric : { ...metric, aggregator };
  });
}
