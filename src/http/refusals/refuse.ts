import type { Duplex } from 'node:stream';
import type { Passage } from '../../gate/passage.js';
import type { HttpAction } from '../action.js';
import { type Refusal, refusalOfCut, refusalOfEnd } from './deny.js';

/**
 * Says a refusal once its record is safe, so that refused actions wait like allowed ones and cannot fill the recorder's queue.
 * Should the session end first, its end is said instead: the client is never left without an answer.
 */
export function refuseOnceRecorded(
  passage: Passage<HttpAction>,
  client: Duplex,
  refusal: Refusal,
  say: (refusal: Refusal) => void,
): void {
  const { session } = passage;
  if (!session.isLive()) return say(refusalOfEnd(session));
  let said = false;
  const once = (answer: Refusal) => {
    if (said) return;
    said = true;
    say(answer);
  };
  const detach = session.attach({
    client,
    severUpstream() {},
    farewell: (cut) => once(refusalOfCut(cut, session.id)),
    warn() {},
    policyChanged() {},
  });
  passage.release(() => {
    detach();
    once(refusal);
  });
}
