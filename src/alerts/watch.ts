import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import type { AlertSettings } from '../config/alerts.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import type { Raise } from '../recording/alerts.js';
import type { RecordedEvent } from '../recording/event.js';
import { isDataException } from '../recording/faults.js';
import type { Hearing, Listen } from '../recording/hearing.js';
import { inTransaction } from '../recording/transaction.js';
import { denials, outsideHours } from './rules/denials.js';
import { type EventRule, type Finding, MOST, Remembered, type Watched } from './rules/rule.js';
import { volume } from './rules/volume.js';
import { definition, firstWrite } from './rules/writes.js';

export interface AlertWatchParts {
  /** Nobody's way to a service may wait for what this pool does. */
  readonly pool: Pool;
  readonly raise: Raise;
  readonly settings: AlertSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'alerted'>;
  /** Called when an alert was raised and is committed; nobody hears unless given. */
  readonly raised?: () => void;
}

/** A finding that waits for the ledger, and how often it was found meanwhile. */
interface Waiting {
  finding: Finding;
  times: number;
}

const TRY_AGAIN_AFTER = 2_000;

/**
 * Holds the rules against events as they are recorded. On the recorder's way it counts, and once they are committed it puts what a rule
 * found into a queue in memory; behind it the ledger is asked and the alert written. What the ledger does not take is tried again.
 */
export class AlertWatch {
  readonly #parts: AlertWatchParts;
  readonly #rules: readonly EventRule[];
  readonly #sessions = new Remembered<Watched>(MOST);
  readonly #waiting = new Map<string, Waiting>();
  #writing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(parts: AlertWatchParts) {
    this.#parts = parts;
    this.#rules = rulesOf(parts.settings);
  }

  /**
   * Holds the rules against what a session's next block says. What they find is told once that is committed, and also when it is lost:
   * of an attempt that is not in the record the alert is all there is.
   */
  readonly listen: Listen = (session) =>
    new Hearer(
      (event, found) => this.#hear(session, event, found),
      (finding) => this.found(finding),
    );

  /** Something else that somebody found. Returns at once and never throws. */
  found(finding: Finding): void {
    const there = this.#waiting.get(finding.key);
    if (there !== undefined) Object.assign(there, { finding, times: there.times + 1 });
    else if (this.#waiting.size < MOST) this.#waiting.set(finding.key, { finding, times: 1 });
    else this.#parts.log.error({ alert: finding.key }, 'an alert was not noted: too many wait for the ledger');
    this.#begin();
  }

  /** Resolves when everything that was found was tried to be written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Writes what it can, and no more from then on. */
  async stop(): Promise<void> {
    this.#begin();
    this.#stopped = true;
    await this.#writing;
    clearTimeout(this.#timer);
  }

  #hear(session: string, event: RecordedEvent, found: Finding[]): void {
    try {
      if (event.kind === 'open') this.#sessions.set(session, watchedOf(session, event));
      const watched = this.#sessions.get(session);
      if (watched === undefined) return;
      for (const rule of this.#rules) {
        const finding = rule(watched, event);
        if (finding !== null) found.push(finding);
      }
      if (event.kind === 'close') this.#sessions.delete(session);
    } catch (thrown) {
      this.#parts.log.error({ session, err: messageOf(thrown) }, 'the rules of alerts failed for a session');
    }
  }

  #begin(): void {
    if (this.#writing !== null || this.#waiting.size === 0 || this.#stopped) return;
    clearTimeout(this.#timer);
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
    });
  }

  async #write(): Promise<void> {
    for (const [key, waiting] of this.#waiting) {
      this.#waiting.delete(key);
      try {
        await this.#keep(waiting);
      } catch (thrown) {
        if (!isDataException(thrown)) return this.#again(key, waiting, thrown);
        this.#parts.log.error({ alert: key, err: messageOf(thrown) }, 'an alert cannot be written as it is');
      }
    }
  }

  #again(key: string, { finding, times }: Waiting, thrown: unknown): void {
    const since = this.#waiting.get(key);
    this.#waiting.set(key, { finding: since?.finding ?? finding, times: times + (since?.times ?? 0) });
    this.#parts.log.warn({ waiting: this.#waiting.size, err: messageOf(thrown) }, 'alerts wait for the ledger');
    if (!this.#stopped) this.#timer = setTimeout(() => this.#begin(), TRY_AGAIN_AFTER).unref();
  }

  async #keep({ finding, times }: Waiting): Promise<void> {
    const { pool, raise, metrics, log, raised: told } = this.#parts;
    const raised = await inTransaction(pool, async (client) => {
      const alert = await finding.look(client);
      const id = alert === null ? null : await raise(client, alert, times);
      return alert === null || id === null ? null : { alert: id, ...alert };
    });
    if (raised === null) return;
    told?.();
    metrics.alerted(raised.kind);
    log.warn(raised, 'an alert was raised');
  }
}

function rulesOf(settings: AlertSettings): readonly EventRule[] {
  return [
    ...(settings.denials.enabled ? [denials(settings.denials)] : []),
    ...(settings.volume.enabled ? [volume(settings.volume)] : []),
    ...momentaryRules(settings),
  ];
}

/** Rules that look at each event by itself. */
export function momentaryRules(settings: AlertSettings): readonly EventRule[] {
  return [
    ...(settings.outside_hours.enabled ? [outsideHours] : []),
    ...(settings.first_write.enabled ? [firstWrite()] : []),
    ...(settings.ddl.enabled ? [definition] : []),
  ];
}

function watchedOf(session: string, { facts }: RecordedEvent): Watched {
  const { grant, principal, service } = facts;
  return { session, grant: String(grant), principal: String(principal), service: String(service) };
}

/** What the rules find in the events of one block. */
class Hearer implements Hearing {
  readonly #rules: (event: RecordedEvent, found: Finding[]) => void;
  readonly #tell: (finding: Finding) => void;
  readonly #found: Finding[] = [];

  constructor(rules: (event: RecordedEvent, found: Finding[]) => void, tell: (finding: Finding) => void) {
    this.#rules = rules;
    this.#tell = tell;
  }

  hear(event: RecordedEvent): void {
    this.#rules(event, this.#found);
  }

  moved(): void {}

  over(): void {
    for (const finding of this.#found.splice(0)) this.#tell(finding);
  }
}
