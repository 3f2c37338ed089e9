import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { systemClock } from '../../clock.js';
import { type Guest, KNOWN } from '../../gate/strangers.js';
import { letGo } from '../../session/connection.js';
import { goOnLater, Turns } from '../../session/later.js';
import type { Head } from '../head.js';
import { CutShort, MalformedMessage } from '../malformed.js';
import { OwnReading } from '../memory/own-reading.js';
import { lasting } from '../memory/reading.js';
import { ClientRequest, DROPPED } from './request.js';
import { type RequestHeard, type RequestLine, RequestReader } from './request-reader.js';
import { ClientResponse, KEEP_ALIVE } from './response.js';

/** Who serves what comes on connections. */
export interface RequestHandler {
  request(req: ClientRequest, res: ClientResponse): void;
  /** A request that wants its connection for a WebSocket, and what came behind it. It answers on the bare socket. */
  upgrade(req: ClientRequest, socket: Duplex, rest: Buffer): void;
  /** As `upgrade`, of a request for a tunnel (CONNECT). */
  connect(req: ClientRequest, socket: Duplex): void;
  /** What came is no request, or broke the framing of the one under way: nothing more is read. It answers, and ends the connection. */
  unreadable(connection: ClientConnection, error: MalformedMessage): void;
  /** A fault of our own on a connection, which is closed. */
  failed(connection: ClientConnection, thrown: unknown): void;
}

/** What all connections of a server share. */
export interface ConnectionParts {
  readonly handler: RequestHandler;
  /** Services are reached at `<service>.<domain>`. */
  readonly domain: string;
  /** How long the head of a request may take, milliseconds. */
  readonly headTimeout: number;
  /** Those that are open, and speak HTTP. */
  readonly connections: Set<ClientConnection>;
}

/** How much waits behind a request that is under way, bytes: with more of it the client waits. */
const WAITING = 64 * 1024;
/** How long what nobody asked for is read on, so that the last answer reaches its client, milliseconds. */
const LINGERS = 5_000;

/**
 * One connection of a client: its requests one after the other, each answered before the next is looked at. A pipelined
 * request waits as bytes, so nothing is decided about it while an answer is under way.
 */
export class ClientConnection implements RequestHeard {
  readonly socket: Socket;
  readonly #parts: ConnectionParts;
  readonly #guest: Guest;
  readonly #reader: RequestReader;
  #request: ClientRequest | null = null;
  #response: ClientResponse | null = null;
  /** Null where the socket's own events tell what comes. */
  readonly #own: OwnReading | null;
  /** What came and was not read yet. */
  #unread: Buffer | null = null;
  /** Where what is being read stands only until more comes; null while it stands where nothing is read into. */
  #fleeting: OwnReading | null = null;
  #isReading = false;
  #isPaused = false;
  /** It is read on in a later turn. */
  #isYielding = false;
  /** How much of a body was in what is being read, bytes. */
  #told = 0;
  readonly #turns = new Turns();
  /** The next request is looked at in the next turn. */
  #isResting = false;
  /** The request that takes the connection over. */
  #takesOver: ClientRequest | null = null;
  /** No further request is read: what comes is dropped. */
  #isOver = false;
  #dropped = 0;
  /** Since when it waits for what it waits for, on the monotonic clock. */
  #since: number;
  #hasServed = false;
  /** What of the answer waits for the client, as far as that was looked at, bytes. */
  #untaken = 0;

