import { waitUntil } from '../support/wait.js';

/** One line of Prometheus's text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A page of /metrics, read. */
export interface Scrape {
  readonly text: string;
  readonly contentType: string;
  readonly samples: readonly Sample[];
  /** Type by metric name. */
  readonly types: ReadonlyMap<string, string>;
  /** The sum of all samples with this name whose labels include these. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number;
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Scrapes a gateway's health listener. */
export async function scrape(origin: string): Promise<Scrape> {
  const response = await fetch(`${origin}/metrics`);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`/metrics answers ${response.status}: ${text}`);
  const samples = text.split('\n').flatMap(sampleOf);
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]));
  const matches = (sample: Sample, labels: Readonly<Record<string, string>>) =>
    Object.entries(labels).every(([name, value]) => sample.labels[name] === value);
  return {
    text,
    contentType: response.headers.get('content-type') ?? '',
    samples,
    types,
    sum: (name, labels = {}) =>
      samples
        .filter((sample) => sample.name === name && matches(sample, labels))
        .reduce((sum, { value }) => sum + value, 0),
  };
}

function sampleOf(line: string): Sample[] {
  if (line === '' || line.startsWith('#')) return [];
  const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
  if (name === undefined) throw new Error(`not a sample: ${line}`);
  const pairs = [...labels.matchAll(LABEL)].map(([, label = '', text = '']) => [label, text]);
  return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
}

/**
 * When the last question was asked that a dependency has answered, milliseconds since the epoch; later than this once it is
 * asked and answers again.
 */
export async function answeredAt(origin: string, dependency: 'store' | 'ledger'): Promise<number> {
  const before = Date.now();
  const { sum } = await scrape(origin);
  return before - sum('daypass_dependency_answer_age_seconds', { dependency }) * 1_000;
}

/** Scrapes again and again until `holds`. */
export async function scrapeUntil(origin: string, holds: (scrape: Scrape) => boolean): Promise<Scrape> {
  let seen = await scrape(origin);
  const holdsBy = async () => {
    if (holds(seen)) return true;
    seen = await scrape(origin);
    return holds(seen);
  };
  await waitUntil('what is scraped', holdsBy, { every: 20 });
  return seen;
}
