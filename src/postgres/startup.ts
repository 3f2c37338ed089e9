import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type SecureContext, TLSSocket } from 'node:tls';
import { carriedBy, endSurely } from '../session/connection.js';
import { Input, MOST_PASSWORD, MOST_STARTUP, refused, StartupRefused } from './input.js';
import { type Login, readUser, scramLogin } from './login.js';
import { askPassword, errorResponse, negotiateProtocolVersion, type Report } from './wire/backend.js';
import { FramingError } from './wire/framing.js';
import { CODE, readPassword, readStartupParameters } from './wire/frontend.js';

/** What a client wants before it is asked who it is. */
export type Opening =
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup';
      readonly socket: Duplex;
      readonly parameters: Map<string, string>;
      /** The minor version of protocol 3 that is spoken: 0 or 2. */
      readonly minor: 0 | 2;
      readonly login: Login;
    };

const ALPN = 'postgresql';
const TLS_HANDSHAKE = 0x16;
/** The newest minor version: 3.2 brought longer cancel keys. */
const NEWEST_MINOR = 2;

/**
 * Takes a connection through TLS negotiation and the start-up packet up to its password.
 * SSLRequest and GSSENCRequest are answered at most once each; nothing that arrived before TLS was up is ever read as if
 * it had come through it (CVE-2021-23214, CVE-2021-3935).
 * @param tls - the listener's certificate, or null when it has none
 * @param plainAllowed - whether this client may go on without TLS (loopback, a tunnel)
 * @param isKnown - whether it is known who this is: no password is asked for
 * @throws StartupRefused with what to tell the client
 */
export async function openConnection(
  raw: Duplex,
  tls: SecureContext | null,
  plainAllowed: boolean,
  secured: (socket: Duplex) => void = () => {},
  isKnown = false,
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
    if (!isSecure && !plainAllowed)
      throw refused('28000', 'this gateway requires TLS', 'connect with sslmode=require', 'TLS off loopback');
    if (code === CODE.cancel)
      return { kind: 'cancel', pid: packet.length >= 12 ? packet.readInt32BE(8) : 0, secret: packet.subarray(12) };
    return startup(input, packet, code, isKnown);
  }
}

async function startup(input: Input, packet: Buffer, version: number, isKnown: boolean): Promise<Opening> {
  if (version >> 16 !== 3)
    throw refused('0A000', `protocol version ${version >> 16}.${version & 0xffff} is not supported`);
  const parameters = readStartupParameters(packet.subarray(8));
  const unknown = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  for (const name of unknown) parameters.delete(name);
  const asked = version & 0xffff;
  const minor = asked >= NEWEST_MINOR ? NEWEST_MINOR : 0;
  if (asked !== minor || unknown.length > 0)
    input.socket.write(negotiateProtocolVersion(CODE.version3 + minor, unknown));
  const user = parameters.get('user');
  if (!user) throw refused('28000', 'no user name was given');
  const login = isKnown ? askForNothing(input) : await askWho(input, user);
  return { kind: 'startup', socket: input.socket, parameters, minor, login };
}

async function askWho(input: Input, user: string): Promise<Login> {
  const { grantId } = readUser(user);
  return grantId === null ? await askForPassword(input) : scramLogin(input, grantId);
}

function askForNothing(input: Input): Login {
  input.expectNothing();
  input.release();
  return { kind: 'known' };
}

async function askForPassword(input: Input): Promise<Login> {
  input.socket.write(askPassword());
  const password = readPassword(await input.message('p', MOST_PASSWORD));
  input.expectNothing();
  input.release();
  return { kind: 'password', password };
}

/** Tells the client why, if there is anything to tell, and closes. */
export function refuseConnection(socket: Duplex, report: Report | null): void {
  if (report === null || socket.destroyed) socket.destroy();
  else {
    socket.write(errorResponse(report));
    endSurely(socket);
  }
}

async function secure(input: Input, context: SecureContext): Promise<TLSSocket> {
  const socket = input.release();
  if (!(socket instanceof Socket)) throw refused('08P01', 'there is no TLS within a tunnel');
  const secured = new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    ALPNProtocols: [ALPN],
    requestCert: false,
  });
  carriedBy(secured, socket);
  await new Promise<void>((resolve, reject) => {
    secured.once('secure', resolve);
    secured.once('error', reject);
    secured.once('close', () => reject(new StartupRefused('malformed', null)));
  });
  return secured;
}

/** What the failure of a start-up is for its client. */
export function refusalOfStart(thrown: unknown): StartupRefused {
  if (thrown instanceof StartupRefused) return thrown;
  if (thrown instanceof FramingError) return refused('08P01', thrown.message);
  return new StartupRefused('malformed', null);
}
