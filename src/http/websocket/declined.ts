import type { Session } from '../../session/session.js';
import { BodyTap } from '../body/tap.js';
import { PackedSightings } from '../packed/sighted.js';
import { type Instants, resultOf } from '../record/result.js';
import { settingsOf } from '../rules/decide.js';
import type { ResponseHead } from '../service/response-head.js';
import type { Addressed } from '../service/target.js';

/** An answer in place of a WebSocket, whole. */
interface Declined {
  /** The sequence number of the recorded opening. */
  readonly seq: number;
  readonly head: ResponseHead;
  readonly body: Buffer;
  readonly session: Session;
  readonly addressed: Addressed;
  readonly at: Instants;
}

/** What the record says of it: the same as of any answer. */
export function resultOfDeclined({ seq, head, body, session, addressed, at }: Declined): ReturnType<typeof resultOf> {
  const { bodies } = settingsOf(session.role);
  const tap = new BodyTap(bodies ?? 0);
  tap.whole(body);
  if (head.coding !== null) {
    const sighted = new PackedSightings(session, head.coding);
    sighted.push(body);
    sighted.end();
  }
  return resultOf({
    seq,
    status: head.status,
    reason: null,
    request: null,
    response: { headers: head.headers, tap, isWhole: true },
    withheld: head.withheldFrom(addressed),
    contentType: head.contentType,
    keepsResponse: bodies !== null,
    isRepeated: false,
    at,
  });
}
