import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { DenialReason } from '../policy/reason.js';
import { endSurely } from '../session/connection.js';
import { askPassword, errorResponse, negotiateProtocolVersion, type Report } from './wire/backend.js';
import { FramingError } from './wire/framer.js';
import { CODE, readPassword, readStartupParameters } from './wire/frontend.js';

/** What a client wants before it is asked who it is. */
export type Opening =
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup';
      readonly socket: Socket;
      readonly parameters: Map<string, string>;
      readonly password: string;
    };

/** A connection that ends before it has begun, with what its client is told. */
export class StartupRefused extends Error {
  readonly report: Report | null;
  readonly reason: DenialReason;

  constructor(reason: DenialReason, report: Report | null) {
    super(report?.message ?? 'the client left');
    this.reason = reason;
    this.report = report;
  }
}

/** PostgreSQL's own limit for the packet. */
const MOST_STARTUP = 10_000;
const MOST_PASSWORD = 4_096;
const ALPN = 'postgresql';
const TLS_HANDSHAKE = 0x16;

/**
 * Takes a connection through TLS negotiation and the start-up packet up to its password.
 * SSLRequest and GSSENCRequest are answered at most once each; nothing that arrived before TLS was up is ever read as if
 * it had come through it (CVE-2021-23214, CVE-2021-3935).
 * @param tls - the listener's certificate, or null when it has none
 * @param plainAllowed - whether this client may go on without TLS (loopback)
 * @throws StartupRefused with what to tell the client
 */
export async function openConnection(
  raw: Socket,
  tls: SecureContext | null,
  plainAllowed: boolean,
  secured: (socket: Socket) => void = () => {},
): Promise<Opening> {
  let input = new Input(raw);
  let isSecure = false;
  const encrypt = async (context: SecureContext, direct: boolean) => {
    const socket = await secure(input, context);
    secured(socket);
    // libpq 17's direct TLS demands ALPN on both sides, so that other protocols cannot be steered in here.
    if (direct && socket.alpnProtocol !== ALPN) throw refused('08P01', 'direct TLS needs ALPN "postgresql"');
    input = new Input(socket);
    isSecure = true;
  };
  const asked = new Set<number>();
  for (;;) {
    if (!isSecure && (await input.peek()) === TLS_HANDSHAKE) {
      if (tls === null) throw refused('08P01', 'this gateway has no TLS certificate');
      await encrypt(tls, true);
      continue;
    }
    const packet = await input.packet(8, MOST_STARTUP);
    const code = packet.readInt32BE(4);
    if (code === CODE.ssl || code === CODE.gssenc) {
      if (isSecure || asked.has(code) || packet.length !== 8)
        throw refused('08P01', 'encryption was already negotiated');
      asked.add(code);
      if (!input.isEmpty) throw refused('08P01', 'data arrived before encryption was negotiated');
      if (code === CODE.ssl && tls !== null) {
        input.socket.write('S');
        await encrypt(tls, false);
      } else input.socket.write('N');
      continue;
    }
    if (!isSecure && !plainAllowed) throw refused('28000', 'this gateway requires TLS', 'connect with sslmode=require');
    if (code === CODE.cancel)
      return { kind: 'cancel', pid: packet.length >= 12 ? packet.readInt32BE(8) : 0, secret: packet.subarray(12) };
    return startup(input, packet, code);
  }
}

async function startup(input: Input, packet: Buffer, version: number): Promise<Opening> {
  if (version >> 16 !== 3)
    throw refused('0A000', `protocol version ${version >> 16}.${version & 0xffff} is not supported`);
  const parameters = readStartupParameters(packet.subarray(8));
  const unknown = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  for (const name of unknown) parameters.delete(name);
  if ((version & 0xffff) > 0 || unknown.length > 0)
    input.socket.write(negotiateProtocolVersion(CODE.version3, unknown));
  if (!parameters.get('user')) throw refused('28000', 'no user name was given');
  input.socket.write(askPassword());
  const message = await input.message('p', MOST_PASSWORD);
  const password = readPassword(message);
  if (!input.isEmpty) throw refused('08P01', 'data arrived before authentication had ended');
  return { kind: 'startup', socket: input.release(), parameters, password };
}

function refused(sqlstate: string, message: string, hint = ''): StartupRefused {
  return new StartupRefused('malformed', { severity: 'FATAL', sqlstate, message: `Daypass: ${message}`, hint });
}

/** Tells the client why, if there is anything to tell, and closes. */
export function refuseConnection(socket: Socket, report: Report | null): void {
  if (report === null || socket.destroyed) socket.destroy();
  else {
    socket.write(errorResponse(report));
    endSurely(socket);
  }
}

async function secure(input: Input, context: SecureContext): Promise<TLSSocket> {
  const socket = input.release();
  const secured = new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    ALPNProtocols: [ALPN],
    requestCert: false,
  });
  await new Promise<void>((resolve, reject) => {
    secured.once('secure', resolve);
    secured.once('error', reject);
    secured.once('close', () => reject(new StartupRefused('malformed', null)));
  });
  return secured;
}

/** Reads a socket packet by packet; gives it back paused, with what was not consumed put back. */
class Input {
  readonly socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;
  #gone = false;
  readonly #onData = (chunk: Buffer) => {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    if (this.#buffer.length > MOST_STARTUP + MOST_PASSWORD) this.socket.pause();
    this.#wake?.();
  };
  readonly #onGone = () => {
    this.#gone = true;
    this.#wake?.();
  };

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', this.#onData);
    socket.on('close', this.#onGone);
    socket.on('end', this.#onGone);
    socket.on('error', this.#onGone);
    socket.resume();
  }

  get isEmpty(): boolean {
    return this.#buffer.length === 0;
  }

  /** The first byte, without taking it. */
  async peek(): Promise<number> {
    await this.#need(1);
    return this.#buffer[0]!;
  }

  /** A packet that begins with its own length. */
  async packet(least: number, most: number): Promise<Buffer> {
    await this.#need(4);
    const length = this.#buffer.readInt32BE(0);
    if (length < least || length > most) throw refused('08P01', 'the length of the start-up packet is impossible');
    return this.#take(length);
  }

  /** A message of one type. */
  async message(type: string, most: number): Promise<Buffer> {
    await this.#need(5);
    const length = this.#buffer.readInt32BE(1);
    if (this.#buffer[0] !== type.charCodeAt(0) || length < 4 || length > most)
      throw refused('08P01', 'a password message was expected');
    return this.#take(length + 1);
  }

  /** Stops reading; what was received and not taken stands in the socket again. */
  release(): Socket {
    this.socket.pause();
    this.socket.off('data', this.#onData);
    this.socket.off('close', this.#onGone);
    this.socket.off('end', this.#onGone);
    this.socket.off('error', this.#onGone);
    if (this.#buffer.length > 0) this.socket.unshift(this.#buffer);
    return this.socket;
  }

  async #take(length: number): Promise<Buffer> {
    await this.#need(length);
    const out = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return out;
  }

  async #need(length: number): Promise<void> {
    while (this.#buffer.length < length) {
      if (this.#gone || this.socket.destroyed) throw new StartupRefused('malformed', null);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }
}

/** Whether a start-up read failed for what the client sent. */
export function asRefusal(thrown: unknown): StartupRefused {
  if (thrown instanceof StartupRefused) return thrown;
  if (thrown instanceof FramingError) return refused('08P01', thrown.message);
  return new StartupRefused('malformed', null);
}
