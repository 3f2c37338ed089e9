import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { DaypassError } from '../errors.js';
import type { Admission } from '../gate/admission.js';
import { lookupOnce as lookup } from '../lookup.js';
import { tlsServerEndPoint } from './channel-binding.js';
import { Replies } from './replies.js';
import { type PostgresTarget, postgresRole } from './role.js';
import { UpstreamLogin, unacceptable } from './upstream-login.js';
import { readFields } from './wire/backend.js';
import { cancelRequest, query, sslRequest, startupMessage } from './wire/frontend-writer.js';

/** How long an upstream may take to let us in, milliseconds. */
const HANDSHAKE_LIMIT = 10_000;
/** As long as a client's own cancel request is held: one that the server acts on behind that may hit the statement behind, milliseconds. */
const CANCEL_LIMIT = 10_000;
/** A statement that had reached the server behind the running one is cancelled too: asked again so many milliseconds behind the last time. */
const CANCEL_AGAIN = [0, 25, 75, 150];
/**
 * While it runs a statement the server looks whether we are still there, as often as its account says, or every 5 s. Who was killed cancels
 * nothing, and what ran then would be done, and committed, hours after its grant ended.
 */
export const LOOK_FOR_US = `
  select pg_catalog.set_config('client_connection_check_interval', '5s', false)
  where pg_catalog.current_setting('client_connection_check_interval', true) operator(pg_catalog.=) '0'`;
/** PostgreSQL 18 makes 32; protocol 3.2 allows 256. */
const MOST_SECRET = 256;

/** An open, authenticated connection to the service's database, paused. */
export interface Upstream {
  readonly socket: Socket;
  /** The ParameterStatus values of the start, by name. */
  readonly parameters: ReadonlyMap<string, string>;
  /** The transaction status of the first ReadyForQuery. */
  readonly status: number;
  /** Of the server's process; null when it did not say. */
  readonly pid: number | null;
  /** Asks the server to cancel what this connection runs; resolves when the server has been told, or could not be: false where it was silent. */
  cancel(): Promise<boolean>;
  /**
   * Destroys the connection.
   * @param running - whether a statement may be running there: it is cancelled too
   */
  sever(running: boolean): void;
}

/**
 * Connects to the database of an admission's role and logs in with the injected credentials, as long as the session lives.
 * @param limit - how long the upstream may take, milliseconds
 * @throws DaypassError `upstream_unavailable` (nobody answers, or not in time) or `upstream_auth`
 */
export async function dial(
  admission: Admission,
  parameters: ReadonlyMap<string, string>,
  limit = HANDSHAKE_LIMIT,
): Promise<Upstream> {
  const { session } = admission;
  const target = postgresRole(session.role).upstream;
  const { socket, ...greeting } = await logIn(target, parameters, limit, (givesUp) => session.whenEnded(givesUp));
  const pid = greeting.key?.pid ?? null;
  return { ...greeting, pid, socket, ...canceller(target, socket, greeting.key) };
}

/** A connection that the server has let in, paused. */
export interface LoggedIn extends Greeting {
  readonly socket: Socket;
}

/**
 * Connects to a database and logs in: the one way to where the password goes. A session gets there by `dial` alone, which
 * asks for its admission; the gateway's own questions have no session.
 * @param limit - how long the upstream may take, milliseconds
 * @param meanwhile - is given what to call when nobody waits for it any more
 * @throws DaypassError `upstream_unavailable` (nobody answers, or not in time) or `upstream_auth`
 */
