import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import * as ws from 'ws';
import { closed } from '../support/wait.js';
import { type Case, CLOSE, type Cut, frame, said, type Wait } from './autobahn-frames.js';

/** The reader of the package: exported by it, and missing from its types. */
const { Receiver } = ws as unknown as {
  Receiver: new (options: object) => NodeJS.EventEmitter & { write(chunk: Buffer): void; end(): void };
};

/** How long nothing may come or go before a case is given up, milliseconds. */
const PATIENCE = 20_000;
const NORMAL = frame(CLOSE, Buffer.from([0x03, 0xe8]));

/** What a case's client was answered, and the code it was closed with: null when there was none. */
export interface Outcome {
  readonly echoed: readonly string[];
  readonly closed: number | null;
}

/** Sends a case's bytes over a connection of its own. */
export async function run(port: number, handle: string, one: Case): Promise<Outcome> {
  const client = await Client.open(port, handle);
  for (const step of stepsOf(one)) await client.take(step);
  if (one.closed === null) {
    // A case that ends well is closed once everything it asks for has come back.
    await client.take({ answers: one.echoed.length });
    await client.take(NORMAL);
  }
  return client.end();
}

/** What is written at a time, and what is waited for in between. */
function* stepsOf({ sent, cut }: Case): Generator<Buffer | Wait> {
  let together: Buffer[] = [];
  for (const step of sent) {
    if (Buffer.isBuffer(step)) together.push(step);
    else {
      yield* piecesOf(together, cut);
      yield step;
      together = [];
    }
  }
  yield* piecesOf(together, cut);
}

function piecesOf(frames: readonly Buffer[], cut: Cut): readonly Buffer[] {
  if (cut === 'frames' || frames.length === 0) return frames;
  const bytes = Buffer.concat(frames);
  if (cut === 'whole') return [bytes];
  return Array.from({ length: Math.ceil(bytes.length / cut) }, (_, n) => bytes.subarray(n * cut, (n + 1) * cut));
}

/** A WebSocket that sends the bytes it is told to. */
class Client {
  readonly #socket: Socket;
  readonly #receiver = new Receiver({ isServer: false, skipUTF8Validation: true });
  readonly #ended: Promise<unknown>;
  readonly #echoed: string[] = [];
  #closed: number | null = null;
  #look: () => void = () => {};

  static async open(port: number, handle: string): Promise<Client> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => {});
    const lines = ['GET /live HTTP/1.1', 'Host: web.localhost', `Daypass-Handle: ${handle}`, 'Connection: Upgrade'];
    lines.push(
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      '',
      '',
    );
    socket.write(lines.join('\r\n'));
    return new Client(socket, await headOf(socket));
  }

  private constructor(socket: Socket, opened: Buffer) {
    this.#socket = socket;
    this.#ended = closed(socket).then(() => this.#look());
    socket.setTimeout(PATIENCE, () => socket.destroy());
    this.#receiver.on('message', (data: Buffer, isBinary: boolean) =>
      this.#hear(said(isBinary ? 'binary' : 'text', data)),
    );
    this.#receiver.on('pong', (data: Buffer) => this.#hear(said('pong', data)));
    this.#receiver.on('error', (error: Error) => this.#hear(error.message));
    this.#receiver.on('conclude', (code: number) => {
      this.#closed = code;
    });
    if (opened.length > 0) this.#receiver.write(opened);
    socket.on('data', (bytes: Buffer) => this.#receiver.write(bytes));
  }

  /** Sends these bytes in a write of their own, or waits. */
  async take(step: Buffer | Wait): Promise<void> {
    if (Buffer.isBuffer(step)) {
      this.#socket.write(step);
      await new Promise((resolve) => setImmediate(resolve));
    } else if ('pause' in step) await pause(step.pause);
    else await this.#answers(step.answers);
  }

  async end(): Promise<Outcome> {
    await this.#ended;
    this.#receiver.end();
    return { echoed: this.#echoed, closed: this.#closed };
  }

  #hear(line: string): void {
    this.#echoed.push(line);
    this.#look();
  }

  /** Resolves when so many answers have come, or none can come any more. */
  #answers(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (this.#echoed.length >= count || this.#socket.destroyed) resolve();
      };
      this.#look();
    });
  }
}

/** Reads the answer to the opening. @returns what came behind it */
async function headOf(socket: Socket): Promise<Buffer> {
  let seen = Buffer.alloc(0);
  while (!seen.includes('\r\n\r\n')) {
    const [chunk]: Buffer[] = await once(socket, 'data');
    seen = Buffer.concat([seen, chunk ?? Buffer.alloc(0)]);
  }
  if (!seen.toString('latin1').startsWith('HTTP/1.1 101 ')) throw new Error(seen.toString('latin1'));
  return seen.subarray(seen.indexOf('\r\n\r\n') + 4);
}
