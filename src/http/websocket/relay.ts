import type { Duplex } from 'node:stream';
import type { Passage } from '../../gate/passage.js';
import type { Decision } from '../../policy/decision.js';
import type { Facts } from '../../recording/event.js';
import type { Connection, Cut } from '../../session/connection.js';
import type { Session } from '../../session/session.js';
import type { HttpAction, MessageAction, RequestAction } from '../action.js';
import { settingsOf } from '../decide.js';
import type { Faults } from '../faults.js';
import { type Instants, timesOf } from '../result.js';
import { ClientFrames } from './client-frames.js';
import { FrameWatch, textFrame } from './frame-watch.js';
import { closePayload, maskedFrame } from './masked-frame.js';
import type { MemoryShare, MessageMemory } from './message-memory.js';
import { leaveGently, Parting } from './parting.js';
import { ServiceMessages } from './service-messages.js';

/** What a relay is made of. */
export interface RelayParts {
  readonly client: Duplex;
  readonly upstream: Duplex;
  readonly passage: Passage<HttpAction>;
  readonly path: string;
  /** The sequence number of the recorded opening. */
  readonly seq: number;
  /** Until the service's 101. */
  readonly at: Omit<Instants, 'done'>;
  readonly opening: RequestAction;
  readonly faults: Faults;
  /** Where large messages are held. */
  readonly memory: MessageMemory;
  readonly monotonic: () => number;
}

/** The close codes of our own making (RFC 6455 section 7.4). */
const CUT = 4001;
const REFUSED = 1008;
const BAD_GATEWAY = 1014;
const NO_ROOM = 1013;
/** Frames of a client that are looked at in one turn of the event loop. */
const AT_A_TIME = 128;
/** How long a service may say nothing once the client has said its last, milliseconds. */
const CLOSING = 5_000;

/**
 * An open WebSocket. What the client sends is put together to whole messages; each is decided, recorded and then framed
 * anew for the service, in order. What the service sends passes as it comes, and is recorded as it passes.
 */
