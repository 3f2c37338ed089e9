import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';

/** A message of a server: its type and body. */
export interface WireMessage {
  readonly type: string;
  readonly body: Buffer;
}

/** A PostgreSQL client that sends exactly the bytes it is told to. */
export class WireClient {
  readonly socket: Socket;
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
  #buffer = Buffer.alloc(0);
  #wake: () => void = () => {};
  #ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#ended = true;
        this.#wake();
        resolve();
      });
    });
    socket.on('error', () => {}); // being thrown out is what many tests are about
  }

  send(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** The next `size` bytes; rejects when the connection ends before. */
  async bytes(size: number): Promise<Buffer> {
    while (this.#buffer.length < size) {
      if (this.#ended)
        throw new Error(`the connection was closed; left: ${JSON.stringify(this.#buffer.toString('latin1'))}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const out = this.#buffer.subarray(0, size);
    this.#buffer = this.#buffer.subarray(size);
    return out;
  }

  async message(): Promise<WireMessage> {
    const header = await this.bytes(5);
    const body = await this.bytes(header.readInt32BE(1) - 4);
    return { type: String.fromCharCode(header[0]!), body };
  }

  /** Messages up to the `ready`-th ReadyForQuery (or the first of another type), or to the end of the connection. */
  async until(type = 'Z', count = 1): Promise<WireMessage[]> {
    const out: WireMessage[] = [];
    for (let left = count; left > 0; ) {
      const message = await this.message().catch(() => null);
      if (message === null) break;
      out.push(message);
      if (message.type === type) left -= 1;
    }
    return out;
  }

  /** Everything up to the end of the connection. */
  rest(): Promise<WireMessage[]> {
    return this.until('none');
  }
}

/** Opens a connection and says nothing; closed when `t` ends. */
export async function wire(t: Test, port: number): Promise<WireClient> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const client = new WireClient(socket);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return client;
}

/** How often somebody connects to a gateway that cannot check grants at the moment, as the other tests leave the machine no time for it. */
const ATTEMPTS = 10;

/**
 * Logs in until somebody is let in: whoever is told to try again shortly does, as any client would.
 * @param login - a connection of its own each time, and all that it is told up to the first ReadyForQuery or its end
 */
export async function letIn(
  login: () => Promise<{ client: WireClient; hello: WireMessage[] }>,
): Promise<{ client: WireClient; hello: WireMessage[] }> {
  for (let left = ATTEMPTS; ; left -= 1) {
    const tried = await login();
    if (tried.hello.at(-1)?.type === 'Z') return tried;
    const isBusy = tried.hello.some(({ body }) => body.includes('Reason: store_unavailable'));
    if (!isBusy || left === 0) throw new Error(`not let in: ${shapes(tried.hello)}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** A connection that has logged in with a handle. The answer's `hello` is what came up to the first ReadyForQuery. */
export function loggedIn(t: Test, port: number, handle: string, parameters: Readonly<Record<string, string>> = {}) {
  return letIn(async () => {
    const client = await wire(t, port);
    client.send(start({ user: 'alice', database: 'orders-db', ...parameters }));
    await client.message();
    client.send(front('p', cstring(handle)));
    return { client, hello: await client.until() };
  });
}

export function int32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeInt32BE(value | 0);
  return out;
}

export function int16(value: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
}

export function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

/** A message with a type. */
export function front(type: string, ...body: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(body);
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(bytes.length + 4), bytes]);
}

/** A start-up packet with a version or code. */
export function packet(code: number, ...body: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(body);
  return Buffer.concat([int32(bytes.length + 8), int32(code), bytes]);
}

export const SSL_REQUEST = packet(80877103);
export const GSSENC_REQUEST = packet(80877104);

export function start(parameters: Readonly<Record<string, string>>, version = 196608): Buffer {
  const pairs = Object.entries(parameters).flat().map(cstring);
  return packet(version, ...pairs, Buffer.of(0));
}

export const query = (text: string) => front('Q', cstring(text));
export const parse = (name: string, text: string) => front('P', cstring(name), cstring(text), int16(0));
export const bind = (portal: string, statement: string, ...values: string[]) =>
  front(
    'B',
    cstring(portal),
    cstring(statement),
    int16(0),
    int16(values.length),
    ...values.flatMap((one) => [int32(Buffer.byteLength(one)), Buffer.from(one)]),
    int16(0),
  );
export const describe = (kind: 'S' | 'P', name: string) => front('D', Buffer.from(kind), cstring(name));
export const close = (kind: 'S' | 'P', name: string) => front('C', Buffer.from(kind), cstring(name));
export const execute = (portal: string, rows = 0) => front('E', cstring(portal), int32(rows));
export const sync = () => front('S');
export const flush = () => front('H');
export const terminate = () => front('X');

/** The fields of an error or a notice by their letters. */
export function fields({ body }: WireMessage): Record<string, string> {
  const out: Record<string, string> = {};
  for (const field of body.toString('utf8').split('\0')) if (field !== '') out[field.charAt(0)] = field.slice(1);
  return out;
}

/** What a sequence of messages is: types, with SQLSTATE, tag or status where they carry one. ParameterStatus and notices are left out. */
export function shapes(messages: readonly WireMessage[]): string {
  return messages
    .filter(({ type }) => type !== 'S' && type !== 'N')
    .map((message) => {
      const { type, body } = message;
      if (type === 'E') return `E:${fields(message).C}`;
      if (type === 'C') return `C:${body.toString('latin1', 0, body.length - 1)}`;
      return type === 'Z' ? `Z:${body.toString('latin1')}` : type;
    })
    .join(' ');
}
