import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { GrantWatcher } from './grant.js';
import type { Ledger, LedgerState } from './ledger.js';

const EVERY_MS = 2_000;

/** Asks the ledger about the grants in use every 2 s, in one query: what cuts a revoked session when the feed is deaf. */
export class LedgerWatch {
  readonly #ledger: Pick<Ledger, 'states'>;
  readonly #watcher: GrantWatcher;
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Whether the last question was answered. */
  answers = true;
  #confirmed: number;

  constructor(ledger: Pick<Ledger, 'states'>, watcher: GrantWatcher, clock: Clock, log: Log) {
    this.#ledger = ledger;
    this.#watcher = watcher;
    this.#clock = clock;
    this.#log = log;
    this.#confirmed = clock.monotonic();
  }

  /** How long ago the question was asked that was answered last, milliseconds. */
  get age(): number {
    return this.#clock.monotonic() - this.#confirmed;
  }

  start(): void {
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#round(), EVERY_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** The next round is armed when this one is over: they never overlap. */
  async #round(): Promise<void> {
    const asked = this.#clock.monotonic();
    try {
      await this.#ask();
      this.#confirmed = asked;
      if (!this.answers) this.#log.info('the ledger answers');
      this.answers = true;
    } catch (error) {
      if (this.answers) this.#log.error({ error: messageOf(error) }, 'the ledger does not answer');
      this.answers = false;
    }
    this.start();
  }

  async #ask(): Promise<void> {
    const ids = this.#watcher.heldIds();
    // Also when nothing is held: whether the ledger answers must be known before somebody asks to be let in.
    const states = await this.#ledger.states(ids);
    if (this.#stopped) return;
    for (const id of ids) this.#heard(id, states.get(id));
  }

  #heard(id: string, state: LedgerState | undefined): void {
    if (state === undefined) this.#watcher.recheck(id);
    else if (state.revokedAt !== null) this.#watcher.over(id, 'revoked', state.revokedAt);
    else if (state.suspended) this.#watcher.over(id, 'suspended');
    else this.#watcher.stands(id, state.expiresAt);
  }
}
