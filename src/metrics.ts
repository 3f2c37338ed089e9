/*
 * What a gateway counts, in Prometheus's terms; docs/metrics.md says what each metric means and what to alert on. One
 * registry for each gateway, passed to whoever counts. No label is ever a person, a path or a statement: label values are
 * the services of the policy and closed lists.
 */
import { type Aggregator, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { ALERT_KINDS, type AlertKind } from './config/alerts.js';
import { type ServiceMeter, ServiceMeters, ServiceTallies } from './service-meter.js';
import { type Count, Tally } from './tally.js';

/** Seconds: around the promises for cuts (50, 100 and 250 ms, 5 s). */
const CUT_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** Seconds: from a commit on a local disk to the limit at which the recorder gives a connection up. */
const COMMIT_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const DIAL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];

/** A metric with its values, as one process hands it to another. */
export type MetricJson = Awaited<ReturnType<Registry['getMetricsAsJSON']>>[number];

/** Refusals that an alert asks for, made at zero when a service is loaded: why, stands at `ALERTING_ENDS`. */
const ALERTING_REFUSALS = ['store_unavailable', 'recorder_unavailable', 'malformed', 'unknown_grant'] as const;

/** What is asked at each scrape instead of being counted. Times are seconds. */
export interface Readings {
  /** Whether /readyz would answer 200. */
  ready(): boolean;
  /** By dependency (`feed`, `store`, `ledger`, `recorder`): whether it answers. */
  dependencies(): Readonly<Record<string, boolean>>;
  /** By dependency: how long ago the question was asked that it answered last. */
  answerAges(): Readonly<Record<string, number>>;
  /** How far this machine's clock is ahead of the grant store's; negative when behind. */
  clockSkew(): number;
  /** Bytes that wait to be recorded. */
  queueBytes(): number;
}

/** The notices of a ledger. */
export interface NoticeReadings {
  readonly waiting: number;
  readonly failed: number;
  /** Seconds; 0 when none waits. */
  readonly oldest: number;
}

/** One commit of the recorder. */
export interface Commit {
  readonly milliseconds: number;
  readonly events: number;
  /** How many of the events are actions. */
  readonly actions: number;
}

/** A gateway's metrics. `aggregator` says what a gauge is for several workers together; everything else is summed. */
export class Metrics {
  readonly registry = new Registry();
  readonly #services = new ServiceTallies();
  readonly #admissions = new Tally(['service', 'outcome', 'reason']);
  readonly #refusals = new Tally(['service', 'status', 'reason']);
  readonly #apiAnswers = new Tally(['status']);
  readonly #commitFailures = new Tally([]);
  readonly #alerts = new Tally(['kind']);
  readonly #strangers = new Tally(['protocol']);
  readonly #strangersClosed = new Tally(['protocol']);
  readonly #meters: ServiceMeters;
  readonly #lateness: Histogram;
  readonly #revocations: Histogram;
  readonly #commits: Histogram;
  readonly #commitEvents: Histogram;
  readonly #commitActions: Histogram;
  readonly #reloadFailed: Gauge;
  readonly #reloadedAt: Gauge;

