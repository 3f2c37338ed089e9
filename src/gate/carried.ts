import type { Duplex } from 'node:stream';
import type { Session } from '../session/session.js';
import type { Proof } from './credential.js';

/**
 * A connection to a service that comes through a tunnel of the gateway's own instead of its port. Who is behind it is known
 * already; whether they may come in, the gate is asked as for any other.
 */
export interface Carried {
  /** What the client sends, and is sent. */
  readonly stream: Duplex;
  readonly service: string;
  /** The person, at a grant. */
  readonly proof: Proof;
  readonly principal: string;
  /** The other end of the tunnel: address and port, and the address alone. */
  readonly client: string;
  readonly address: string;
  /** Where the client connects to on its own machine, `127.0.0.1:6001`. */
  readonly door: string;
  /** Called when a session of it begins: the tunnel tells why that ended. */
  readonly began: (session: Session) => void;
}

/** A protocol's way in for what is carried. Never throws. */
export type TakeCarried = (carried: Carried) => void;
