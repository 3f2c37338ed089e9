import { CODE } from './frontend.js';
import { cstrings, frame, int32 } from './writing.js';

/** Messages the gateway sends a server, as a client does (section "Message Formats"). */

/** StartupMessage of protocol 3.0. */
export function startupMessage(parameters: ReadonlyMap<string, string>): Buffer {
  const body = Buffer.concat([int32(CODE.version3), cstrings(...[...parameters].flat(), '')]);
  return Buffer.concat([int32(body.length + 4), body]);
}

/** SSLRequest. */
export function sslRequest(): Buffer {
  return Buffer.concat([int32(8), int32(CODE.ssl)]);
}

/** CancelRequest with the server's own key. */
export function cancelRequest(pid: number, secret: Uint8Array): Buffer {
  return Buffer.concat([int32(12 + secret.length), int32(CODE.cancel), int32(pid), secret]);
}

/** PasswordMessage. */
export function passwordMessage(password: string): Buffer {
  return frame('p', cstrings(password));
}

/** SASLInitialResponse. */
export function saslInitialResponse(mechanism: string, data: string): Buffer {
  const bytes = Buffer.from(data);
  return frame('p', Buffer.concat([cstrings(mechanism), int32(bytes.length), bytes]));
}

/** SASLResponse. */
export function saslResponse(data: string): Buffer {
  return frame('p', Buffer.from(data));
}

/** Query. */
export function query(text: string): Buffer {
  return frame('Q', cstrings(text));
}

/** Parse without parameter types. */
export function parse(name: string, text: string): Buffer {
  return frame('P', Buffer.concat([cstrings(name, text), Buffer.of(0, 0)]));
}

/** Terminate. */
export function terminate(): Buffer {
  return frame('X', Buffer.alloc(0));
}
