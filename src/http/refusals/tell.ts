import { crowded } from '../../gate/entitlement.js';
import type { Session } from '../../session/session.js';
import type { ClientRequest } from '../client/request.js';
import type { HttpParts } from '../parts.js';
import { clientOf } from '../whence.js';
import { type Refusal, refusalOf, refusalOfEnd } from './deny.js';

/** Tells of a request that no service is asked about, since it is not one that may be passed on. */
export function tellFault({ faults }: HttpParts, req: ClientRequest, refusal: Refusal): void {
  const { status, reason, rule = status === 404 ? 'an address of the gateway' : 'well-formed request' } = refusal;
  faults.tell({ client: clientOf(req), status, reason, rule });
}

/** The refusal of a request whose session ended while it was on its way in. */
export function tellEnded(parts: HttpParts, req: ClientRequest, session: Session): Refusal {
  return tellOf(parts, req, session, refusalOfEnd(session), 'a live session');
}

/** The refusal of a request whose connection is one too many of its person's. */
export function tellCrowded(parts: HttpParts, req: ClientRequest, session: Session): Refusal {
  return tellOf(parts, req, session, refusalOf(crowded(), session.id), 'connections of one person');
}

function tellOf({ faults }: HttpParts, req: ClientRequest, session: Session, refusal: Refusal, rule: string): Refusal {
  const { status, reason } = refusal;
  const { id, policy } = session;
  faults.tell({ service: policy.name, session: id, client: clientOf(req), status, reason, rule });
  return refusal;
}
