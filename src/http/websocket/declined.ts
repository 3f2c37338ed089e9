import type { IncomingMessage } from 'node:http';
import type { Session } from '../../session/session.js';
import { BodyTap } from '../body/tap.js';
import { pairs, withheldFrom } from '../headers/headers.js';
import { codingOf } from '../packed/coding.js';
import { PackedSightings } from '../packed/sighted.js';
import { type Instants, resultOf } from '../record/result.js';
import { settingsOf } from '../rules/decide.js';
import type { Addressed } from '../service/target.js';

/** How much of an answer other than 101 is passed on, bytes. */
export const DECLINED_BYTES = 64 * 1024;

/** An answer in place of a WebSocket, whole. */
interface Declined {
  /** The sequence number of the recorded opening. */
  readonly seq: number;
  readonly response: IncomingMessage;
  readonly body: Buffer;
  readonly session: Session;
  readonly addressed: Addressed;
  readonly at: Instants;
}

/** What the record says of it: the same as of any answer. */
export function resultOfDeclined({
  seq,
  response,
  body,
  session,
  addressed,
  at,
}: Declined): ReturnType<typeof resultOf> {
  const { bodies } = settingsOf(session.role);
  const headers = pairs(response.rawHeaders);
  const tap = new BodyTap(bodies ?? 0);
  tap.whole(body);
  const coding = codingOf(headers);
  if (coding !== null) {
    const sighted = new PackedSightings(session.sightings, coding);
    sighted.push(body);
    sighted.end();
  }
  return resultOf({
    seq,
    status: response.statusCode ?? null,
    reason: null,
    request: null,
    response: { headers, tap, isWhole: true },
    withheld: withheldFrom(headers, addressed),
    contentType: response.headers['content-type'],
    keepsResponse: bodies !== null,
    isRepeated: false,
    at,
  });
}
