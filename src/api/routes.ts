import type { Gate } from '../gate/gate.js';
import type { OrderedEnds } from '../gate/ordered-ends.js';
import type { Policies } from '../gate/policies.js';
import type { GrantAuthority } from '../grant/authority.js';
import type { People } from '../identity/people.js';
import { type Alerts, alertRoutes } from './alerts.js';
import type { ApiApp } from './app.js';
import { type AuditBook, auditRoutes } from './audit.js';
import { grantViewRoutes } from './grant-views.js';
import { type DirectBook, grantRoutes } from './grants.js';
import { meRoutes } from './me.js';
import { type NdaBook, ndaRoutes } from './ndas.js';
import { type NoticeBook, noticeRoutes } from './notices.js';
import type { GatewayStatus } from './parts.js';
import { policyReplayRoutes } from './policy-replay.js';
import { recordingRoutes } from './recordings.js';
import { type RequestBook, requestRoutes } from './requests.js';
import { type Reviewing, reviewingRoutes } from './reviewing.js';
import { type ReviewBook, reviewRoutes } from './reviews.js';
import { revocationRoutes } from './revocations.js';
import { serviceRoutes } from './services.js';
import { sessionRoutes } from './sessions.js';

/** What the routes are made of that people and the operator share. */
export interface RouteParts extends Reviewing, AuditBook, NoticeBook {
  readonly requests: RequestBook;
  readonly ndas: NdaBook;
  readonly direct: DirectBook;
  readonly reviews: ReviewBook;
  readonly alerts: Alerts;
  readonly grants: Pick<GrantAuthority, 'list' | 'show' | 'revoke'>;
  readonly people: People;
  readonly policies: Pick<Policies, 'get' | 'all'>;
  readonly gate: Pick<Gate, 'live'>;
  readonly ends: Pick<OrderedEnds, 'endHere' | 'order'>;
  readonly status: () => GatewayStatus;
}

/** The routes that both doors have: the operator's socket and the gateway's own host. Who asks is the door's to find out. */
export function sharedRoutes(app: ApiApp, parts: RouteParts): void {
  meRoutes(app, parts);
  serviceRoutes(app, parts);
  grantViewRoutes(app, parts);
  grantRoutes(app, parts);
  recordingRoutes(app, parts);
  reviewingRoutes(app, parts);
  policyReplayRoutes(app, parts);
  sessionRoutes(app, parts);
  requestRoutes(app, parts);
  ndaRoutes(app, parts);
  revocationRoutes(app, parts);
  noticeRoutes(app, parts);
  reviewRoutes(app, parts);
  alertRoutes(app, parts);
  auditRoutes(app, parts);
}
