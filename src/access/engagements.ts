import type pg from 'pg';
import type { Notices } from '../alerts/notice.js';
import type { Clock } from '../clock.js';
import { type ReviewSettings, reviewsSchema } from '../config/reviews.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { DirectGrants } from './direct.js';
import type { Grants } from './grants.js';
import { Ndas } from './ndas.js';
import type { AccessEvent, RequestsParts } from './parts.js';
import type { PolicySource } from './policy.js';
import { Requests } from './requests.js';
import { Reviews } from './reviews.js';
import { type Audit, Transactor } from './transact.js';

export interface EngagementsParts {
  /** Of their own: a transaction here waits for the grants while it holds a connection. */
  readonly pool: pg.Pool;
  readonly grants: Grants;
  readonly policies: PolicySource;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  /** Who is told of an emergency within the transaction that begins it; nobody unless given. */
  readonly begun?: RequestsParts['begun'];
  /** Who is told of what happens to requests; nobody unless given. */
  readonly told?: (event: AccessEvent) => void | Promise<void>;
  /** When owners are asked about access that lasts; as without a key in the file unless given. */
  readonly reviews?: ReviewSettings;
  /** Who is told of reviews; nobody unless given. */
  readonly notices?: Notices | undefined;
  /** Whether the clock is that of the other gateways; always unless told. What nobody answered in time is over for good. */
  readonly clockAgrees?: () => boolean;
  /** How often unanswered requests and reviews are looked for, milliseconds; a minute unless told. */
  readonly sweepEvery?: number;
}

/** How people come to grants: what they ask for, who agrees, what they signed. */
export interface Engagements {
  readonly requests: Requests;
  readonly ndas: Ndas;
  /** What operators give past all requests. */
  readonly direct: DirectGrants;
  readonly reviews: Reviews;
  /** Ends the sweeping. */
  stop(): void;
}

const SWEEP_EVERY = 60_000;

/** Puts the parts together, lapses and ends what nobody answers, until `stop`. */
export function openAccessRequests(parts: EngagementsParts): Engagements {
  const { pool, grants, policies, audit, clock, clockAgrees = () => true, log } = parts;
  const { told = () => {}, begun = async () => {} } = parts;
  const transactor = new Transactor({ pool, clock, log, audit });
  const requests = new Requests({ transactor, policies, grants, begun, told, clock, log });
  const ndas = new Ndas(transactor, clock, policies, async (nda, actor, reason) => {
    const [left, ...more] = (await requests.revokeWhere({ nda: nda.id }, actor, reason)).failed;
    if (left === undefined) return;
    const message = `The NDA has ended, and ${1 + more.length} of the requests that stand on it have not: ${left.message}`;
    throw new DaypassError(left.code, message, { hint: 'End it again: what is left ends then.' });
  });
  const settings = parts.reviews ?? reviewsSchema.parse({});
  const reviews = new Reviews({ transactor, policies, requests, settings, clock, log, notices: parts.notices });
  const failed = (what: string) => (thrown: unknown) => log.warn({ error: messageOf(thrown) }, what);
  const sweep = async () => {
    if (!clockAgrees()) return;
    await requests.sweep().catch(failed('unanswered requests could not be lapsed'));
    await reviews.sweep().catch(failed('reviews could not be looked after'));
  };
  const timer = setInterval(() => void sweep(), parts.sweepEvery ?? SWEEP_EVERY).unref();
  const direct = new DirectGrants({ transactor, policies, grants, clock });
  return { requests, ndas, direct, reviews, stop: () => clearInterval(timer) };
}
