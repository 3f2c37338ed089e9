import type { Audit } from './access/transact.js';
import { Notices } from './alerts/notices.js';
import type { Outbox } from './alerts/outbox.js';
import { announced } from './alerts/request-notices.js';
import { connectHints, gatewayAddress } from './api/connect.js';
import type { GatewayStatus } from './api/parts.js';
import type { Clock } from './clock.js';
import type { GatewayConfig } from './config/gateway.js';
import { connectionsFor, type LedgerAccess } from './connections.js';
import type { Policies } from './gate/policies.js';
import type { Metrics } from './metrics.js';

export interface OpenNoticesParts extends LedgerAccess {
  readonly outbox: Outbox;
  readonly config: Pick<GatewayConfig, 'notices'>;
  readonly policies: Policies;
  readonly status: () => GatewayStatus;
  readonly clock: Clock;
  readonly clockAgrees: () => boolean;
  readonly metrics: Pick<Metrics, 'readNotices'>;
  /** Of several workers one delivers. */
  readonly delivers: boolean;
}

/** How long one query may take, milliseconds. */
const ANSWER_WITHIN = 10_000;

/** What people are told: the outbox that acts write to, and whoever carries what is in it. */
export function openNotices(parts: OpenNoticesParts) {
  const { outbox, config, policies, status, clock, clockAgrees, log, lifecycle, metrics, delivers } = parts;
  const pool = connectionsFor('notices', parts, { max: 3, answerWithin: ANSWER_WITHIN });
  const notices = new Notices({ pool, outbox, settings: config.notices, policies, clock, clockAgrees, log, delivers });
  lifecycle.onStop('notices', () => notices.stop());
  metrics.readNotices(() => {
    const { waiting, failed, oldest } = notices.backlog;
    return { waiting, failed, oldest: oldest === null ? 0 : Math.max(0, clock.wall() - oldest) / 1_000 };
  });
  const connect = (service: string, principal: string) => {
    const protocol = policies.get(service)?.protocol;
    const lines =
      protocol === undefined ? [] : connectHints(protocol, { service, principal, handle: '$HANDLE' }, status());
    // Between single quotes a shell would not put the handle in.
    return lines.map((line) => line.replaceAll("'", '"'));
  };
  const announcing = (audit: Audit) =>
    announced(audit, { outbox, policies, address: () => gatewayAddress(status()), connect, clock, log });
  return { notices, announcing };
}
