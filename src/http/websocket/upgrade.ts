import type { Duplex } from 'node:stream';
import type { Admission } from '../../gate/admission.js';
import { enter } from '../admit.js';
import { isApiPath, upgradeApi } from '../browser/api-side.js';
import { refuse } from '../browser/refusals.js';
import { isOwnTarget } from '../browser/service-side.js';
import type { ClientRequest } from '../client/request.js';
import { selectCarried } from '../headers/host.js';
import { actionOf, passageOf, propose } from '../judge.js';
import type { HttpParts } from '../parts.js';
import { refusalOf, sendRawRefusal } from '../refusals/deny.js';
import { refuseOnceRecorded } from '../refusals/refuse.js';
import { tellCrowded, tellEnded, tellFault } from '../refusals/tell.js';
import { faultOf } from '../request.js';
import { readTarget } from '../rules/path.js';
import { clientOf } from '../whence.js';
import { readWish } from './handshake.js';
import { Opening, type OpeningParts } from './opening.js';

/** A request for a WebSocket, found valid. */
type Asking = Pick<OpeningParts, 'parts' | 'req' | 'socket' | 'wish' | 'arrivedAt'>;

/** One upgrade request from its head to its refusal or its relay. */
export async function serveUpgrade(parts: HttpParts, req: ClientRequest, socket: Duplex, rest: Buffer): Promise<void> {
  const arrivedAt = parts.monotonic();
  const { head: opening, headers, target } = req;
  const fault = faultOf(target, opening);
  if (fault !== null) {
    tellFault(parts, req, fault);
    return sendRawRefusal(socket, req, fault);
  }
  const wished = readWish(req, rest);
  if (!wished.ok) {
    tellFault(parts, req, wished.refusal);
    return sendRawRefusal(socket, req, wished.refusal, wished.refusal.status === 426 ? SPOKEN : {});
  }
  const carried = parts.carried.get(socket);
  const selected = carried === undefined ? opening.selected : selectCarried(headers, carried);
  if (selected.kind === 'gateway' && toApi(parts, req, socket, rest)) return;
  const entry = isOwnTarget(target)
    ? ({ ok: false, refusal: refuse.nothingHere() } as const)
    : await enter(parts, selected, { method: 'WS', head: opening, client: clientOf(req), carried });
  if (!entry.ok) {
    if (selected.kind === 'gateway' || isOwnTarget(target)) tellFault(parts, req, entry.refusal);
    return sendRawRefusal(socket, req, entry.refusal);
  }
  const { session } = entry.admission;
  if (!req.letIn(session.grant.principal)) return sendRawRefusal(socket, req, tellCrowded(parts, req, session));
  return serveAdmitted({ parts, req, socket, arrivedAt, wish: wished.wish }, entry.admission);
}

/** Decides on the opening, and begins it once that is recorded. */
async function serveAdmitted(asking: Asking, admission: Admission): Promise<void> {
  const { parts, req, socket } = asking;
  const { session } = admission;
  // Before the decision, so that nothing can come between it and its release.
  const assertion = await parts.identity.assertion(session);
  if (socket.destroyed) return;
  // Its client has ended its side while nobody listened to that: nobody else would hear of it any more.
  if (socket.readableEnded) return void socket.destroy();
  if (!session.isLive()) return sendRawRefusal(socket, req, tellEnded(parts, req, session));
  const action = actionOf(req, 'WS', clientOf(req), admission);
  const passage = passageOf(session, parts.log);
  const { decision, seq } = propose(parts, passage, action);
  if (decision.outcome !== 'allow' || !action.target.ok) {
    const refusal = refusalOf(decision, session.id);
    return refuseOnceRecorded(passage, socket, refusal, (said) => sendRawRefusal(socket, req, said));
  }
  const { path, query } = action.target;
  const way = new Opening({ ...asking, admission, passage, action, seq, path, query, assertion });
  passage.release(() => way.start());
}

/** What a 426 has to say (RFC 9110 section 15.5.22, RFC 6455 section 4.4). */
const SPOKEN = { upgrade: 'websocket', connection: 'Upgrade, close', 'sec-websocket-version': '13' };

/** Whether it was the API that is asked. */
function toApi(parts: HttpParts, req: ClientRequest, socket: Duplex, head: Buffer): boolean {
  const target = readTarget(req.target);
  return target.ok && isApiPath(target.path) && upgradeApi(parts, req, { socket, head }, target);
}
