import type { Admission } from '../gate/admission.js';
import { Passage, type Proposal } from '../gate/passage.js';
import type { Log } from '../log.js';
import { type Decision, deny, type Rate } from '../policy/decision.js';
import type { Session } from '../session/session.js';
import type { HttpAction, RequestAction } from './action.js';
import type { ClientRequest } from './client/request.js';
import type { HttpParts } from './parts.js';
import { httpProtocol } from './protocol.js';
import { besides } from './rules/besides.js';
import { decideLine, decideWith, HttpRole, settingsOf } from './rules/decide.js';
import { readServiceTarget } from './rules/path.js';
import { upstreamOf } from './service/target.js';

/** How many requests and WebSockets of one grant may be under way at once. */
const MAX_AT_ONCE = 256;

/** A request as it is decided and recorded. */
export function actionOf(
  { target: rawTarget, headers }: ClientRequest,
  method: string,
  client: string,
  admission: Admission,
): RequestAction {
  const { injected } = upstreamOf(admission);
  return { kind: 'request', method, target: readServiceTarget(rawTarget), rawTarget, client, headers, injected };
}

/** The way of one request's actions through the gate. */
export function passageOf(session: Session, log: Log): Passage<HttpAction> {
  return new Passage<HttpAction>(session, httpProtocol, log);
}

/**
 * The decision on a request: a session that has too much under way is told to wait. Where a role is missing the name of one
 * that would do is said: a role knows only itself.
 */
export function judge(parts: HttpParts, passage: Passage<HttpAction>, action: RequestAction): Decision {
  if (underWay(parts, passage.session) >= MAX_AT_ONCE) return TOO_MANY;
  const decision = passage.judge(action);
  if (decision.outcome === 'allow') return withinRate(parts, passage.session, decision);
  if (decision.reason !== 'out_of_scope') return decision;
  const { roles, owner } = passage.session.policy;
  const others = besides(action, settingsOf(passage.session.role)); // not once for each role: a long query takes a while
  for (const role of roles.values()) {
    if (role instanceof HttpRole && decideWith(role, action, others).outcome === 'allow') {
      return { ...decision, hint: `ask ${owner} for a grant with the role ${role.name}` };
    }
  }
  return { ...decision, hint: decision.hint.replace('the owner of the service', owner) };
}

/**
 * Decides and records a request, and behind it, where it is allowed, what it asks for besides, as which that was decided on.
 * @returns the decision that counts: a denial where any of it cannot be recorded
 */
export function propose(parts: HttpParts, passage: Passage<HttpAction>, action: RequestAction): Proposal {
  const proposal = passage.propose(action, judge(parts, passage, action));
  const { role } = passage.session;
  if (proposal.decision.outcome !== 'allow' || !(role instanceof HttpRole)) return proposal;
  const { seq } = proposal;
  for (const other of besides(action, role.settings)) {
    const { decision } = passage.propose({ ...other, of: seq }, decideLine(role, other));
    if (decision.outcome !== 'allow') return { decision, seq };
  }
  return proposal;
}

/** What is under way of a grant: a browser that begins anew has another session, and no more room. */
function underWay({ gate }: HttpParts, { grant }: Session): number {
  let sum = 0;
  for (const { connections } of gate.live.registry.ofGrant(grant.id)) sum += connections;
  return sum;
}

/** The decision, or a denial when its rule has been used too often. */
export function withinRate({ rates, monotonic }: HttpParts, { grant }: Session, decision: Decision): Decision {
  const limits = decision.obligations.rates;
  if (limits === undefined) return decision;
  // Each rule counts a request once, however much of it that allows.
  const counted = new Set<string>();
  for (const { rule, rate } of limits) {
    if (counted.has(rule)) continue;
    counted.add(rule);
    const wait = rates.take(grant.id, rule, rate, monotonic());
    if (wait > 0) return tooOften(rule, rate, Math.ceil(wait / 1_000));
  }
  return decision;
}

function tooOften(rule: string, { count, seconds }: Rate, retryAfter: number): Decision {
  const often = `${count} times in ${seconds} s`;
  return { ...deny('too_many', rule, `This is allowed ${often}.`, `wait ${retryAfter} s`), retryAfter };
}

const TOO_MANY = deny(
  'too_many',
  `at most ${MAX_AT_ONCE} requests at once`,
  `More than ${MAX_AT_ONCE} requests of this grant are under way.`,
  'wait until some have ended',
);
