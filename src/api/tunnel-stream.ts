import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';

/** What both ends of a tunnel speak: bytes in binary messages, nothing else. */
export const TUNNEL_PROTOCOL = 'daypass.tunnel.v1';
/** The largest message that is taken, bytes; what is sent has at most `PIECE`. */
export const MOST_MESSAGE = 256 * 1024;
/**
 * What a WebSocket that becomes a tunnel takes. A message in pieces is held piece by piece until it is whole: of many tiny ones
 * each takes far more memory than its bytes.
 */
export const TUNNEL_LIMITS = {
  ...{ maxPayload: MOST_MESSAGE, maxFragments: 256, maxBufferedChunks: 1_024 },
  perMessageDeflate: false,
} as const;
const PIECE = 64 * 1024;
/** How often a tunnel is asked whether it lives, milliseconds. One that has said nothing for two rounds is dead. */
const ASK_EVERY = 15_000;

/** How a tunnel is closed (RFC 6455 section 7.4.2): 1000 by one who leaves, 4001 where the gateway ended what it carried. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** No close frame came: the connection broke. */
export const BROKEN = 1006;
const LEFT: Closing = { code: 1000, reason: '' };

/**
 * A WebSocket as a stream of bytes, the same at both ends. No more is read than is taken, and no more is taken than the other
 * end reads. A WebSocket cannot be closed by halves: whoever ends the stream closes it.
 */
export class TunnelStream extends Duplex {
  /** How the other end closed it; null while it has not. */
  ending: Closing | null = null;
  /** The other end's, where it is known: as a socket has it. */
  remoteAddress: string | undefined;
  readonly #socket: WebSocket;
  readonly #closing: () => Closing;
  readonly #timer: NodeJS.Timeout;
  #heard = true;

  /** @param closing - how it is closed when this end is done, asked then */
  constructor(socket: WebSocket, closing: () => Closing = () => LEFT) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#closing = closing;
    socket.on('message', (data, isBinary) => this.#message(data, isBinary));
    socket.on('ping', () => (this.#heard = true));
    socket.on('pong', () => (this.#heard = true));
    socket.on('error', () => {}); // told by `close`
    socket.once('close', (code, reason) => this.#gone({ code, reason: reason.toString() }));
    this.#timer = setInterval(() => this.#ask(), ASK_EVERY);
    this.#timer.unref();
  }

  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    let at = 0;
    for (; chunk.byteLength - at > PIECE; at += PIECE) this.#send(chunk.subarray(at, at + PIECE), () => {});
    this.#send(chunk.subarray(at), done);
  }

  #send(piece: Buffer, done: (error?: Error) => void): void {
    this.#socket.send(piece, { binary: true, compress: false }, done);
  }

  /** All that was written is on its way; the close frame follows it. */
  override _final(done: () => void): void {
    if (this.ending !== null) return done();
    const { code, reason } = this.#closing();
    this.#socket.once('close', () => done());
    this.#socket.close(code, short(reason));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#timer);
    this.#socket.terminate();
    done(error);
  }

  #message(data: RawData, isBinary: boolean): void {
    this.#heard = true;
    if (!isBinary || !Buffer.isBuffer(data)) return void this.destroy();
    if (!this.push(data)) this.#socket.pause();
  }

  #gone(closing: Closing): void {
    this.ending = closing;
    clearInterval(this.#timer);
    if (closing.code === BROKEN) this.destroy();
    else this.push(null); // what came is still to be read
  }

  #ask(): void {
    // Whoever does not read hears no answer either.
    if (!this.#heard && !this.#socket.isPaused) return void this.destroy();
    this.#heard = false;
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }
}

/** A reason has at most 123 bytes (RFC 6455 section 5.5). */
function short(reason: string): string {
  const bytes = Buffer.from(reason);
  return bytes.byteLength <= 123
    ? reason
    : bytes
        .subarray(0, 120)
        .toString()
        .replace(/\ufffd+$/, '');
}
