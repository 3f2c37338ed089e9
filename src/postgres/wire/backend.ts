import { cstrings, frame, int32 } from './writing.js';

/** Messages a server sends: written by the gateway, and the few that it reads (PostgreSQL documentation, section "Message Formats"). */

/** The fields of an ErrorResponse or NoticeResponse (section "Error and Notice Message Fields"). */
export interface Report {
  readonly severity: 'FATAL' | 'ERROR' | 'NOTICE' | 'WARNING';
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** ErrorResponse (`E`). */
export function errorResponse(report: Report): Buffer {
  return frame('E', fields(report));
}

/** NoticeResponse (`N`). */
export function noticeResponse(report: Report): Buffer {
  return frame('N', fields(report));
}

/** AuthenticationCleartextPassword (`R`, 3). */
export function askPassword(): Buffer {
  return frame('R', int32(3));
}

/** AuthenticationSASL (`R`, 10): the mechanisms to choose from. */
export function saslMechanisms(names: readonly string[]): Buffer {
  return frame('R', Buffer.concat([int32(10), cstrings(...names, '')]));
}

/** AuthenticationSASLContinue (`R`, 11). */
export function saslContinue(message: string): Buffer {
  return frame('R', Buffer.concat([int32(11), Buffer.from(message)]));
}

/** AuthenticationSASLFinal (`R`, 12). */
export function saslFinal(message: string): Buffer {
  return frame('R', Buffer.concat([int32(12), Buffer.from(message)]));
}

/** AuthenticationOk (`R`, 0). */
export function authenticationOk(): Buffer {
  return frame('R', int32(0));
}

/** ParameterStatus (`S`). */
export function parameterStatus(name: string, value: string): Buffer {
  return frame('S', cstrings(name, value));
}

/** BackendKeyData (`K`): the key of the gateway's own making, never the server's. */
export function backendKeyData(pid: number, secret: Uint8Array): Buffer {
  return frame('K', Buffer.concat([int32(pid), secret]));
}

/** ReadyForQuery (`Z`). */
export function readyForQuery(status: number): Buffer {
  return frame('Z', Buffer.of(status));
}

/**
 * NegotiateProtocolVersion (`v`): the newest version we speak, and the options we do not know. The documentation says
 * "minor version"; the server sends, and libpq 18 expects, the whole version number.
 */
export function negotiateProtocolVersion(version: number, unknown: readonly string[]): Buffer {
  return frame('v', Buffer.concat([int32(version), int32(unknown.length), cstrings(...unknown)]));
}

/** Reads the fields of an ErrorResponse or NoticeResponse frame by their one-letter codes. */
export function readFields(message: Buffer): Map<string, string> {
  const out = new Map<string, string>();
  let at = 5;
  while (at < message.length && message[at] !== 0) {
    const end = message.indexOf(0, at + 1);
    if (end === -1) break;
    out.set(String.fromCharCode(message[at]!), message.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return out;
}

/** The text of a DataRow's only column; null when it has another number of columns, or NULL in it. */
export function readOnlyColumn(message: Buffer): string | null {
  if (message.length < ROW_HEADER || message.readUInt16BE(5) !== 1) return null;
  return message.readInt32BE(7) === message.length - ROW_HEADER ? message.toString('utf8', ROW_HEADER) : null;
}

/** Type, length, the number of columns, and the length of the first. */
const ROW_HEADER = 11;

function fields({ severity, sqlstate, message, detail, hint }: Report): Buffer {
  const parts = [`S${severity}`, `V${severity}`, `C${sqlstate}`, `M${message}`];
  if (detail) parts.push(`D${detail}`);
  if (hint) parts.push(`H${hint}`);
  return Buffer.from(`${parts.map((part) => part.replaceAll('\0', '')).join('\0')}\0\0`);
}
