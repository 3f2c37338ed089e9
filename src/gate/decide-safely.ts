import { messageOf } from '../errors.js';
import { type Decision, deny } from '../policy/decision.js';
import type { Protocol } from './protocol.js';

/** As the gate does, where nobody is about to act: a decision that throws is a denial. */
export function decideSafely(protocol: Protocol, role: unknown, action: unknown): Decision {
  try {
    return protocol.decide(role, action);
  } catch (error) {
    return deny('unknown_effect', 'no rule could be applied', `The action could not be judged: ${messageOf(error)}`);
  }
}
