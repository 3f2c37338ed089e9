import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { DaypassError } from '../errors.js';
import type { Admission } from '../gate/admission.js';
import type { PostgresRole, PostgresTarget } from './policy.js';
import { ScramClient } from './scram.js';
import { readFields } from './wire/backend.js';
import {
  cancelRequest,
  passwordMessage,
  saslInitialResponse,
  saslResponse,
  sslRequest,
  startupMessage,
} from './wire/frontend.js';

/** How long an upstream may take to let us in, milliseconds. */
const HANDSHAKE_LIMIT = 10_000;
const CANCEL_LIMIT = 2_000;
/** A statement that had reached the server behind the running one is cancelled too: asked again after these milliseconds. */
const CANCEL_AGAIN = [0, 25, 100, 250];
const MOST_HANDSHAKE = 256 * 1024;

/** An open, authenticated connection to the service's database, paused. */
export interface Upstream {
  readonly socket: Socket;
  /** The ParameterStatus values of the start, by name. */
  readonly parameters: ReadonlyMap<string, string>;
  /** The transaction status of the first ReadyForQuery. */
  readonly status: number;
  /** Asks the server to cancel what this connection runs. */
  cancel(): void;
  /** Cancels what runs and destroys the connection. */
  sever(): void;
}

/**
 * Connects to the database of an admission's role and logs in with the injected credentials.
 * @throws DaypassError `upstream_unavailable` (nobody answers, or not in time) or `upstream_auth`
 */
export async function dial(admission: Admission, parameters: ReadonlyMap<string, string>): Promise<Upstream> {
  const target = (admission.session.role as PostgresRole).upstream;
  const startup = new Map([...parameters, ['user', target.user], ['database', target.database]]);
  let socket: Socket | null = null;
  const timer = setTimeout(() => socket?.destroy(new Error('no answer in time')), HANDSHAKE_LIMIT);
  try {
    socket = await open(target, (made) => {
      socket = made;
    });
    socket.write(startupMessage(startup));
    const greeting = await authenticate(new Replies(socket), socket, target);
    return { ...greeting, socket, ...canceller(target, socket, greeting.key) };
  } catch (thrown) {
    socket?.destroy();
    if (thrown instanceof DaypassError) throw thrown;
    throw new DaypassError('upstream_unavailable', 'the database cannot be reached', { cause: thrown });
  } finally {
    clearTimeout(timer);
  }
}

async function open(target: PostgresTarget, made: (socket: Socket) => void): Promise<Socket> {
  const socket = connect({ host: target.host, port: target.port, noDelay: true, keepAlive: true });
  made(socket);
  await once(socket, 'connect');
  if (target.tls.mode === 'disable') return socket;
  socket.write(sslRequest());
  const answer = await new Replies(socket).bytes(1);
  if (answer.toString('latin1') !== 'S') throw new DaypassError('upstream_unavailable', 'the database does not offer TLS');
  const verify = target.tls.mode === 'verify-full';
  const secured: TLSSocket = connectTls({
    socket,
    servername: /^[\d.:]+$/.test(target.host) ? '' : target.host,
    host: target.host,
    rejectUnauthorized: verify,
    ...(target.tls.ca === undefined ? {} : { ca: target.tls.ca }),
  });
  made(secured);
  await once(secured, 'secureConnect');
  return secured;
}

interface Greeting {
  readonly parameters: Map<string, string>;
  readonly status: number;
  readonly key: { readonly pid: number; readonly secret: Buffer } | null;
}

