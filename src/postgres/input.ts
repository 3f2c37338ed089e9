import type { Duplex } from 'node:stream';
import type { DenialReason } from '../policy/reason.js';
import type { Report } from './wire/backend.js';

/** A connection that ends before it has begun, with what its client is told. */
export class StartupRefused extends Error {
  readonly report: Report | null;
  readonly reason: DenialReason;
  readonly rule: string;

  constructor(reason: DenialReason, report: Report | null, rule = 'well-formed start of a connection') {
    super(report?.message ?? 'the client left');
    this.reason = reason;
    this.report = report;
    this.rule = rule;
  }
}

/** PostgreSQL's own limit for the packet. */
export const MOST_STARTUP = 10_000;
export const MOST_PASSWORD = 4_096;

/** Reads a socket packet by packet; gives it back paused, with what was not consumed put back. */
export class Input {
  readonly socket: Duplex;
  #buffer: Buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;
  #gone = false;
  readonly #onData = (chunk: Buffer) => {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    if (this.#buffer.length > MOST_STARTUP + MOST_PASSWORD) this.socket.pause();
    this.#wake?.();
  };
  readonly #onGone = () => {
    this.#gone = true;
    this.#wake?.();
  };

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', this.#onData);
    socket.on('close', this.#onGone);
    socket.on('end', this.#onGone);
    socket.on('error', this.#onGone);
    socket.resume();
  }

  get isEmpty(): boolean {
    return this.#buffer.length === 0;
  }

  /** Nothing may have come behind a login before it was answered. @throws StartupRefused */
  expectNothing(): void {
    if (!this.isEmpty) throw refused('08P01', 'data arrived before authentication had ended');
  }

  /** The first byte, without taking it. */
  async peek(): Promise<number> {
    await this.#need(1);
    return this.#buffer[0]!;
  }

  /** A packet that begins with its own length. */
  async packet(least: number, most: number): Promise<Buffer> {
    await this.#need(4);
    const length = this.#buffer.readInt32BE(0);
    if (length < least || length > most) throw refused('08P01', 'the length of the start-up packet is impossible');
    return this.#take(length);
  }

  /** A message of one type. */
  async message(type: string, most: number): Promise<Buffer> {
    await this.#need(5);
    const length = this.#buffer.readInt32BE(1);
    if (this.#buffer[0] !== type.charCodeAt(0) || length < 4 || length > most)
      throw refused('08P01', 'a password message was expected');
    return this.#take(length + 1);
  }

  /** Stops reading; what was received and not taken stands in the socket again. */
  release(): Duplex {
    this.socket.pause();
    this.socket.off('data', this.#onData);
    this.socket.off('close', this.#onGone);
    this.socket.off('end', this.#onGone);
    this.socket.off('error', this.#onGone);
    if (this.#buffer.length > 0) this.socket.unshift(this.#buffer);
    return this.socket;
  }

  async #take(length: number): Promise<Buffer> {
    await this.#need(length);
    const out = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return out;
  }

  async #need(length: number): Promise<void> {
    while (this.#buffer.length < length) {
      if (this.#gone || this.socket.destroyed) throw new StartupRefused('malformed', null);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }
}

/** A refusal of what a client sent before it was in. */
export function refused(sqlstate: string, message: string, hint = '', rule?: string): StartupRefused {
  return new StartupRefused('malformed', { severity: 'FATAL', sqlstate, message: `Daypass: ${message}`, hint }, rule);
}
