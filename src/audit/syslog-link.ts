import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { addAbortSignal } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { SyslogTarget } from '../config/audit.js';
import { DaypassError } from '../errors.js';
import { limited } from '../limited.js';
import type { AuditLine } from './entry.js';
import { RECEIVER_WITHIN, type Receiver } from './receiver.js';
import { syslogFrame, syslogMessage } from './syslog.js';

/** RFC 5426, section 3.2: what receivers should take. A longer datagram goes without its message: the facts are in it. */
const LONGEST_DATAGRAM = 8_192;

/**
 * Sends lines as syslog. Syslog has no acknowledgement, so over TCP and TLS every batch has a connection of its own, which is
 * closed behind it: a receiver that closes its side in return has read to the end. One that resets, or does not close, is sent
 * the batch again. Over UDP nobody knows.
 */
export class SyslogReceiver implements Receiver {
  readonly name = 'syslog';
  readonly #target: SyslogTarget;
  readonly #within: number;

  /** @param within - how long one batch may take, milliseconds */
  constructor(target: SyslogTarget, within = RECEIVER_WITHIN) {
    this.#target = target;
    this.#within = within;
  }

  send(lines: readonly AuditLine[], signal: AbortSignal): Promise<void> {
    return limited(signal, this.#within, (limit) => this.#send(lines, limit));
  }

  async close(): Promise<void> {}

  async #send(lines: readonly AuditLine[], signal: AbortSignal): Promise<void> {
    if (this.#target.protocol === 'udp') return this.#datagrams(lines, signal);
    const frames = lines.map((line) => syslogFrame(syslogMessage(line, hostname())));
    const ready = this.#target.protocol === 'tls' ? 'secureConnect' : 'connect';
    await handOver(this.#open(), ready, frames.join(''), signal);
  }

  #open(): Socket {
    const { address, protocol, ca } = this.#target;
    const { host, port } = address;
    if (protocol === 'tcp') return connectTcp({ host, port });
    const servername = isIP(host) === 0 ? host : '';
    const trust = ca === undefined ? {} : { ca };
    return connectTls({ host, port, servername, rejectUnauthorized: true, minVersion: 'TLSv1.2', ...trust });
  }

  async #datagrams(lines: readonly AuditLine[], signal: AbortSignal): Promise<void> {
    const { host, port } = this.#target.address;
    const { address, family } = await lookup(host);
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    try {
      for (const line of lines) {
        signal.throwIfAborted();
        const message = datagram(line);
        await new Promise<void>((resolve, reject) => {
          socket.once('error', reject);
          socket.send(message, port, address, (error) => (error === null ? resolve() : reject(error)));
        });
        socket.removeAllListeners('error');
      }
    } finally {
      socket.close();
    }
  }
}

function datagram(line: AuditLine): Buffer {
  const whole = Buffer.from(syslogMessage(line, hostname()));
  return whole.length <= LONGEST_DATAGRAM ? whole : Buffer.from(syslogMessage(line, hostname(), { whole: false }));
}

/** Writes everything, closes, and resolves when the other side has closed after that. */
function handOver(
  socket: Socket,
  ready: 'connect' | 'secureConnect',
  text: string,
  signal: AbortSignal,
): Promise<void> {
  let taken = false;
  addAbortSignal(signal, socket);
  return new Promise<void>((resolve, reject) => {
    socket.once(ready, () => socket.end(text));
    socket.once('end', () => {
      taken = socket.writableFinished;
    });
    socket.once('error', reject);
    socket.once('close', () => (taken ? resolve() : reject(notTaken())));
    socket.resume();
  });
}

function notTaken(): DaypassError {
  return new DaypassError('receiver_refused', 'The syslog receiver closed before it had read everything.');
}
