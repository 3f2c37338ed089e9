import { alarm } from './alerts/alarm.js';
import { AlertBook } from './alerts/book.js';
import { Bursts } from './alerts/bursts.js';
import { LeftBehind } from './alerts/left-behind.js';
import type { Notices } from './alerts/notice.js';
import type { GatewayReadings } from './alerts/rules/gateway.js';
import { certain } from './alerts/rules/rule.js';
import { AlertSweep } from './alerts/sweep.js';
import { AlertWatch } from './alerts/watch.js';
import type { Clock } from './clock.js';
import type { AlertSettings } from './config/alerts.js';
import { connectionsFor, type LedgerAccess } from './connections.js';
import type { GrantAuthority } from './grant/authority.js';
import type { GrantWatch } from './grant/watch.js';
import type { Metrics } from './metrics.js';
import type { Recorder } from './recording/recorder.js';

export interface AlertingParts extends LedgerAccess {
  readonly config: { readonly alerts: AlertSettings };
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Who is told of alerts; nobody unless given. */
  readonly notices?: Notices | undefined;
}

/** The parts whose state is watched. */
export interface Watching {
  readonly gatewayId: string;
  readonly watch: Pick<GrantWatch, 'health'>;
  readonly recorder: Pick<Recorder, 'healthy' | 'queuedBytes'>;
  readonly grants: Pick<GrantAuthority, 'onIssue'>;
  /** Whether the ledger is asked too: one of a gateway's workers does. */
  readonly ledger: boolean;
}

/** How long one query of what nobody waits for may take, milliseconds. */
const ANSWER_LIMIT = 10_000;

/** The rules of alerts, with connections of their own. */
export function openAlerting(parts: AlertingParts) {
  const { config, clock, log, metrics, lifecycle, notices } = parts;
  const pool = connectionsFor('alerts', parts, { max: 3, answerWithin: ANSWER_LIMIT });
  const settings = config.alerts;
  const raise = alarm(settings, notices);
  let raised = () => {};
  const watch = new AlertWatch({ pool, raise, settings, clock, log, metrics, raised: () => raised() });
  lifecycle.onStop('alerts', () => watch.stop());
  const bursts = new Bursts({ pool, watch, settings: settings.denials, log });
  const indexed = settings.denials.enabled ? bursts.indexed : () => {};
  lifecycle.onStop('bursts of refusals', () => bursts.settled());
  return {
    raise,
    listen: watch.listen,
    /** Hears of what is in the index. */
    indexed,
    /** Looks at what a dead gateway may not have told of. */
    reaped: new LeftBehind({ pool, watch, bursts: { indexed }, settings }).look,
    book: new AlertBook(pool, clock),
    /** Who carries what is told of alerts, called as soon as one is committed. */
    onRaised: (call: () => void) => {
      raised = call;
    },
    /** Records do not verify. */
    unverified: (what: string, findings: number) => {
      if (settings.verification_failed.enabled) watch.found(certain(unverified(what, findings, clock.wall())));
    },
    begin: ({ gatewayId, watch: granted, recorder, grants, ledger }: Watching) => {
      const readings: GatewayReadings = {
        feed: () => granted.health().feed,
        recording: () => recorder.healthy,
        queuedBytes: () => recorder.queuedBytes,
      };
      const sweep = new AlertSweep({ pool, watch, settings, clock, log, gatewayId, readings, ledger });
      grants.onIssue(() => void sweep.issued());
      lifecycle.onStop('look-out for alerts', () => sweep.stop());
    },
  };
}

function unverified(subject: string, findings: number, at: number) {
  const nobody = { principal: null, service: null, grant: null, session: null };
  return { kind: 'verification_failed' as const, subject, ...nobody, detail: { what: subject, findings }, at };
}
