import { goOnLater } from '../../session/later.js';
import type { Session } from '../../session/session.js';
import { settingsOf } from '../rules/decide.js';
import { FrameWatch } from './frame-watch.js';
import { textFrame } from './plain-frame.js';
import type { RelayParts } from './relay-parts.js';
import { ServiceMessages } from './service-messages.js';
import { Unfinished } from './unfinished.js';

/** How long a service may say nothing once the client has said its last, milliseconds. */
const CLOSING = 5_000;

/** Frames of a service that are looked at in one turn of the event loop: each may be a message, and is recorded. */
const AT_A_TIME = 256;

/** What hears of how a service's side comes to its end. */
export interface ServiceSideEnds {
  /** What it says is no WebSocket, or it left a message unfinished. */
  failed(fault: string, kind: 'protocol' | 'timeout'): void;
  /** It has ended its side of the connection. */
  ended(): void;
  /** Its connection is closed. */
  left(): void;
  /** Asked before a warning is put between its messages. */
  mayWarn(): boolean;
}

/**
 * The way of a service's bytes to the client: they pass as they come, and the messages in them are recorded as they pass.
 * Where one has ended a warning may be put behind it.
 */
export class ServiceSide {
  /** Where its frames begin and end. */
  readonly watch: FrameWatch;
  readonly #parts: RelayParts;
  readonly #session: Session;
  readonly #ends: ServiceSideEnds;
  readonly #said: ServiceMessages;
  readonly #unfinished: Unfinished;
  #closing: NodeJS.Timeout | null = null;
  /** A warning that waits for the end of the message under way. */
  #warning = false;
  /** What has come already is looked at in a later turn. */
  #isYielding = false;
  #stopped = false;
  /** What the client was given of it, bytes. */
  bytes = 0;

  constructor(parts: RelayParts, ends: ServiceSideEnds) {
    this.#parts = parts;
    this.#session = parts.passage.session;
    this.#ends = ends;
    this.#said = new ServiceMessages(parts.passage, parts, () => this.#pace());
    this.watch = new FrameWatch(this.#said);
    const coming = {
      isAmid: () => this.watch.isAmid,
      came: () => this.bytes, // one that pings amid a long message is there, and little is held of that
      isHeld: () => parts.upstream.isPaused(),
    };
    this.#unfinished = new Unfinished(parts.messageTimeout, coming, () =>
      ends.failed('a message that was left unfinished', 'timeout'),
    );
  }

  /** Reads the service; `head` is what it has sent already. */
  start(head: Buffer): void {
    const { client, upstream } = this.#parts;
    upstream.on('data', (chunk: Buffer) => this.#read(chunk));
    upstream.once('end', () => this.#ends.ended());
    upstream.once('close', () => this.#ends.left());
    client.on('drain', () => this.#pace());
    if (head.byteLength > 0) this.#read(head);
  }

  /** Nothing more passes: what has passed of an unfinished message is recorded as its beginning. */
  stop(): void {
    this.#stopped = true;
    if (this.#closing !== null) clearTimeout(this.#closing);
    this.#unfinished.stop();
    this.#said.close();
  }

  /** The client has said its last: the service closes the connection first (RFC 6455 section 7.1.1), or is silent too long. */
  awaitEnd(): void {
    this.#closing = setTimeout(() => this.#closeSilent(), CLOSING);
  }

  /** Said in-band only where the role asks for it: an unexpected message would break the service's own protocol. */
  warn(): void {
    this.#warning = true;
    this.#sayWarning();
  }

  #read(chunk: Buffer): void {
    if (this.#stopped || !this.#session.isLive() || !this.#parts.client.writable) return;
    const passed = this.watch.push(chunk, AT_A_TIME);
    if (this.#stopped) return; // to record it was the end
    if (passed > 0) this.#pass(passed === chunk.byteLength ? chunk : chunk.subarray(0, passed));
    if (this.watch.fault !== null) return this.#ends.failed(this.watch.fault, 'protocol');
    if (!this.#stopped) this.#unfinished.read();
    if (passed < chunk.byteLength && this.watch.closeCode === null) this.#lookLater(chunk.subarray(passed));
    this.#pace();
    this.#sayWarning();
  }

  #lookLater(rest: Buffer): void {
    if (this.#stopped) return;
    this.#isYielding = true;
    this.#parts.upstream.pause();
    this.#parts.upstream.unshift(rest);
    goOnLater(() => {
      this.#isYielding = false;
      this.#pace();
    });
  }

  #pass(bytes: Buffer): void {
    const { client } = this.#parts;
    this.#closing?.refresh(); // the service is not silent
    this.bytes += bytes.byteLength;
    this.#session.toClients.deliverInTurn(client, bytes);
  }

  /** The service is read while the client takes what it says, and the record keeps up with it. */
  #pace(): void {
    const { client, upstream } = this.#parts;
    if (this.#stopped) return;
    if (client.writableNeedDrain || this.#said.isFull || this.#isYielding) upstream.pause();
    else if (upstream.isPaused()) upstream.resume();
  }

  #sayWarning(): void {
    if (!this.#warning || !this.watch.atMessageBoundary || !this.#ends.mayWarn()) return;
    this.#warning = false;
    const { client, monotonic } = this.#parts;
    const { warnings } = settingsOf(this.#session.role);
    if (warnings === null || this.#stopped || !this.#session.isLive() || !client.writable) return;
    const { expiresAt, dueMonotonic } = this.#session;
    const seconds = Math.max(0, Math.round((dueMonotonic - monotonic()) / 1000));
    const until = new Date(expiresAt).toISOString();
    client.write(textFrame(warnings.replaceAll('{seconds}', `${seconds}`).replaceAll('{until}', until)));
  }

  /** A service is silent where nothing keeps it from speaking: not while it is not read, nor while it has the close still to read. */
  #closeSilent(): void {
    const { upstream } = this.#parts;
    if (upstream.isPaused() || upstream.writableLength > 0) this.#closing?.refresh();
    else upstream.destroy();
  }
}
