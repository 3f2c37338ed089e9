import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { TUNNEL_LIMITS, TUNNEL_PROTOCOL, TunnelStream } from '../api/tunnel-stream.js';
import { DaypassError, messageOf } from '../errors.js';
import { type Place, refusalOf } from './remote.js';

/** Where a tunnel leads, and who opens it. */
export interface Destination extends Place {
  readonly token: string;
  readonly service: string;
  /** The one that ends last unless told. */
  readonly grant?: string | undefined;
  /** Where clients connect to on this machine. */
  readonly port: number;
}

/** How long a gateway may take to open a tunnel, and how much of a refusal is read. Milliseconds, bytes. */
const LIMIT = 10_000;
const MOST_REFUSAL = 64 * 1024;

/**
 * Opens one tunnel: the way of one connection.
 * @throws DaypassError `no_gateway`, `not_logged_in`, or what the gateway answered
 */
export function openTunnel({ gateway, ca, token, service, grant, port }: Destination): Promise<TunnelStream> {
  const query = new URLSearchParams({ service, port: String(port), ...(grant === undefined ? {} : { grant }) });
  const socket = new WebSocket(`${gateway.replace(/^http/, 'ws')}/api/v1/tunnels?${query}`, TUNNEL_PROTOCOL, {
    ...{ ...TUNNEL_LIMITS, headers: { authorization: `Bearer ${token}` }, handshakeTimeout: LIMIT },
    ...{ followRedirects: false, ...(ca === undefined ? {} : { ca }) },
  });
  return new Promise((resolve, reject) => {
    // Made before anything can come: the first bytes may be in the very packet that opens it.
    const stream = new TunnelStream(socket);
    stream.on('error', () => {}); // told by how it was closed
    socket.once('open', () => resolve(stream));
    socket.once('error', (cause) => reject(unreachable(gateway, cause)));
    socket.once('unexpected-response', (_request, response: IncomingMessage) => {
      refusal(gateway, response).then(reject, (cause) => reject(unreachable(gateway, cause)));
    });
  });
}

async function refusal(gateway: string, response: IncomingMessage): Promise<DaypassError> {
  response.setEncoding('utf8');
  let text = '';
  for await (const piece of response) {
    text += String(piece);
    if (text.length > MOST_REFUSAL) break;
  }
  const { statusCode = 0 } = response;
  // What stands in front of a gateway that is away answers so.
  if (statusCode === 502 || statusCode === 504) return new DaypassError('no_gateway', `HTTP ${statusCode}`);
  return refusalOf(gateway, statusCode, text);
}

function unreachable(gateway: string, cause: unknown): DaypassError {
  return new DaypassError('no_gateway', `No gateway answers at ${gateway}: ${messageOf(cause)}`, { cause });
}
