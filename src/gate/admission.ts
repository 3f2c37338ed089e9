import type { ServicePolicy } from '../config/protocol.js';
import type { Session } from '../session/session.js';

let mint: (session: Session) => Admission;

/**
 * Proof that a connection's grant was checked for one service. Whatever dials an upstream takes one, and only
 * `gate/gate.ts` can make one: the constructor is private, and the way in is not exported from this room (a test holds the
 * whole tree to that).
 */
export class Admission {
  readonly session: Session;

  private constructor(session: Session) {
    this.session = session;
  }

  static {
    mint = (session) => new Admission(session);
  }

  /** The service under the policy in force. */
  get policy(): ServicePolicy {
    return this.session.policy;
  }
}

/** For `gate/gate.ts` alone. */
export function mintAdmission(session: Session): Admission {
  return mint(session);
}
