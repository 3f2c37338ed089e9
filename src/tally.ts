/** A number of one label set. Adding to it is all the hot path does. */
export interface Count {
  value: number;
}

interface Labelled<Label extends string> extends Count {
  readonly labels: Readonly<Record<Label, string>>;
}

/** What prom-client's counters and gauges have in common for us. */
interface Exported<Label extends string> {
  reset(): void;
  inc(labels: Partial<Record<Label, string>>, value: number): void;
}

/**
 * Numbers by labels, handed to prom-client only when somebody scrapes: its own counters build a key from the labels at every
 * call, which a proxy would feel on every statement.
 */
export class Tally<Label extends string> {
  readonly names: readonly Label[];
  readonly #counts = new Map<string, Labelled<Label>>();

  constructor(names: readonly Label[]) {
    this.names = names;
  }

  /** The number of these labels, made with the first call. Look it up once and keep it. */
  of(labels: Readonly<Record<Label, string>>): Count {
    const key = this.names.map((name) => labels[name]).join('\0');
    const existing = this.#counts.get(key);
    if (existing !== undefined) return existing;
    const count = { labels, value: 0 };
    this.#counts.set(key, count);
    return count;
  }

  /** Nothing is told of a service any more. Whoever kept one of its numbers counts for nobody. */
  forget(service: string): void {
    for (const [key, { labels }] of this.#counts)
      if (Reflect.get(labels, 'service') === service) this.#counts.delete(key);
  }

  exportTo(metric: Exported<Label>): void {
    metric.reset();
    for (const { labels, value } of this.#counts.values()) metric.inc(labels, value);
  }
}