  constructor() {
    this.#gauge('daypass_sessions_live', 'Sessions that are live on this gateway.', this.#services.sessions);
    this.#counter('daypass_sessions_ended_total', 'Sessions that ended, by why.', this.#services.ends);
    this.#counter('daypass_decisions_total', 'Actions decided.', this.#services.decisions);
    this.#counter('daypass_admissions_total', 'Clients let in or refused.', this.#admissions);
    this.#counter('daypass_http_refusals_total', 'Requests and WebSockets refused as faulty.', this.#refusals);
    this.#counter('daypass_api_answers_total', 'Answers of the API to people and tools.', this.#apiAnswers);
    this.#apiAnswers.of({ status: '500' });
    this.#counter(
      'daypass_upstream_dial_failures_total',
      'Connections to a service that failed.',
      this.#services.dialFailures,
    );
    this.#counter(
      'daypass_upstream_failures_total',
      'Requests and connections that failed at their service.',
      this.#services.upstreamFailures,
    );
    this.#counter(
      'daypass_secrets_seen_total',
      'Secrets that a service sent to a session.',
      this.#services.secretsSeen,
    );
    this.#counter(
      'daypass_recorder_commit_failures_total',
      'Commits of the recorder that failed.',
      this.#commitFailures,
    );
    this.#commitFailures.of({});
    this.#counter('daypass_alerts_total', 'Alerts raised for somebody to look at.', this.#alerts);
    for (const kind of ALERT_KINDS) this.#alerts.of({ kind });
    this.#gauge('daypass_strangers', 'Connections of clients that were not let in.', this.#strangers);
    this.#counter('daypass_strangers_closed_total', 'Those that were closed to make room.', this.#strangersClosed);
    for (const protocol of ['http', 'postgres']) this.#strangersClosed.of({ protocol });
    const dials = new Histogram({
      name: 'daypass_upstream_dial_seconds',
      help: 'Until a connection to a service could be used, its login included.',
      labelNames: ['service'],
      buckets: DIAL_BUCKETS,
      registers: [this.registry],
    });
    this.#meters = new ServiceMeters(this.#services, dials, [this.#admissions, this.#refusals]);
    this.#lateness = this.#histogram(
      'daypass_cut_lateness_seconds',
      'From the end of a grant to the cut of its session.',
      CUT_BUCKETS,
    );
    this.#revocations = this.#histogram(
      'daypass_revoke_to_cut_seconds',
      'From a revocation to the cut of its session.',
      CUT_BUCKETS,
    );
    this.#commits = this.#histogram('daypass_recorder_commit_seconds', 'A commit of the recorder.', COMMIT_BUCKETS);
    this.#commitEvents = this.#histogram('daypass_recorder_commit_events', 'Events in a commit.', BATCH_BUCKETS);
    this.#commitActions = this.#histogram('daypass_recorder_commit_actions', 'Actions in a commit.', [
      0,
      ...BATCH_BUCKETS,
    ]);
    this.#reloadFailed = this.#plain(
      'daypass_policy_reload_failed',
      '1 when the last reload was refused: the old policy is in force.',
      'max',
    );
    this.#reloadedAt = this.#plain(
      'daypass_policy_reload_success_timestamp_seconds',
      'When the policy in force was loaded.',
      'min',
    );
  }

  /** The meter of a service, the same for every session. */
  service(service: string, protocol: string): ServiceMeter {
    return this.#meters.of(service, protocol);
  }

  /** The services in force: their numbers are there before anything happens to them. @param now - monotonic milliseconds */
  serves(services: readonly { readonly name: string; readonly protocol: string }[], now: number): void {
    this.#meters.inForce(services, now);
    for (const { name: service } of services)
      for (const reason of ALERTING_REFUSALS) this.#admissions.of({ service, outcome: 'refused', reason });
  }

  /**
   * A client asked to be let in.
   * @param service - empty when there is no such service: a client must not be able to invent label values
   * @param reason - why not; null when it was let in
   */
  admitted(service: string, reason: string | null): void {
    const outcome = reason === null ? 'admitted' : 'refused';
    this.#admissions.of({ service, outcome, reason: reason ?? '' }).value += 1;
  }

  /**
   * A request or a WebSocket was refused for what it is, without a decision or an admission.
   * @param service - empty when none has been asked yet
   * @param status - of HTTP, or the close code of a WebSocket
   */
  refusedOverHttp(service: string, status: number, reason: string): void {
    this.#refusals.of({ service, status: String(status), reason }).value += 1;
  }

  /** Connections of clients that were not let in, as many as there are. */
  strangers(protocol: string): Count {
    return this.#strangers.of({ protocol });
  }

  /** One of them was closed to make room for others. */
  strangerClosed(protocol: string): void {
    this.#strangersClosed.of({ protocol }).value += 1;
  }

  /** The API answered somebody over the network. */
  answeredByApi(status: number): void {
    this.#apiAnswers.of({ status: String(status) }).value += 1;
  }

  /** A session was cut this many milliseconds after its grant's end. */
  cutLate(milliseconds: number): void {
    this.#lateness.observe(Math.max(0, milliseconds) / 1_000);
  }

  /** A session was cut this many milliseconds after its grant's revocation. */
  cutAfterRevocation(milliseconds: number): void {
    this.#revocations.observe(Math.max(0, milliseconds) / 1_000);
  }

  committed({ milliseconds, events, actions }: Commit): void {
    this.#commits.observe(milliseconds / 1_000);
    this.#commitEvents.observe(events);
    this.#commitActions.observe(actions);
  }

  /** An alert was raised and stands in the ledger. */
  alerted(kind: AlertKind): void {
    this.#alerts.of({ kind }).value += 1;
  }

  commitFailed(): void {
    this.#commitFailures.of({}).value += 1;
  }

  /** The policies were loaded (at `now`, milliseconds since the epoch) or, null, refused. */
  reloaded(now: number | null): void {
    this.#reloadFailed.set(now === null ? 1 : 0);
    if (now !== null) this.#reloadedAt.set(now / 1_000);
  }

  /** Adds what a process says of itself (Node's and Prometheus's usual names, event loop lag among them) and the build. */
  describeProcess(version: string): void {
    collectDefaultMetrics({ register: this.registry });
    const info = {
      name: 'daypass_build_info',
      help: 'Always 1: the version that runs.',
      labelNames: ['version', 'node'],
    };
    new Gauge({ ...info, aggregator: 'first', registers: [this.registry] }).set(
      { version, node: process.versions.node },
      1,
    );
  }

  /** Adds what is asked at each scrape. */
  read(readings: Readings): void {
    this.#asked('daypass_ready', '1 when /readyz answers 200.', 'min', () => Number(readings.ready()));
    this.#asked('daypass_clock_skew_seconds', "How far the clock is ahead of the grant store's.", 'max', () =>
      readings.clockSkew(),
    );
    this.#asked('daypass_recorder_queue_bytes', 'Bytes that wait to be recorded.', 'sum', () => readings.queueBytes());
    const up = () => Object.entries(readings.dependencies()).map(([name, works]) => [name, Number(works)] as const);
    this.#askedByDependency('daypass_dependency_up', '1 when it answers.', 'min', up);
    const ages = () => Object.entries(readings.answerAges());
    this.#askedByDependency('daypass_dependency_answer_age_seconds', 'How old its last answer is.', 'max', ages);
  }

  /** Adds what of the notices waits. All gateways of a ledger say the same. */
  readNotices(readings: () => NoticeReadings): void {
    this.#asked('daypass_notices_waiting', 'Notices that wait to be delivered.', 'max', () => readings().waiting);
    this.#asked('daypass_notices_failed', 'Deliveries that were given up.', 'max', () => readings().failed);
    this.#asked('daypass_notices_oldest_seconds', 'How long the oldest one waits.', 'max', () => readings().oldest);
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: [this.registry] });
  }

  #plain(name: string, help: string, aggregator: Aggregator): Gauge {
    return new Gauge({ name, help, aggregator, registers: [this.registry] });
  }

  #counter<Label extends string>(name: string, help: string, tally: Tally<Label>): void {
    const collect = () => tally.exportTo(metric);
    const labelNames = [...tally.names];
    const metric: Counter<Label> = new Counter({ name, help, labelNames, registers: [this.registry], collect });
  }

  #gauge<Label extends string>(name: string, help: string, tally: Tally<Label>): void {
    const collect = () => tally.exportTo(metric);
    const labelNames = [...tally.names];
    const metric: Gauge<Label> = new Gauge({ name, help, labelNames, registers: [this.registry], collect });
  }

  #asked(name: string, help: string, aggregator: Aggregator, ask: () => number): void {
    const collect = () => metric.set(ask());
    const metric: Gauge = new Gauge({ name, help, aggregator, registers: [this.registry], collect });
  }

  #askedByDependency(
    name: string,
    help: string,
    aggregator: Aggregator,
    ask: () => readonly (readonly [string, number])[],
  ): void {
    const collect = () => {
      for (const [dependency, value] of ask()) metric.set({ dependency }, value);
    };
    const labelNames = ['dependency'];
    const metric = new Gauge({ name, help, labelNames, aggregator, registers: [this.registry], collect });
  }
}
