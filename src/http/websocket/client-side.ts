import type { Duplex } from 'node:stream';
import type { Decision } from '../../policy/decision.js';
import { goOnLater } from '../../session/later.js';
import type { MemoryShare } from '../../session/message-memory.js';
import type { Session } from '../../session/session.js';
import type { MessageAction } from '../action.js';
import { MessageFacts } from '../record/message-facts.js';
import { settingsOf } from '../rules/decide.js';
import { ClientFrames } from './client-frames.js';
import { closePayload, NO_CODE } from './frames.js';
import { maskedFrame } from './masked-frame.js';
import { Outbox } from './outbox.js';
import { CODES, type Ending, type FaultyEnding } from './parting.js';
import type { RelayParts } from './relay-parts.js';
import { Unfinished } from './unfinished.js';

/** Frames of a client that are looked at in one turn of the event loop. */
const AT_A_TIME = 128;

const NO_ROOM: FaultyEnding = {
  code: CODES.noRoom,
  message: 'too many large messages are under way: send it again later',
  reason: 'too_many',
  rule: 'memory for large messages',
};

/** What hears of how a client's side comes to its end. */
export interface ClientSideEnds {
  /** Its close frame has gone on. */
  closed(): void;
  /** It sent what no decision in the record stands for; `refused` follows. */
  faulty(ending: FaultyEnding): void;
  /** What it sent last does not go on, and what it sent before is safe. */
  refused(ending: Ending): void;
  /** Others need the memory that its messages take, which is let go of at once: also when nothing else is to be heard of it any more. */
  crowdedOut(ending: FaultyEnding): void;
  /** Its connection is closed, or has ended on its side and nothing is left to be answered; what it said before has gone on. */
  left(): void;
}

/**
 * What a client sends: put together to whole messages, of which each is decided, recorded and then framed anew for the
 * service, in order. Nothing of a client's bytes passes unrecorded.
 */
export class ClientSide {
  readonly #parts: RelayParts;
  readonly #client: Duplex;
  readonly #session: Session;
  readonly #ends: ClientSideEnds;
  readonly #facts: MessageFacts;
  readonly #frames: ClientFrames;
  readonly #memory: MemoryShare;
  readonly #outbox: Outbox;
  readonly #unfinished: Unfinished;
  /** What the role says of this socket's messages, and whose word it is. */
  #judged: { readonly role: unknown; readonly decision: Decision } | null = null;
  /** The client has ended its side. */
  #ended = false;
  /** Nothing more of it is looked at. */
  #isDeaf = false;
  #stopped = false;
  /** What was read of it, bytes. */
  bytes = 0;
  /** How many of its messages, pings and pongs were allowed. */
  messages = 0;
  /** The code of its close frame; `NO_CODE` when it had none; null before. */
  closeCode: number | null = null;
  /** A frame was refused: this ends behind what it said before. */
  refusal: Ending | null = null;

