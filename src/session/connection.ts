import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { CutReason } from '../policy/reason.js';

/** Why and when a session is being cut, in the words the client is told. */
export interface Cut {
  readonly reason: CutReason;
  /** One sentence without a full stop: what ended and why, naming the grant. */
  readonly message: string;
  /** What the person can do about it. */
  readonly hint: string;
}

/** What a protocol hands to the session for each client connection (or HTTP exchange), so that it can be cut. */
export interface Connection {
  /** The client's side: ended after the farewell, destroyed when it does not flush in time. */
  readonly client: Duplex;
  /** What still comes from the client is read and dropped after the end (see `endSurely`): only where nothing acts on it. */
  readonly dropsInput?: true;
  /** Cancels what runs upstream and destroys that side. First of all, and must not wait. */
  severUpstream(): void;
  /** Says goodbye in the client's own protocol, unless a message to the client is half-sent. Writes; does not end. */
  farewell(cut: Cut): void;
  /** Tells the client that its time is running out, if the protocol can say it in-band now. */
  warn(message: string): void;
  /** The policy was reloaded: what is still under way is judged again. */
  policyChanged(): void;
}

/** How long a peer may take to receive the last that it is sent, milliseconds. */
const FLUSH_LIMIT = 250;

/** The TCP connections under TLS ones and tunnels. */
const carriers = new WeakMap<Duplex, Socket>();

/** Tells what a TLS connection, or a tunnel, is carried by, so that it can be let go of as surely as a plain one. */
export function carriedBy(inner: Duplex, carrier: Socket): void {
  carriers.set(inner, carriers.get(carrier) ?? carrier);
}

/** What a stream is carried by: itself, where that is nothing else. */
export function carrierOf(stream: Duplex): Duplex {
  return carriers.get(stream) ?? stream;
}

/**
 * Ends a stream politely, and surely: destroyed when everything is flushed; let go of when the limit has passed.
 * @param dropsInput - until the peer ends too, or the limit, what it sends is read, for whoever reads it to drop: a peer amid
 *   sending much (COPY) reads the farewell only when it is rid of that, and a connection closed on top of what it sent is
 *   reset, whereupon it may not read at all (RFC 1122 section 4.2.2.13; nginx calls it a lingering close)
 */
export function endSurely(stream: Duplex, dropsInput = false): void {
  if (stream.destroyed || resetting.has(stream)) return;
  const timer = setTimeout(() => letGo(stream), FLUSH_LIMIT);
  stream.once('close', () => clearTimeout(timer));
  if (!dropsInput) return void stream.end(() => stream.destroy());
  stream.end(); // closed by itself once both sides have ended
  stream.resume();
}

/**
 * Destroys a stream. Whoever has not taken what was written gets no more of it: a plain close would leave megabytes with
 * the system, which hands them on for as long as the reader likes, also after the end of the grant.
 */
export function letGo(stream: Duplex): void {
  const carrier = carrierOf(stream);
  if (stream.writableLength > 0 || carrier.writableLength > 0) reset(stream);
  else stream.destroy();
}

/** Destroys a stream by a TCP reset, which no reader can take for an end; in a turn or two of the event loop where its end is being said. */
export function reset(stream: Duplex): void {
  const carrier = carrierOf(stream);
  if (carrier instanceof Socket && !(carrier instanceof TLSSocket)) resetCarrier(stream, carrier, TURNS);
  else stream.destroy();
}

/**
 * While a connection is being shut down the system takes no reset of it, and Node, told so, would neither close it nor end a
 * process that has it. That is over in the next turn, but where TLS has its end to write to a peer that reads nothing: it is closed then.
 */
function resetCarrier(stream: Duplex, carrier: Socket, turns: number): void {
  if (!isShuttingDown(stream) && !isShuttingDown(carrier)) carrier.resetAndDestroy();
  else if (turns > 0) {
    resetting.add(stream);
    return void setImmediate(() => resetCarrier(stream, carrier, turns - 1));
  }
  stream.destroy();
}

const TURNS = 2;
/** What is reset in a moment: a close before that would leave what the system holds to its reader. */
const resetting = new WeakSet<Duplex>();

function isShuttingDown({ destroyed, writableEnded, writableFinished, writableLength }: Duplex): boolean {
  return writableEnded && !writableFinished && writableLength === 0 && !destroyed;
}
