import { isUtf8 } from 'node:buffer';
import { cstrings, frame, int32 } from './backend.js';
import { FramingError } from './framer.js';

/** Messages a client sends: read by the gateway, and written by it towards an upstream (section "Message Formats"). */

/** The first packet of a connection carries no type byte: its length and a code or version. */
export const CODE = { cancel: 80877102, ssl: 80877103, gssenc: 80877104, version3: 196608 } as const;

/** The text of a statement. A text that is not valid UTF-8 is kept readable for the record and must be refused. */
export interface StatementText {
  readonly text: string;
  readonly validUtf8: boolean;
}

/** Parse: a statement's name and text. */
export interface ParseMessage extends StatementText {
  readonly name: string;
}

/** Bind: which portal of which statement, and the parameters as they would be printed (null for SQL null). */
export interface BindMessage {
  readonly portal: string;
  readonly statement: string;
  readonly parameters: readonly (string | null)[];
}

/** Describe or Close: of a statement (`S`) or a portal (`P`). */
export interface TargetMessage {
  readonly kind: 'S' | 'P';
  readonly name: string;
}

/**
 * The text of a Query message. It must end exactly at its only NUL: what the parser reads is then what the server reads.
 * @throws FramingError otherwise
 */
export function readQuery(message: Buffer): StatementText {
  const reader = new Reader(message);
  const statement = reader.statement();
  reader.end();
  return statement;
}

/** @throws FramingError on a body that is not a Parse message */
export function readParse(message: Buffer): ParseMessage {
  const reader = new Reader(message);
  const name = reader.text();
  const statement = reader.statement();
  const types = reader.int16();
  reader.skip(4 * types);
  reader.end();
  return { name, ...statement };
}

/** @throws FramingError on a body that is not a Bind message */
export function readBind(message: Buffer): BindMessage {
  const reader = new Reader(message);
  const portal = reader.text();
  const statement = reader.text();
  const formats = Array.from({ length: reader.int16() }, () => reader.int16());
  const parameters = Array.from({ length: reader.int16() }, (_, i) => {
    const size = reader.int32();
    if (size < -1) throw new FramingError(`a parameter length of ${size} is impossible`);
    if (size === -1) return null;
    const binary = (formats.length === 1 ? formats[0] : formats[i]) === 1;
    return printedParameter(reader.bytes(size), binary);
  });
  reader.skip(2 * reader.int16());
  reader.end();
  return { portal, statement, parameters };
}

/** The portal of an Execute message. */
export function readExecute(message: Buffer): string {
  const reader = new Reader(message);
  const portal = reader.text();
  reader.int32();
  reader.end();
  return portal;
}

/** @throws FramingError on a body that is not a Describe or Close message */
export function readTarget(message: Buffer): TargetMessage {
  const reader = new Reader(message);
  const [kind] = reader.bytes(1).toString('latin1');
  if (kind !== 'S' && kind !== 'P') throw new FramingError('neither a statement nor a portal');
  const name = reader.text();
  reader.end();
  return { kind, name };
}

/** The password of a PasswordMessage. */
export function readPassword(message: Buffer): string {
  const reader = new Reader(message);
  const password = reader.text();
  reader.end();
  return password;
}

/** The parameters of a StartupMessage, after its length and version. */
export function readStartupParameters(body: Buffer): Map<string, string> {
  const reader = new Reader(body, 0);
  const out = new Map<string, string>();
  for (let name = reader.text(); name !== ''; name = reader.text()) {
    if (out.has(name)) throw new FramingError(`start-up parameter ${JSON.stringify(name)} stands twice`);
    out.set(name, reader.text());
  }
  reader.end();
  return out;
}

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

/** How much of a parameter the record keeps, bytes. */
const PRINTED = 1024;

function printedParameter(bytes: Buffer, binary: boolean): string {
  const head = bytes.subarray(0, PRINTED);
  const text = binary || !isUtf8(bytes) ? `\\x${head.toString('hex')}` : head.toString('utf8');
  return bytes.length > PRINTED ? `${text}… (${bytes.length} bytes)` : text;
}

/** Reads a body front to back; every step checks that the bytes are there. */
class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, from = 5) {
    this.#bytes = bytes;
    this.#at = from;
  }

  text(): string {
    const { text, validUtf8 } = this.statement();
    if (!validUtf8) throw new FramingError('a name is not valid UTF-8');
    return text;
  }

  statement(): StatementText {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end === -1) throw new FramingError('a string does not end');
    const slice = this.#bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return { text: slice.toString('utf8'), validUtf8: isUtf8(slice) };
  }

  int16(): number {
    return this.bytes(2).readUInt16BE(0);
  }

  int32(): number {
    return this.bytes(4).readInt32BE(0);
  }

  bytes(size: number): Buffer {
    const end = this.#at + size;
    if (end > this.#bytes.length) throw new FramingError('a message is shorter than it says');
    const out = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return out;
  }

  skip(size: number): void {
    this.bytes(size);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new FramingError('a message is longer than it says');
  }
}
