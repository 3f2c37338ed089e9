import type { Histogram } from 'prom-client';
import { type Count, Tally } from './tally.js';

/**
 * Ends that an alert asks for, made at zero when a service is loaded: the increase of a series that begins at its
 * first count is 0, and a mass cut within one scrape would wake nobody.
 */
const ALERTING_ENDS = ['unknown_grant', 'stale', 'recorder_stalled', 'tripwire'] as const;
const UPSTREAM_FAILURES = ['timeout', 'broken', 'protocol'] as const;

/** How a service failed: no answer in time; refused or broke off; said what its protocol does not allow. */
export type UpstreamFailure = (typeof UPSTREAM_FAILURES)[number];

/** So long the numbers of a service that is not in force any more are told, milliseconds: who scrapes has its last ones. */
const TOLD_AFTERWARDS = 3_600_000;

/** What is counted of every service, all of them together. */
export class ServiceTallies {
  readonly sessions = new Tally(['service', 'protocol']);
  readonly ends = new Tally(['service', 'reason']);
  readonly decisions = new Tally(['service', 'outcome', 'reason']);
  readonly dialFailures = new Tally(['service']);
  readonly upstreamFailures = new Tally(['service', 'reason']);
  readonly secretsSeen = new Tally(['service']);
}

/** The meters of all services. */
export class ServiceMeters {
  readonly #tallies: ServiceTallies;
  readonly #dials: Histogram<'service'>;
  readonly #besides: readonly Forgetful[];
  readonly #meters = new Map<string, ServiceMeter>();
  /** Services that are not in force any more, and since when. */
  readonly #gone = new Map<string, number>();

  /** @param dials - how long connections took, seconds @param besides - what else is counted by service */
  constructor(tallies: ServiceTallies, dials: Histogram<'service'>, besides: readonly Forgetful[]) {
    this.#tallies = tallies;
    this.#dials = dials;
    this.#besides = besides;
  }

  /** The meter of a service, the same for every session. */
  of(service: string, protocol: string): ServiceMeter {
    const key = `${service}\0${protocol}`;
    const meter = this.#meters.get(key) ?? new ServiceMeter(this.#tallies, this.#dials, service, protocol);
    this.#meters.set(key, meter);
    return meter;
  }

  /** These are the services from here on. The numbers of one that is gone for long enough go too. @param now - monotonic milliseconds */
  inForce(services: readonly { readonly name: string; readonly protocol: string }[], now: number): void {
    const names = new Set(services.map(({ name }) => name));
    for (const { name, protocol } of services) this.of(name, protocol);
    for (const { service } of this.#meters.values()) {
      if (names.has(service)) this.#gone.delete(service);
      else if (!this.#gone.has(service)) this.#gone.set(service, now);
    }
    for (const [service, since] of this.#gone) if (now - since >= TOLD_AFTERWARDS) this.#forget(service);
  }

  #forget(service: string): void {
    this.#gone.delete(service);
    for (const [key, meter] of this.#meters) if (meter.service === service) this.#meters.delete(key);
    for (const tally of [...Object.values(this.#tallies), ...this.#besides]) tally.forget(service);
    this.#dials.remove({ service });
  }
}

/** Numbers by service, among other things. */
type Forgetful = Pick<Tally<'service'>, 'forget'>;

/** What one service's sessions count; looked up once for each session. */
export class ServiceMeter {
  /** Sessions that are live now. */
  readonly live: Count;
  readonly service: string;
  readonly #tallies: ServiceTallies;
  readonly #dials: Histogram<'service'>;
  readonly #decisions = new Map<string, Map<string, Count>>();

  /** For `ServiceMeters.of` alone. @param dials - how long connections took, seconds */
  constructor(tallies: ServiceTallies, dials: Histogram<'service'>, service: string, protocol: string) {
    this.#tallies = tallies;
    this.#dials = dials;
    this.service = service;
    this.live = tallies.sessions.of({ service, protocol });
    tallies.dialFailures.of({ service });
    tallies.secretsSeen.of({ service });
    for (const reason of ALERTING_ENDS) tallies.ends.of({ service, reason });
    for (const reason of UPSTREAM_FAILURES) tallies.upstreamFailures.of({ service, reason });
  }

  /** An action was decided. `reason` is null when it was allowed. Allocates nothing but for the first of its kind. */
  decided(outcome: string, reason: string | null): void {
    const count = this.#decisions.get(outcome)?.get(reason ?? '');
    if (count === undefined) this.#first(outcome, reason ?? '').value += 1;
    else count.value += 1;
  }

  /** A session ended. */
  ended(reason: string): void {
    this.live.value -= 1;
    this.#tallies.ends.of({ service: this.service, reason }).value += 1;
  }

  /** A connection to the service was made and could be used after this many milliseconds. */
  dialled(milliseconds: number): void {
    this.#dials.observe({ service: this.service }, milliseconds / 1_000);
  }

  /** A connection to the service could not be made. */
  dialFailed(): void {
    this.#tallies.dialFailures.of({ service: this.service }).value += 1;
  }

  /** A session was sent a secret that is injected towards its service. */
  secretSeen(): void {
    this.#tallies.secretsSeen.of({ service: this.service }).value += 1;
  }

  /** The service failed a request or a connection that was under way. */
  upstreamFailed(reason: UpstreamFailure): void {
    this.#tallies.upstreamFailures.of({ service: this.service, reason }).value += 1;
  }

  #first(outcome: string, reason: string): Count {
    const count = this.#tallies.decisions.of({ service: this.service, outcome, reason });
    const reasons = this.#decisions.get(outcome) ?? new Map<string, Count>();
    this.#decisions.set(outcome, reasons.set(reason, count));
    return count;
  }
}