export async function logIn(
  target: PostgresTarget,
  parameters: ReadonlyMap<string, string>,
  limit: number,
  meanwhile: (giveUp: () => void) => void = () => {},
): Promise<LoggedIn> {
  const startup = new Map([...parameters, ['user', target.user], ['database', target.database]]);
  let socket: Socket | null = null;
  let isOver = false;
  const timer = setTimeout(() => socket?.destroy(new Error('no answer in time')), limit);
  try {
    const opening = open(target, (made) => {
      socket = made;
    });
    meanwhile(() => {
      if (!isOver) socket?.destroy(new Error('nobody waits for it'));
    });
    socket = await opening;
    socket.write(startupMessage(startup));
    const replies = new Replies(socket);
    const greeting = await authenticate(replies, socket, target);
    replies.release();
    return { ...greeting, socket };
  } catch (thrown) {
    socket?.destroy();
    if (thrown instanceof DaypassError) throw thrown;
    throw new DaypassError('upstream_unavailable', 'the database cannot be reached', { cause: thrown });
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

async function open(target: PostgresTarget, made: (socket: Socket) => void): Promise<Socket> {
  const socket = connect({ host: target.host, port: target.port, lookup, noDelay: true, keepAlive: true });
  made(socket);
  // Whoever waits hears of an error by 'close'; an error that nobody waits for must not end the process.
  socket.on('error', () => {});
  await once(socket, 'connect');
  if (target.tls.mode === 'disable') return socket;
  socket.write(sslRequest());
  const replies = new Replies(socket);
  const answer = await replies.bytes(1);
  if (answer.toString('latin1') !== 'S')
    throw new DaypassError('upstream_unavailable', 'the database does not offer TLS');
  if (replies.release() > 0) throw unacceptable('sends data before encryption is negotiated');
  const verify = target.tls.mode === 'verify-full';
  const secured: TLSSocket = connectTls({
    socket,
    servername: /^[\d.:]+$/.test(target.host) ? '' : target.host,
    host: target.host,
    rejectUnauthorized: verify,
    ...(target.tls.ca === undefined ? {} : { ca: target.tls.ca }),
  });
  made(secured);
  secured.on('error', () => {});
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
  const login = new UpstreamLogin(target, bindingOf(socket));
  let key: Greeting['key'] = null;
  let isAsked = false;
  for (;;) {
    const message = await replies.message();
    const type = String.fromCharCode(message[0]!);
    if (type === 'R') {
      const answer = await login.answer(message);
      if (answer !== null) socket.write(answer);
    } else if (type === 'E' && !isAsked) throw serverRefused(message);
    else if (type === 'S' && login.done) {
      const [name, value] = message.toString('utf8', 5).split('\0');
      parameters.set(name ?? '', value ?? '');
    } else if (type === 'K' && login.done && key === null) key = readKey(message);
    else if (type === 'Z' && login.done && message.length === 6) {
      if (isAsked || !canLook(parameters)) return { parameters, status: message[5]!, key };
      isAsked = true;
      socket.write(query(LOOK_FOR_US));
    } else if (type !== 'N' && !(isAsked && 'TDCE'.includes(type)))
      throw unacceptable(`sends a message of type ${JSON.stringify(type)} out of turn`);
  }
}

/** A setting of PostgreSQL 14 and later; those on Windows refuse it, and go on as before. */
function canLook(parameters: ReadonlyMap<string, string>): boolean {
  return Number.parseInt(parameters.get('server_version') ?? '', 10) >= 14;
}

/** What the login is bound to: the certificate of the server at the other end. */
function bindingOf(socket: Socket): Buffer | null {
  if (!(socket instanceof TLSSocket)) return null;
  const { raw } = socket.getPeerCertificate();
  return raw === undefined ? null : tlsServerEndPoint(raw);
}

function readKey(message: Buffer): Greeting['key'] {
  if (message.length < 13 || message.length > 9 + MOST_SECRET) throw unacceptable('sends an impossible cancel key');
  return { pid: message.readInt32BE(5), secret: Buffer.from(message.subarray(9)) };
}

function serverRefused(message: Buffer): DaypassError {
  const fields = readFields(message);
  return new DaypassError('upstream_auth', 'the database refused the gateway', {
    cause: `${fields.get('C') ?? 'no SQLSTATE'}: ${fields.get('M') ?? ''}`,
  });
}

function canceller(target: PostgresTarget, socket: Socket, key: Greeting['key']): Pick<Upstream, 'cancel' | 'sever'> {
  const tell = async () => key === null || (await sendCancel(target, cancelRequest(key.pid, key.secret)));
  return {
    cancel: tell,
    sever: (running) => {
      if (running) void tellAgain(tell);
      socket.destroy();
    },
  };
}

/** One after the other, and not to a server that is silent: of many sessions that end at once each would take as many connections. */
async function tellAgain(tell: () => Promise<boolean>): Promise<void> {
  for (const after of CANCEL_AGAIN) {
    if (after > 0) await pause(after, undefined, { ref: false });
    if (!(await tell())) return;
  }
}

/**
 * Sends a CancelRequest on a connection of its own. There is never an answer; a failure changes nothing.
 * @returns false for a server that says nothing for too long
 */
async function sendCancel(target: PostgresTarget, packet: Buffer): Promise<boolean> {
  let socket: Socket | null = null;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    socket?.destroy();
  }, CANCEL_LIMIT);
  try {
    const opened = await open(target, (made) => {
      socket = made;
    });
    opened.write(packet); // not ended: what stands in between would end it, too, before the server has acted
    opened.resume(); // the server's end is seen only by who reads
    await new Promise((resolve) => opened.once('close', resolve));
  } catch {
    // The connection it is about is destroyed all the same.
  } finally {
    clearTimeout(timer);
  }
  return !isLate;
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