export class WebSocketRelay implements Connection {
  readonly client: Duplex;
  readonly #parts: RelayParts;
  readonly #session: Session;
  readonly #frames: ClientFrames;
  readonly #memory: MemoryShare;
  readonly #said: ServiceMessages;
  readonly #watch: FrameWatch;
  readonly #parting: Parting;
  #detach: () => void = () => {};
  /** Frames of the client that wait for their record. */
  #held = 0;
  /** Frames for the service that may go on: what came together goes on together. */
  #ready: Buffer[] = [];
  #reading = false;
  #messages = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #closeCode: number | null = null;
  #closing: NodeJS.Timeout | null = null;
  /** A warning that waits for the end of the message under way. */
  #warning = false;
  /** What the role says of this socket's messages, and whose word it is. */
  #judged: { readonly role: unknown; readonly decision: Decision } | null = null;
  /** A frame was refused: nothing more of the client is looked at, and this ends behind what it said before. */
  #refused: (() => void) | null = null;
  /** The client has ended its side. */
  #clientEnded = false;
  #done = false;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.client = parts.client;
    this.#session = parts.passage.session;
    this.#memory = parts.memory.share();
    this.#frames = new ClientFrames(settingsOf(this.#session.role).maxMessage, {
      frame: (frame, data) => this.#frame(frame, data),
      close: (code, reason) => this.#conclude(code, reason),
      mayHold: (bytes) => this.#memory.take(bytes),
      fault: (code, why) => this.#unreadable(code, why),
    });
    this.#said = new ServiceMessages(parts.passage, parts, () => this.#paceService());
    this.#watch = new FrameWatch(this.#said);
    this.#parting = new Parting(this.client, this.#watch);
    this.#detach = this.#session.attach(this);
  }

  /** Begins to relay; `head` is what the service has sent already. */
  start(head: Buffer): void {
    if (this.#done) return;
    this.#readClient();
    this.#readService();
    if (head.byteLength > 0) this.#fromService(head);
    this.client.resume();
  }

  severUpstream(): void {
    this.#stop({ reason: this.#session.end?.reason ?? 'client_left', status: this.#statusOf(CUT) });
    this.#parts.upstream.destroy();
  }

  farewell(cut: Cut): void {
    this.#parting.say(CUT, cut.message);
    this.#parting.takeBack();
  }

  /** Said in-band only where the role asks for it: an unexpected message would break the service's own protocol. */
  warn(): void {
    this.#warning = true;
    this.#sayWarning();
  }

  policyChanged(): void {
    const decision = this.#parts.passage.judge(this.#parts.opening);
    if (decision.outcome !== 'allow') this.#break(REFUSED, decision.message, 'policy_gone', decision.rule);
  }

  #sayWarning(): void {
    if (!this.#warning || !this.#watch.atMessageBoundary || this.#closeCode !== null) return;
    this.#warning = false;
    const { warnings } = settingsOf(this.#session.role);
    if (warnings === null || this.#done || !this.#session.isLive() || !this.client.writable) return;
    const { expiresAt, dueMonotonic } = this.#session;
    const seconds = Math.max(0, Math.round((dueMonotonic - this.#parts.monotonic()) / 1000));
    const until = new Date(expiresAt).toISOString();
    this.client.write(textFrame(warnings.replaceAll('{seconds}', `${seconds}`).replaceAll('{until}', until)));
  }

  #readClient(): void {
    const { client } = this;
    client.on('data', (chunk: Buffer) => {
      if (!this.#done) this.#fromClient(chunk);
    });
    client.once('end', () => this.#clientEnds());
    client.once('close', () => this.#clientLeft());
  }

  /** Each frame is decided and recorded: of many small ones some at a time are, and whoever else waits comes in between. */
  #fromClient(chunk: Buffer): void {
    this.#reading = true;
    this.#bytesIn += chunk.byteLength; // before it may come to an end in there
    const read = this.#frames.write(chunk, AT_A_TIME);
    this.#bytesIn -= chunk.byteLength - read;
    this.#reading = false;
    this.#flush();
    if (this.#done || read === chunk.byteLength) return this.#pace();
    this.client.pause();
    this.client.unshift(chunk.subarray(read));
    setImmediate(() => this.#pace());
  }

  #readService(): void {
    const { upstream } = this.#parts;
    upstream.on('data', (chunk: Buffer) => this.#fromService(chunk));
    upstream.on('drain', () => this.#pace());
    upstream.once('end', () => this.#serviceLeft());
    upstream.once('close', () => this.#serviceLeft());
    this.client.on('drain', () => this.#paceService());
  }

  /** Decides and records one frame, and sends it on once it is safe. Nothing of a client's bytes passes unrecorded. */
  #frame(frame: MessageAction['frame'], data: Buffer): void {
    if (this.#done || this.#refused !== null) return;
    // A policy that was reloaded since the opening may allow less.
    if (data.byteLength > settingsOf(this.#session.role).maxMessage)
      return this.#breakBehind(1009, 'the message is too large', 'too_large', 'the largest message');
    if (!this.#mayPass(frame, data)) return;
    this.#messages += 1;
    this.#hold(() => this.#send(maskedFrame(frame, data)));
  }

  /** Decides and records one frame. One that is refused ends the WebSocket as soon as that is recorded. */
  #mayPass(frame: MessageAction['frame'], data: Buffer): boolean {
    const { passage, path, opening } = this.#parts;
    const { decision } = passage.propose({ kind: 'message', opening, path, frame, data }, this.#judge());
    if (decision.outcome === 'allow') return true;
    this.#endBehind(REFUSED, decision.message, decision.reason ?? decision.outcome);
    return false;
  }

  /** A message is judged as its opening is: the same role says the same of each, and another one is asked anew. */
  #judge(): Decision {
    const { role } = this.#session;
    if (this.#judged !== null && this.#judged.role === role) return this.#judged.decision;
    const decision = this.#parts.passage.judge(this.#parts.opening);
    this.#judged = { role, decision };
    return decision;
  }

  #conclude(code: number, reason: Buffer): void {
    if (this.#done || this.#refused !== null) return;
    this.#closeCode = code;
    if (reason.byteLength > 0 && !this.#mayPass('close', reason)) return;
    this.#hold(() => {
      this.#send(maskedFrame('close', closePayload(code === 1005 ? null : code, reason)));
      // RFC 6455 section 7.1.1: the service closes the connection first.
      this.#closing = setTimeout(() => this.#closeSilent(), CLOSING);
    });
  }

  #hold(send: () => void): void {
    this.#held += 1;
    this.#parts.passage.release(() => {
      this.#held -= 1;
      if (this.#held === 0) this.#memory.keep(this.#frames.holds);
      if (!this.#done) send();
      if (this.#clientEnded && this.#held === 0) this.#clientSaidAll();
      this.#pace();
    });
  }

  /** Of what is let go while it is read the end of the reading sends all; of what waits for a commit the last one. */
  #send(frame: Buffer): void {
    this.#ready.push(frame);
    if (!this.#reading && this.#held === 0) this.#flush();
  }

  #flush(): void {
    const { upstream } = this.#parts;
    const frames = this.#ready;
    if (frames.length === 0 || this.#done) return;
    this.#ready = [];
    if (frames.length > 1) upstream.cork();
    for (const frame of frames) upstream.write(frame);
    if (frames.length > 1) upstream.uncork();
  }

  /** The client is read while nothing of it waits for its record or for the service. */
  #pace(): void {
    if (this.#done) return;
    if (this.#held > 0 || this.#parts.upstream.writableNeedDrain) this.client.pause();
    else this.client.resume();
  }

  #fromService(chunk: Buffer): void {
    if (this.#done || !this.#session.isLive()) return;
    const passed = this.#watch.push(chunk);
    if (passed > 0) this.#pass(passed === chunk.byteLength ? chunk : chunk.subarray(0, passed));
    if (this.#watch.fault !== null) return this.#serviceFailed(this.#watch.fault);
    this.#paceService();
    this.#sayWarning();
  }

  #pass(bytes: Buffer): void {
    this.#closing?.refresh(); // the service is not silent
    if (!this.client.writable) return;
    this.#bytesOut += bytes.byteLength;
    this.#session.deliver(this.client, bytes);
  }

  /** The service is read while the client takes what it says, and the record keeps up with it. */
  #paceService(): void {
    const { upstream } = this.#parts;
    if (this.#done) return;
    if (this.client.writableNeedDrain || this.#said.isFull) upstream.pause();
    else if (upstream.isPaused()) upstream.resume();
  }

  /** A service is silent where nothing keeps it from speaking: not while it is not read, nor while it has the close still to read. */
  #closeSilent(): void {
    const { upstream } = this.#parts;
    if (upstream.isPaused() || upstream.writableLength > 0) this.#closing?.refresh();
    else upstream.destroy();
  }

  /** The code that the client is about to be told, or was; 1006 where nothing can be said. */
  #statusOf(code: number): string {
    return String(this.#parting.maySay ? code : (this.#watch.closeCode ?? 1006));
  }

  #serviceFailed(fault: string): void {
    const status = this.#statusOf(BAD_GATEWAY);
    this.#session.meter.upstreamFailed('protocol');
    this.#tell(Number(status), 'upstream_unavailable', 'well-formed frames', fault);
    this.#stop({ status, reason: 'upstream_unavailable', fault });
    this.#parts.upstream.destroy();
    this.#parting.say(BAD_GATEWAY, 'the service does not speak WebSocket');
    this.#parting.leave();
  }

  #serviceLeft(): void {
    if (this.#done) return;
    const code = this.#watch.closeCode ?? this.#closeCode;
    if (code === null) {
      if (this.#refused === null) this.#session.meter.upstreamFailed('broken');
      this.#break(BAD_GATEWAY, 'the service closed the connection', 'upstream_closed', 'a closing handshake');
    } else {
      this.#stop({ status: String(code) });
      this.#parts.upstream.destroy();
      this.#parting.say(code, ''); // the client's close is answered, if the service did not do so
      this.#parting.leave();
    }
  }

  /** What it said before still goes on. */
  #clientEnds(): void {
    this.#clientEnded = true;
    if (this.#held === 0) this.#clientSaidAll();
  }

  /** Amid a closing handshake the service may still answer, to a client that has ended its side alone. */
  #clientSaidAll(): void {
    if (!this.#done && this.#closeCode === null) this.#clientLeft();
  }

  #clientLeft(): void {
    if (this.#done) return;
    this.#stop({ status: String(this.#closeCode ?? this.#watch.closeCode ?? 1006), reason: 'client_left' });
    leaveGently(this.#parts.upstream);
    this.#parting.leave();
  }

  /** Ends this WebSocket for what no decision in the record stands for. */
  #break(code: number, message: string, reason: string, rule: string, why?: string): void {
    if (this.#done) return;
    if (this.#refused !== null) return this.#refused(); // that was told
    this.#tell(code, reason, rule, why);
    this.#end(code, message, reason);
  }

  #unreadable(code: number, why: string): void {
    if (code === NO_ROOM) this.#breakBehind(code, why, 'too_many', 'memory for large messages');
    else this.#breakBehind(code, why, 'protocol_error', 'well-formed frames', why);
  }

  /** As `#break`, behind what the client sent before: that was allowed, and may wait for its record. */
  #breakBehind(code: number, message: string, reason: string, rule: string, why?: string): void {
    if (this.#done || this.#refused !== null) return;
    this.#tell(code, reason, rule, why);
    this.#endBehind(code, message, reason);
  }

  #endBehind(code: number, message: string, reason: string): void {
    const end = () => this.#end(code, message, reason);
    this.#refused = end;
    this.#hold(end);
  }

  #tell(status: number, reason: string, rule: string, why?: string): void {
    const { id, policy } = this.#session;
    const { faults, opening } = this.#parts;
    faults.tell({ service: policy.name, session: id, client: opening.client, status, reason, rule, why });
  }

  /** Ends this WebSocket alone: the session goes on. */
  #end(code: number, message: string, reason: string): void {
    if (this.#done) return;
    this.#flush();
    this.#stop({ status: this.#statusOf(code), reason });
    leaveGently(this.#parts.upstream);
    this.#parting.say(code, message);
    this.#parting.leave();
  }

  #stop(facts: Facts): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#closing !== null) clearTimeout(this.#closing);
    this.#said.close();
    this.#memory.keep(0);
    const { seq, at, monotonic } = this.#parts;
    const counted = { bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, messages: this.#messages };
    const { recording } = this.#session;
    // Straight to the log: at a cut the session counts as ended already, and its receipt is written after this.
    if (recording.receipt === null)
      recording.append('result', { of: seq, ...counted, ...timesOf({ ...at, done: monotonic() }), ...facts });
    this.#detach();
    this.#linger();
  }

  /** What was written to either side may still wait there, which a cut has to find until both are closed. */
  #linger(): void {
    const open = [this.client, this.#parts.upstream].filter(({ closed }) => !closed);
    if (open.length === 0 || this.#session.end !== null) return;
    const over = this.#session.linger(this);
    let left = open.length;
    const closed = () => {
      left -= 1;
      if (left === 0) over();
    };
    for (const one of open) one.once('close', closed);
  }
}
