import { withoutHandles } from '../log.js';
import type { RecordedEvent } from './event.js';

/** A secret that the service sent to the session. */
export interface Sighting {
  /** As the policy words it. */
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** A row of `block_index`: what is searchable of one stretch of a session. */
export interface IndexRow {
  readonly sessionId: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Milliseconds since the epoch. */
  readonly fromAt: number;
  readonly toAt: number;
  readonly actions: number;
  readonly denied: number;
  readonly verbs: readonly string[];
  readonly targets: readonly string[];
  readonly reasons: readonly string[];
  /** Of decisions that allowed something. */
  readonly rules: readonly string[];
  readonly rows: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly text: string;
  /** Rows of `secret_sightings`. */
  readonly sightings: readonly Sighting[];
}

const MOST_TEXT = 8 * 1024;
const MOST_TERMS = 256;
/** A term is a key of a GIN index, whose entries have a limit of their own (about 2.7 kB). */
const LONGEST_TERM = 512;
/** No key of an index; a statement may stand on several rules, which its decision names in a row. */
const LONGEST_RULE = 8 * 1024;

/** Gathers what is searchable of consecutive events; its size is bounded however many they are. */
export class Summary {
  readonly sessionId: string;
  #firstSeq: number;
  readonly #fromAt: number;
  #lastSeq: number;
  #toAt: number;
  #actions = 0;
  #denied = 0;
  #rows = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  readonly #verbs = new Set<string>();
  readonly #targets = new Set<string>();
  readonly #reasons = new Set<string>();
  readonly #rules = new Set<string>();
  readonly #texts = new Set<string>();
  readonly #sightings = new Map<string, number>();
  #textSize = 0;
  /** What was asked last: a text that comes again need not be hashed to be found. */
  #lastText = '';

  /** @param first - the event that it begins with, or what another begins with; it is not taken in */
  constructor(sessionId: string, first: RecordedEvent | Summary) {
    this.sessionId = sessionId;
    const [seq, at] = first instanceof Summary ? [first.#firstSeq, first.#fromAt] : [first.seq, first.at];
    this.#firstSeq = seq;
    this.#lastSeq = seq;
    this.#fromAt = at;
    this.#toAt = at;
  }

  /** How much memory this holds, roughly, bytes. */
  get size(): number {
    const terms = this.#verbs.size + this.#targets.size + this.#reasons.size + this.#rules.size + this.#sightings.size;
    return 500 + terms * 100 + this.#textSize;
  }

  add({ seq, at, kind, facts, payload }: RecordedEvent): void {
    this.#lastSeq = seq;
    this.#toAt = Math.max(at, this.#toAt);
    if (kind === 'action') this.#actions += 1;
    if (kind === 'action' && facts.outcome === 'deny') this.#denied += 1;
    if (facts.verb !== undefined) keep(this.#verbs, facts.verb);
    for (const target of facts.on ?? []) keep(this.#targets, target);
    if (facts.reason !== undefined && kind === 'action') keep(this.#reasons, facts.reason);
    if (facts.rule !== undefined && facts.outcome === 'allow') keep(this.#rules, facts.rule, LONGEST_RULE);
    this.#rows += count(facts.rows);
    this.#bytesIn += count(facts.bytesIn);
    this.#bytesOut += count(facts.bytesOut);
    if (typeof payload?.text === 'string') this.#keepText(payload.text);
    if (kind === 'notice' && facts.about === 'secret_seen') this.#keepSighting(facts.secret, at);
  }

  /** Takes in what follows. Both are bounded, so is what comes of it. */
  append(next: Summary): void {
    this.#lastSeq = next.#lastSeq;
    this.#toAt = Math.max(next.#toAt, this.#toAt);
    this.#actions += next.#actions;
    this.#denied += next.#denied;
    this.#rows += next.#rows;
    this.#bytesIn += next.#bytesIn;
    this.#bytesOut += next.#bytesOut;
    for (const verb of next.#verbs) keep(this.#verbs, verb);
    for (const target of next.#targets) keep(this.#targets, target);
    for (const reason of next.#reasons) keep(this.#reasons, reason);
    for (const rule of next.#rules) keep(this.#rules, rule, LONGEST_RULE);
    for (const text of next.#texts) this.#keepText(text);
    for (const [secret, at] of next.#sightings) this.#keepSighting(secret, at);
  }

  /** What it sums up stands so many places further back. */
  move(by: number): void {
    this.#firstSeq += by;
    this.#lastSeq += by;
  }

  row(): IndexRow {
    return {
      sessionId: this.sessionId,
      firstSeq: this.#firstSeq,
      lastSeq: this.#lastSeq,
      fromAt: this.#fromAt,
      toAt: this.#toAt,
      actions: this.#actions,
      denied: this.#denied,
      verbs: [...this.#verbs].map(storable),
      targets: [...this.#targets].map(storable),
      reasons: [...this.#reasons].map(storable),
      rules: [...this.#rules].map(storable),
      rows: this.#rows,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      text: bounded(storable([...this.#texts].join('\n'))),
      sightings: [...this.#sightings].map(([secret, at]) => ({ secret: storable(secret), at })),
    };
  }

  #keepSighting(secret: unknown, at: number): void {
    if (typeof secret !== 'string' || this.#sightings.size >= MOST_TERMS) return;
    const name = secret.slice(0, LONGEST_TERM);
    if (!this.#sightings.has(name)) this.#sightings.set(name, at);
  }

  #keepText(text: string): void {
    if (this.#textSize >= MOST_TEXT || text === '' || text === this.#lastText) return;
    // Cut generously here and exactly at the end: a handle must not be cut in two before it is found.
    const kept = text.length > 2 * MOST_TEXT ? text.slice(0, 2 * MOST_TEXT) : text;
    this.#lastText = kept;
    if (this.#texts.has(kept)) return;
    this.#texts.add(kept);
    this.#textSize += kept.length;
  }
}

/** One row for consecutive events of a session; null for none. */
export function summarise(sessionId: string, events: Iterable<RecordedEvent>): IndexRow | null {
  let summary: Summary | null = null;
  for (const event of events) {
    summary ??= new Summary(sessionId, event);
    summary.add(event);
  }
  return summary?.row() ?? null;
}

function keep(terms: Set<string>, term: string, longest = LONGEST_TERM): void {
  if (terms.size < MOST_TERMS && !terms.has(term)) terms.add(withoutHandles(term).slice(0, longest));
}

/** A count as an event claims it; nonsense counts as nothing. */
function count(value: number | undefined): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** What Postgres takes as text: no handles, no NUL, no half of a surrogate pair. */
export function storable(text: string): string {
  return withoutHandles(text)
    .replaceAll('\0', '')
    .replace(/\p{Cs}/gu, '\ufffd');
}

function bounded(text: string): string {
  if (Buffer.byteLength(text) <= MOST_TEXT) return text;
  // A character cut in half at the end becomes U+FFFD, which is dropped.
  return Buffer.from(text)
    .subarray(0, MOST_TEXT)
    .toString('utf8')
    .replace(/\ufffd+$/, '');
}