  constructor(parts: RelayParts, ends: ClientSideEnds) {
    this.#parts = parts;
    this.#client = parts.client;
    this.#session = parts.passage.session;
    this.#ends = ends;
    this.#facts = new MessageFacts(parts.path, parts.seq);
    this.#memory = parts.memory.share(this.#session.grant.principal, () => ends.crowdedOut(NO_ROOM));
    this.#frames = new ClientFrames(settingsOf(this.#session.role).maxMessage, {
      frame: (frame, data) => this.#frame(frame, data),
      close: (code, reason) => this.#conclude(code, reason),
      mayHold: (bytes, most) => !this.#stopped && this.#memory.take(bytes, most), // what is taken after the end nobody gives back
      fault: (code, why) => this.#unreadable(code, why),
    });
    const heard = { moved: () => this.#moved(), passed: () => this.#count() };
    this.#outbox = new Outbox(parts.passage, parts.upstream, heard);
    const coming = {
      isAmid: () => this.#frames.isAmid,
      came: () => this.#frames.bytes, // pings and empty frames bring it nowhere
      isHeld: () => this.#client.isPaused(),
    };
    this.#unfinished = new Unfinished(parts.messageTimeout, coming, () => this.#abandoned());
  }

  /** Begins to read, once the client flows. */
  start(): void {
    this.#client.on('data', (chunk: Buffer) => {
      if (!this.#stopped) this.#read(chunk);
    });
    this.#client.once('end', () => this.#clientEnds());
    this.#client.once('close', () => this.#clientEnds());
    this.#parts.upstream.on('drain', () => this.#pace());
  }

  /** Sends what may go on and waits for what came with it. */
  flush(): void {
    this.#outbox.flush();
  }

  /** Nothing more of the client is looked at. @param done - called once what it said before has gone on */
  hearNoMore(done: () => void): void {
    this.#isDeaf = true;
    if (this.#outbox.isSafe) return done();
    this.#outbox.release(() => {
      this.#outbox.flush();
      done();
    });
  }

  /**
   * How many of the allowed messages did not go on: the last ones. And of how many before these nobody knows whether they did: they
   * were on their way through the service's connection. What that says of its writes comes late, under TLS in a later turn.
   * @param isLost - what the service's connection has not given to the system is lost with it
   */
  notSent(isLost: boolean): { readonly unsent?: number; readonly unconfirmed?: number } {
    const { handed, passed } = this.#outbox;
    const went = Math.min(handed, this.messages); // its close may have gone, too, behind them all
    const unsent = this.messages - went;
    const unconfirmed = isLost ? Math.max(0, went - passed) : 0;
    return { ...(unsent > 0 ? { unsent } : {}), ...(unconfirmed > 0 ? { unconfirmed } : {}) };
  }

  /** Nothing more goes on. */
  stop(): void {
    this.#stopped = true;
    this.#outbox.close();
    this.#unfinished.stop();
    this.#frames.end(); // its client may stay for long
    this.#count();
  }

  /** Of the memory it keeps what is under way: a message in pieces, and what its service has not taken. */
  #count(): void {
    if (this.#stopped || this.#outbox.isSafe) this.#memory.keep(this.#frames.holds + this.#outbox.bytes);
  }

  /** Each frame is decided and recorded: of many small ones some at a time are, and whoever else waits comes in between. */
  #read(chunk: Buffer): void {
    this.#outbox.gather();
    this.bytes += chunk.byteLength; // before it may come to an end in there
    const read = this.#frames.write(chunk, AT_A_TIME);
    this.bytes -= chunk.byteLength - read;
    this.#outbox.flush();
    if (!this.#stopped) this.#unfinished.read();
    if (this.#stopped || read === chunk.byteLength) return this.#pace();
    this.#client.pause();
    this.#client.unshift(chunk.subarray(read));
    goOnLater(() => this.#pace());
  }

  /** The client is read while nothing of it waits for its record or for the service. */
  #pace(): void {
    if (this.#stopped) return;
    if (!this.#outbox.isClear) this.#client.pause();
    else if (this.#client.isPaused()) this.#client.resume();
  }

  /** Decides and records one frame, and sends it on once it is safe. */
  #frame(frame: MessageAction['frame'], data: Buffer): void {
    if (this.#stopped || this.#isDeaf) return;
    // A policy that was reloaded since the opening may allow less.
    if (data.byteLength > settingsOf(this.#session.role).maxMessage) return this.#tooLarge();
    if (!this.#mayPass(frame, data)) return;
    this.messages += 1;
    this.#outbox.release(() => this.#outbox.send(maskedFrame(frame, data)));
  }

  #conclude(code: number, reason: Buffer): void {
    if (this.#stopped || this.#isDeaf) return;
    this.closeCode = code;
    if (code !== NO_CODE && !this.#mayPass('close', reason, code)) return;
    this.#outbox.release(() => {
      this.#outbox.send(maskedFrame('close', closePayload(code, reason)));
      this.#ends.closed();
    });
  }

  /** Decides and records one frame. One that is refused ends the WebSocket as soon as that is recorded. */
  #mayPass(frame: MessageAction['frame'], data: Buffer, code?: number): boolean {
    const { passage, opening } = this.#parts;
    const action: MessageAction = { kind: 'message', opening, facts: this.#facts, frame, data, code };
    const { decision } = passage.propose(action, this.#judge());
    if (decision.outcome === 'allow') return true;
    const { message, reason, outcome } = decision;
    this.#refuse({ code: CODES.refused, message, reason: reason ?? outcome });
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

  /** Something waits for its record no more. */
  #moved(): void {
    this.#count();
    this.#leaveIfDone();
    this.#pace();
  }

  /** What it said before still goes on. */
  #clientEnds(): void {
    this.#ended = true;
    this.#leaveIfDone();
  }

  /** Amid a closing handshake the service may still answer, to a client that has ended its side alone. */
  #leaveIfDone(): void {
    if (!this.#ended || this.#stopped || !this.#outbox.isSafe) return;
    if (this.closeCode === null || this.#client.closed) this.#ends.left();
  }

  #unreadable(code: number, why: string): void {
    if (code === CODES.noRoom) this.#fail(NO_ROOM);
    else this.#fail({ code, message: why, reason: 'protocol_error', rule: 'well-formed frames', why });
  }

  #abandoned(): void {
    const message = 'a message was left unfinished';
    this.#fail({ code: CODES.refused, message, reason: 'unfinished', rule: 'a message that goes on' });
  }

  #tooLarge(): void {
    const message = 'the message is too large';
    this.#fail({ code: CODES.tooLarge, message, reason: 'too_large', rule: 'the largest message' });
  }

  #fail(ending: FaultyEnding): void {
    if (this.#stopped || this.#isDeaf) return;
    this.#ends.faulty(ending);
    this.#refuse(ending);
  }

  /** Ends this behind what the client sent before: that was allowed, and may wait for its record. */
  #refuse(ending: Ending): void {
    this.refusal = ending;
    this.#isDeaf = true;
    this.#outbox.release(() => this.#ends.refused(ending));
  }
}