async function authenticate(replies: Replies, socket: Socket, target: PostgresTarget): Promise<Greeting> {
  const parameters = new Map<string, string>();
  let key: Greeting['key'] = null;
  let scram: ScramClient | null = null;
  let proven = false;
  for (;;) {
    const message = await replies.message();
    const type = String.fromCharCode(message[0]!);
    if (type === 'R') {
      const code = message.readInt32BE(5);
      if (code === 0 && scram !== null && !proven) throw unacceptable('ended SCRAM without proving itself');
      else if (code === 3) socket.write(passwordMessage(cleartext(target)));
      else if (code === 10) {
        if (!message.toString('latin1', 9).split('\0').includes('SCRAM-SHA-256')) throw unacceptable('offers no SCRAM-SHA-256');
        scram = new ScramClient(target.password);
        socket.write(saslInitialResponse('SCRAM-SHA-256', scram.first()));
      } else if (code === 11 && scram) socket.write(saslResponse(await scram.final(message.toString('utf8', 9))));
      else if (code === 12 && scram) {
        scram.verify(message.toString('utf8', 9));
        proven = true;
      } else if (code !== 0) throw unacceptable(`asks for authentication method ${code}`);
    } else if (type === 'E') throw serverRefused(message);
    else if (type === 'S') {
      const [name, value] = message.toString('utf8', 5).split('\0');
      parameters.set(name ?? '', value ?? '');
    } else if (type === 'K') key = { pid: message.readInt32BE(5), secret: Buffer.from(message.subarray(9)) };
    else if (type === 'Z') return { parameters, status: message[5]!, key };
    else if (type !== 'N') throw unacceptable(`sends a message of type ${JSON.stringify(type)} before it is ready`);
  }
}

/** The password in clear goes only through TLS or stays on this machine. */
function cleartext(target: PostgresTarget): string {
  const local = /^(127\.|::1$|localhost$)/.test(target.host);
  if (target.tls.mode === 'disable' && !local) throw unacceptable('asks for the password in clear without TLS');
  return target.password;
}

function unacceptable(what: string): DaypassError {
  return new DaypassError('upstream_auth', `the database ${what}`);
}

function serverRefused(message: Buffer): DaypassError {
  const fields = readFields(message);
  return new DaypassError('upstream_auth', 'the database refused the gateway', {
    cause: `${fields.get('C') ?? 'no SQLSTATE'}: ${fields.get('M') ?? ''}`,
  });
}

function canceller(target: PostgresTarget, socket: Socket, key: Greeting['key']): Pick<Upstream, 'cancel' | 'sever'> {
  const cancel = () => {
    if (key !== null) void sendCancel(target, cancelRequest(key.pid, key.secret));
  };
  return {
    cancel,
    sever: () => {
      for (const after of CANCEL_AGAIN) after === 0 ? cancel() : setTimeout(cancel, after).unref();
      socket.destroy();
    },
  };
}

/** Sends a CancelRequest on a connection of its own. There is never an answer; a failure changes nothing. */
async function sendCancel(target: PostgresTarget, packet: Buffer): Promise<void> {
  let socket: Socket | null = null;
  const timer = setTimeout(() => socket?.destroy(), CANCEL_LIMIT);
  try {
    const opened = await open(target, (made) => {
      socket = made;
    });
    opened.on('error', () => {});
    opened.end(packet);
    await new Promise((resolve) => opened.once('close', resolve));
  } catch {
    // The connection it is about is destroyed all the same.
  } finally {
    clearTimeout(timer);
  }
}

function once(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (thrown?: Error) => reject(thrown ?? new Error('the connection was closed'));
    socket.once('error', failed);
    socket.once('close', failed);
    socket.once(event, () => {
      socket.off('error', failed);
      socket.off('close', failed);
      resolve();
    });
  });
}

/** Reads a server's messages one by one during the handshake, bounded in size. */
class Replies {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.pause();
  }

  async message(): Promise<Buffer> {
    const header = await this.bytes(5);
    const length = header.readInt32BE(1);
    if (length < 4 || length > MOST_HANDSHAKE) throw unacceptable(`sends a message of ${length} bytes`);
    return length === 4 ? header : Buffer.concat([header, await this.bytes(length - 4)]);
  }

  async bytes(size: number): Promise<Buffer> {
    for (;;) {
      const got: Buffer | null = this.#socket.read(size);
      if (got !== null && got.length === size) return got;
      if (this.#socket.destroyed || this.#socket.readableEnded || got !== null) throw new Error('the connection was closed');
      await this.#readable();
    }
  }

  #readable(): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (thrown?: Error) => {
        for (const event of ['readable', 'end', 'close', 'error']) this.#socket.off(event, done);
        if (thrown) reject(thrown);
        else resolve();
      };
      for (const event of ['readable', 'end', 'close', 'error']) this.#socket.once(event, done);
    });
  }
}