  constructor(socket: Socket, parts: ConnectionParts, guest: Guest = KNOWN) {
    this.socket = socket;
    this.#parts = parts;
    this.#guest = guest;
    this.#reader = new RequestReader(this, parts.domain);
    this.#since = systemClock.monotonic();
    parts.connections.add(this);
    this.#own = OwnReading.of(socket, this.#read);
    if (this.#own === null) socket.on('data', this.#came);
    socket.on('end', this.#ended);
    socket.on('drain', this.#drained);
    socket.on('close', this.#closed);
    socket.on('error', ignore); // whoever hangs up
  }

  /** The request under way. */
  get request(): ClientRequest | null {
    return this.#request;
  }

  /** The answer to it. */
  get response(): ClientResponse | null {
    return this.#response;
  }

  /** Whether what came last, which may be no request, would have been a HEAD. */
  get asksForHead(): boolean {
    return this.#reader.asksForHead;
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return this.#request === null;
  }

  /** Looks whether the client takes too long. */
  look(now: number): void {
    const waited = now - this.#since;
    if (this.#isOver) {
      if (waited > LINGERS) letGo(this.socket);
    } else if (this.#response !== null) {
      this.#lookAtAnswer(this.#response, now);
    } else if (this.#hasServed && !this.#reader.hasBegun) {
      if (waited > KEEP_ALIVE) this.socket.destroy();
    } else if (waited > this.#parts.headTimeout) {
      this.#unreadable(new MalformedMessage('the head of a request took too long', 408));
    }
  }

  /** An answer is waited for as long as it takes; that it is taken is not, and neither is the rest of its request. */
  #lookAtAnswer({ isFinished, hasEnded, owner }: ClientResponse, now: number): void {
    const untaken = this.socket.writableLength;
    if (!isFinished && (!hasEnded || owner?.isBounded === true || untaken !== this.#untaken)) {
      this.#untaken = untaken;
      this.#since = now;
    } else if (now - this.#since > (isFinished ? LINGERS : KEEP_ALIVE)) letGo(this.socket);
  }

  head(line: RequestLine, head: Head): void {
    this.#guest.asks();
    const request = new ClientRequest(line, head, this.socket, this.#guest, this.#readOn);
    if (line.method === 'CONNECT' || head.wantsUpgrade) {
      this.#reader.stop();
      this.#takesOver = request;
      return;
    }
    if (head.fault !== null) this.#reader.stop(); // what would follow might be part of it
    const response = new ClientResponse(request, this.#answered);
    this.#request = request;
    this.#response = response;
    this.#hasServed = true;
    this.#parts.handler.request(request, response);
  }

  body(bytes: Buffer): void {
    this.#told += bytes.byteLength;
    this.#request?.take(this.#fleeting === null ? lasting(bytes) : this.#fleeting.keep(bytes));
  }

  end(): void {
    this.#request?.complete();
    if (this.#response?.isFinished === true) this.#next();
  }

  readonly #read = (bytes: Buffer): boolean => {
    if (this.#unread === null) this.#fleeting = this.#own; // otherwise it is copied behind that
    this.#came(bytes);
    // A copy, and no page: nobody would know when to let go of that.
    if (this.#fleeting !== null && this.#unread !== null) this.#unread = Buffer.from(this.#unread);
    this.#fleeting = null;
    if (this.#request?.isComplete !== false) this.#own?.expectLittle();
    return !this.#isPaused;
  };

  readonly #came = (bytes: Buffer) => {
    if (this.#isOver) return this.#drop(bytes);
    this.#unread = this.#unread === null ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#told = 0;
    this.#readOn();
    if (this.#request?.isComplete === false && this.#turns.isOver(bytes.byteLength, this.#told)) this.#yield();
  };

  #yield(): void {
    if (this.#isYielding) return;
    this.#isYielding = true;
    this.#setPace();
    goOnLater(() => {
      this.#isYielding = false;
      this.#setPace();
    });
  }

  #drop({ byteLength }: Buffer): void {
    this.#dropped += byteLength;
    this.#setPace(); // whoever sends on waits, and has until it is let go of to read its answer
  }

  /** Reads what has come, as far as it may be read now. */
  readonly #readOn = () => {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      this.#readAll();
    } catch (thrown) {
      if (thrown instanceof MalformedMessage) this.#unreadable(thrown);
      else this.#failed(thrown);
    } finally {
      this.#isReading = false;
    }
    this.#setPace();
  };

  /** No further request is read. */
  #stop(): void {
    this.#isOver = true;
    this.#reader.stop();
    this.#unread = null;
  }

  #failed(thrown: unknown): void {
    this.#stop(); // what was not read yet may be in the midst of what was
    this.#response?.breakOff();
    this.socket.destroy();
    this.#parts.handler.failed(this, thrown);
  }

  #readAll(): void {
    while (this.#unread !== null && this.#mayRead()) {
      const bytes = this.#unread;
      const hadBegun = this.#reader.hasBegun;
      const next = this.#reader.push(bytes, 0);
      this.#unread = next < bytes.length ? bytes.subarray(next) : null;
      if (!hadBegun && this.#reader.hasBegun && this.#hasServed) this.#since = systemClock.monotonic();
      if (this.#takesOver !== null) return this.#giveOver(this.#takesOver);
    }
    if (this.#isOver) this.#unread = null;
  }

  #mayRead(): boolean {
    if (this.#isOver || this.#isResting) return false;
    const request = this.#request;
    return request === null || (!request.isComplete && request.head.fault === null && request.isTaking);
  }

  /** The client waits with what nobody can take now. */
  #setPace(): void {
    const isFull = this.#dropped > DROPPED || (this.#unread !== null && this.#unread.length >= WAITING);
    const waits = isFull || this.#isYielding;
    if (waits === this.#isPaused || this.#takesOver !== null) return;
    this.#isPaused = waits;
    if (waits) this.socket.pause();
    else this.socket.resume();
  }

  /** The answer was given whole. */
  readonly #answered = () => {
    this.#since = systemClock.monotonic();
    const request = this.#request;
    if (request === null) return;
    if (!request.isLetIn) this.#guest.turnedAway();
    if (this.#response?.keepsAlive !== true) return this.#endGently();
    if (request.isComplete) this.#next();
    else request.drop();
  };

  #next(): void {
    this.#request = null;
    this.#response = null;
    // Not within the answer before: whoever gave that is not done yet. And each in a turn of its own, behind other connections: of what
    // is refused at once thousands fit into what is read at once, from as many strangers as connect, and everybody else would wait.
    if (this.#unread === null && !this.#isReading) return;
    this.#isResting = true;
    goOnLater(this.#goOn);
  }

  readonly #goOn = () => {
    this.#isResting = false;
    this.#readOn();
  };

  /** Ends the connection behind its last answer; what is still on its way to us must not take that back by a reset. */
  #endGently(): void {
    const request = this.#request;
    this.#stop();
    this.#request = null;
    this.#response = null;
    request?.fail(new Error('the answer came before the end of the request'));
    this.#isPaused = false;
    this.socket.end();
    this.socket.resume();
  }

  #unreadable(error: MalformedMessage): void {
    this.#stop();
    this.#since = systemClock.monotonic();
    this.#parts.handler.unreadable(this, error);
    this.#request?.fail(error);
  }

  /** From here on the connection is not HTTP's any more. */
  #giveOver(request: ClientRequest): void {
    const rest = Buffer.from(this.#unread ?? []);
    this.#unread = null;
    this.#letGo();
    if (request.method === 'CONNECT') this.#parts.handler.connect(request, this.socket);
    else this.#parts.handler.upgrade(request, this.socket, rest);
  }

  #letGo(): void {
    const { socket } = this;
    this.#parts.connections.delete(this);
    socket.off('data', this.#came);
    this.#own?.giveBack();
    socket.off('end', this.#ended);
    socket.off('drain', this.#drained);
    socket.off('close', this.#closed);
    // What comes before somebody listens is kept, and whoever listens first has it flow again, as Node's own upgrades do.
    socket.pause();
    Object.assign(socket, { readableFlowing: null });
  }

  /** The client ended its side: whoever does so in the midst of a request, or of its answer, wants nothing any more. */
  readonly #ended = () => {
    const response = this.#response;
    // What was answered before its end is not refused as well: nobody needs to finish that.
    const isMidst = response?.isFinished !== true && (this.#reader.hasBegun || this.#request?.isComplete === false);
    if (!this.#isOver && isMidst) this.#unreadable(new CutShort('the end in the midst of a request'));
    if (response?.hasBegun === true && !response.hasEnded) response.breakOff();
    else this.socket.end();
  };

  readonly #drained = () => this.#response?.drained();

  readonly #closed = () => {
    this.#stop();
    this.#own?.close();
    this.#parts.connections.delete(this);
    const [request, response] = [this.#request, this.#response];
    response?.abandoned();
    request?.fail(new Error('the client left before its request was whole'));
  };
}

function ignore(): void {}
