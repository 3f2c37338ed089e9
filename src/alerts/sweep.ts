import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import type { AlertSettings } from '../config/alerts.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { type GatewayReadings, gatewayRules } from './rules/gateway.js';
import { accountEnding, directIssue, type LedgerRule, unusedGrant } from './rules/ledger.js';
import { certain } from './rules/rule.js';
import type { AlertWatch } from './watch.js';

export interface AlertSweepParts {
  readonly pool: Pool;
  readonly watch: Pick<AlertWatch, 'found'>;
  readonly settings: AlertSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly gatewayId: string;
  readonly readings: GatewayReadings;
  /** Whether it asks the ledger too: one of a gateway's workers does. */
  readonly ledger: boolean;
}

/** How often it looks, milliseconds; what takes longer is looked for every so many times. */
const EVERY = 1_000;
const SELDOM = 10;
/** How far back issues are looked for by a new process: whoever issued one may have died at once, and nobody was there to tell. */
const FIRST_LOOK_BACK = 7 * 86_400_000;
/** And from then on, milliseconds: another gateway's clock may be behind. */
const LOOK_BACK = 3_600_000;

/** Looks for what no event shows: at the gateway's parts and, for acts and times, in the ledger. */
export class AlertSweep {
  readonly #parts: AlertSweepParts;
  readonly #gateway: ReturnType<typeof gatewayRules>;
  readonly #timer: NodeJS.Timeout;
  #turn = 0;
  /** From when on issues are looked for. */
  #issuedSince: number;
  #looking: Promise<void> | null = null;

  constructor(parts: AlertSweepParts, every = EVERY) {
    this.#parts = parts;
    this.#gateway = gatewayRules(parts.settings);
    this.#issuedSince = parts.clock.wall() - FIRST_LOOK_BACK;
    this.#timer = setInterval(() => void this.tick(), every).unref();
  }

  /** Looks once. Never throws. */
  async tick(): Promise<void> {
    const seldom = this.#turn % SELDOM === 0;
    this.#turn += 1;
    this.#look(null);
    this.#looking ??= this.#ask(seldom)
      .catch((thrown) => this.#parts.log.warn({ err: messageOf(thrown) }, 'the ledger could not be asked for alerts'))
      .finally(() => {
        this.#looking = null;
      });
    await this.#looking;
  }

  /** An operator has issued a grant here: nobody waits for the next look. Never throws. */
  async issued(): Promise<void> {
    const { ledger, settings, log } = this.#parts;
    if (!ledger || !settings.direct_issue.enabled) return;
    await this.#issues().catch((thrown) => {
      log.warn({ err: messageOf(thrown) }, 'a grant that was issued is looked at with the next look for alerts');
    });
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #ask(seldom: boolean): Promise<void> {
    const { ledger, settings } = this.#parts;
    if (ledger && settings.direct_issue.enabled) await this.#issues();
    if (!seldom) return;
    if (ledger && settings.unused_grant.enabled) await this.#apply(unusedGrant);
    if (ledger && settings.account_ending.enabled) await this.#apply(accountEnding);
    this.#look(await this.#skew());
  }

  /** What could not be asked is asked again from the same moment on. */
  async #issues(): Promise<void> {
    const { pool, clock, watch } = this.#parts;
    const now = clock.wall();
    for (const alert of await directIssue(pool, this.#issuedSince, now)) watch.found(certain(alert));
    this.#issuedSince = now - LOOK_BACK;
  }

  async #apply(rule: LedgerRule): Promise<void> {
    const { pool, settings, clock, watch } = this.#parts;
    for (const alert of await rule(pool, settings, clock.wall())) watch.found(certain(alert));
  }

  #look(skew: number | null): void {
    const { clock, gatewayId: gateway, readings, watch, settings } = this.#parts;
    const moment = { gateway, wall: clock.wall(), monotonic: clock.monotonic(), readings, skew };
    for (const alert of this.#gateway(moment)) if (settings[alert.kind].enabled) watch.found(certain(alert));
  }

  /** How far this clock is ahead of the ledger's, give or take half of the way there and back. */
  async #skew(): Promise<number> {
    const { pool, clock } = this.#parts;
    const asked = clock.wall();
    const { rows } = await pool.query<{ at: Date }>('select clock_timestamp() as at');
    return (asked + clock.wall()) / 2 - (rows[0]?.at.getTime() ?? Number.NaN);
  }
}
