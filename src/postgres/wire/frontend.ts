import { isUtf8 } from 'node:buffer';
import { FramingError } from './framing.js';

/** Messages a client sends, read by the gateway (section "Message Formats"). */

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
  /** The types it declares for parameters, without PostgreSQL's own (object identifiers below 16384). */
  readonly madeTypes: readonly number[];
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

/**
 * @param odd - names need not be UTF-8: such a one is read as a NUL and a character for each byte
 * @throws FramingError on a body that is not a Parse message
 */
export function readParse(message: Buffer, odd = false): ParseMessage {
  const reader = new Reader(message);
  const name = reader.name(odd);
  const statement = reader.statement();
  let made: number[] | undefined;
  for (let left = reader.int16(); left > 0; left -= 1) {
    const type = reader.int32() >>> 0;
    if (type < FIRST_MADE_TYPE) continue;
    made ??= [];
    made.push(type);
  }
  reader.end();
  return { name, ...statement, madeTypes: made ?? NO_TYPES };
}

/**
 * @param odd - as in `readParse`
 * @throws FramingError on a body that is not a Bind message
 */
export function readBind(message: Buffer, odd = false): BindMessage {
  const reader = new Reader(message);
  const portal = reader.name(odd);
  const statement = reader.name(odd);
  const parameters = readParameters(reader);
  reader.skip(2 * reader.int16());
  reader.end();
  return { portal, statement, parameters };
}

/** FunctionCall: the number of the function and its arguments as they would be printed. */
export interface FunctionCallMessage {
  readonly oid: number;
  readonly parameters: readonly (string | null)[];
}

/** @throws FramingError on a body that is not a FunctionCall message */
export function readFunctionCall(message: Buffer): FunctionCallMessage {
  const reader = new Reader(message);
  const oid = reader.int32() >>> 0;
  const parameters = readParameters(reader);
  reader.skip(2);
  reader.end();
  return { oid, parameters };
}

/** The portal of an Execute message. @param odd - as in `readParse` */
export function readExecute(message: Buffer, odd = false): string {
  const reader = new Reader(message);
  const portal = reader.name(odd);
  reader.int32();
  reader.end();
  return portal;
}

/**
 * @param odd - as in `readParse`
 * @throws FramingError on a body that is not a Describe or Close message
 */
export function readTarget(message: Buffer, odd = false): TargetMessage {
  const reader = new Reader(message);
  const kind = TARGETS[reader.byte()];
  if (kind === undefined) throw new FramingError('neither a statement nor a portal');
  const name = reader.name(odd);
  reader.end();
  return { kind, name };
}

const TARGETS: Readonly<Record<number, TargetMessage['kind']>> = { 83: 'S', 80: 'P' };

/** The password of a PasswordMessage. */
export function readPassword(message: Buffer): string {
  const reader = new Reader(message);
  const password = reader.text();
  reader.end();
  return password;
}

/** SASLInitialResponse: the mechanism chosen and the client's first message. */
export function readSaslInitialResponse(message: Buffer): { readonly mechanism: string; readonly data: string } {
  const reader = new Reader(message);
  const mechanism = reader.text();
  const data = reader.bytes(reader.int32()).toString('utf8');
  reader.end();
  return { mechanism, data };
}

/** SASLResponse: the whole body is the client's message. */
export function readSaslResponse(message: Buffer): string {
  return message.toString('utf8', 5);
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

/** Formats, then values: the same in a Bind and in a FunctionCall. */
function readParameters(reader: Reader): readonly (string | null)[] {
  const formats: number[] = [];
  for (let left = reader.int16(); left > 0; left -= 1) formats.push(reader.int16());
  let room = PRINTED_IN_ALL;
  const parameters: (string | null)[] = [];
  for (let left = reader.int16(); left > 0; left -= 1) {
    const size = reader.int32();
    if (size < -1) throw new FramingError(`a parameter length of ${size} is impossible`);
    const printed =
      size === -1 ? null : reader.printed(size, isBinary(formats, parameters.length), Math.min(room, PRINTED));
    room = Math.max(0, room - (printed?.length ?? 0));
    parameters.push(printed);
  }
  return parameters;
}

/** One format is that of all parameters, none is text for all of them. */
function isBinary(formats: readonly number[], parameter: number): boolean {
  const of = formats.length === 1 ? 0 : parameter;
  return of < formats.length && formats[of] === 1;
}

/** How much of a parameter the record keeps, and of all those of one Bind together, bytes. */
const PRINTED = 1024;
const PRINTED_IN_ALL = 64 * 1024;

/** What is in binary, no UTF-8, or longer than `most`. */
function printedParameter(bytes: Buffer, binary: boolean, most: number): string {
  const head = bytes.subarray(0, most);
  const text = binary || !isUtf8(bytes) ? `\\x${head.toString('hex')}` : head.toString('utf8');
  return bytes.length > most ? `${text}… (${bytes.length} bytes)` : text;
}

/** FirstNormalObjectId of transam.h. */
const FIRST_MADE_TYPE = 16_384;
const NO_TYPES: readonly number[] = [];
const EMPTY: StatementText = { text: '', validUtf8: true };

/** Reads a body front to back; every step checks that the bytes are there. */
class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, from = 5) {
    this.#bytes = bytes;
    this.#at = from;
  }

  text(): string {
    return this.name(false);
  }

  name(odd: boolean): string {
    const from = this.#at;
    const { text, validUtf8 } = this.statement();
    if (validUtf8) return text;
    if (!odd) throw new FramingError('a name is not valid UTF-8');
    return `\0${this.#bytes.toString('latin1', from, this.#at - 1)}`;
  }

  statement(): StatementText {
    const from = this.#at;
    const end = this.#bytes.indexOf(0, from);
    if (end === -1) throw new FramingError('a string does not end');
    this.#at = end + 1;
    if (end === from) return EMPTY;
    const text = this.#bytes.toString('utf8', from, end);
    // What is not valid is read as U+FFFD; only a text that holds one has to be looked at again.
    return { text, validUtf8: !text.includes('\ufffd') || isUtf8(this.#bytes.subarray(from, end)) };
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#pass(1));
  }

  int16(): number {
    return this.#bytes.readUInt16BE(this.#pass(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#pass(4));
  }

  bytes(size: number): Buffer {
    const from = this.#pass(size);
    return this.#bytes.subarray(from, this.#at);
  }

  /** The next bytes as the record shows them. */
  printed(size: number, binary: boolean, most: number): string {
    const from = this.#pass(size);
    // Nearly all are short and ASCII: they are read without a look at the bytes for themselves.
    if (!binary && size <= most) {
      const text = this.#bytes.toString('utf8', from, this.#at);
      if (!text.includes('\ufffd')) return text;
    }
    return printedParameter(this.#bytes.subarray(from, this.#at), binary, most);
  }

  skip(size: number): void {
    this.#pass(size);
  }

  /** Goes on by `size`. @returns where that began */
  #pass(size: number): number {
    const from = this.#at;
    if (from + size > this.#bytes.length) throw new FramingError('a message is shorter than it says');
    this.#at = from + size;
    return from;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new FramingError('a message is longer than it says');
  }
}
