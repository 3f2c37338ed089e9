import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';
import { freePort } from './ports.js';

/** What is wrong between two parts. It holds for connections that are open and for those to come, until it is changed. */
export type Fault =
  /** Every byte comes so much later, milliseconds each way; at most so many bytes a second each way. */
  | { readonly kind: 'slow'; readonly latency?: number; readonly bandwidth?: number }
  /** Everything is accepted and swallowed, and nobody hears of the other's end. When it is over, those connections break. */
  | { readonly kind: 'half-open' }
  /** Nothing is read on either side; when it is over, what was on its way arrives. */
  | { readonly kind: 'stop' }
  /** Every connection is reset (RST), a new one as soon as it is made. */
  | { readonly kind: 'reset' }
  /** Open connections are reset and nobody listens any more. */
  | { readonly kind: 'refuse' };

/** A TCP relay between two parts of the system, with faults that are switched on and off while it runs. */
export interface FaultProxy {
  readonly port: number;
  /** What was passed on to the server since the start. */
  readonly seen: () => Buffer;
  /** Connections that are open on the client's side. */
  readonly open: () => number;
  /** Puts a fault in force. Resolves when it is. */
  set(fault: Fault): Promise<void>;
  /** Everything passes again. Resolves when new connections are accepted. */
  heal(): Promise<void>;
  /** Lets so many more bytes of the server's answers pass on each connection, then puts the fault in force for that one. */
  after(bytes: number, fault: 'reset' | 'half-open' | 'end'): void;
}

type Budget = { left: number; fault: 'reset' | 'half-open' | 'end' };
/** What may wait in one direction before its source is read no further, bytes. */
const MOST_QUEUED = 256 * 1024;

/** Listens on a loopback port of its own, also after it was let go of for a while, and passes everything on to `port`. Ends with `t`. */
export async function faultProxy(t: Pick<Test, 'teardown'>, port: number, host = '127.0.0.1'): Promise<FaultProxy> {
  const proxy = new Injector(await freePort(), host, port);
  await proxy.listen();
  t.teardown(() => proxy.close());
  return proxy;
}

class Injector implements FaultProxy {
  readonly port: number;
  fault: Fault | null = null;
  budget: { readonly bytes: number; readonly fault: Budget['fault'] } | null = null;
  readonly passed: Buffer[] = [];
  readonly #host: string;
  readonly #target: number;
  readonly #links = new Set<Link>();
  #server: Server | null = null;

  constructor(port: number, host: string, target: number) {
    this.port = port;
    this.#host = host;
    this.#target = target;
  }

  seen(): Buffer {
    return Buffer.concat(this.passed);
  }

  open(): number {
    return [...this.#links].filter((link) => !link.left).length;
  }

  async set(fault: Fault): Promise<void> {
    this.fault = fault;
    if (fault.kind === 'refuse') this.#shut();
    for (const link of [...this.#links]) link.changed();
  }

  async heal(): Promise<void> {
    this.fault = null;
    this.budget = null;
    await this.listen();
    for (const link of [...this.#links]) link.changed();
  }

  after(bytes: number, fault: Budget['fault']): void {
    this.budget = { bytes, fault };
    for (const link of this.#links) link.limit({ left: bytes, fault });
  }

  async listen(): Promise<void> {
    if (this.#server !== null) return;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
  }

  close(): void {
    this.#shut();
    for (const link of this.#links) link.reset();
  }

  #shut(): void {
    this.#server?.close();
    this.#server = null;
  }

  #accept(client: Socket): void {
    if (this.fault?.kind === 'reset' || this.fault?.kind === 'refuse') return void client.resetAndDestroy();
    const server = connect({ port: this.#target, host: this.#host, allowHalfOpen: true, noDelay: true });
    const link = new Link(this, client, server, () => this.#links.delete(link));
    this.#links.add(link);
    if (this.budget !== null) link.limit({ left: this.budget.bytes, fault: this.budget.fault });
    link.changed();
  }
}

/** One connection through the proxy. */
class Link {
  readonly #proxy: Injector;
  readonly #sockets: readonly [Socket, Socket];
  readonly #pipes: readonly [Pipe, Pipe];
  readonly #gone: () => void;
  #over = false;
  /** Half open by itself, whatever the others are. */
  #severed = false;
  /** Something was swallowed: this connection cannot be made whole again. */
  #broken = false;
  /** The client has closed, and the server was not told. */
  left = false;

  constructor(proxy: Injector, client: Socket, server: Socket, gone: () => void) {
    this.#proxy = proxy;
    this.#sockets = [client, server];
    this.#gone = gone;
    const up = new Pipe(
      client,
      server,
      () => this.#shape(),
      (chunk) => proxy.passed.push(chunk),
    );
    const down = new Pipe(
      server,
      client,
      () => this.#shape(),
      () => {},
    );
    down.exhausted = (fault) => this.#exhausted(fault);
    this.#pipes = [up, down];
    for (const socket of this.#sockets) {
      socket.on('error', () => {});
      socket.on('close', (hadError) => this.#closed(socket, hadError));
    }
  }

  limit(budget: Budget): void {
    this.#pipes[1].budget = budget;
  }

  /** The proxy's fault is another. */
  changed(): void {
    const kind = this.#proxy.fault?.kind;
    if (kind === 'reset' || kind === 'refuse' || (this.#broken && kind === undefined)) return this.reset();
    if (kind === 'half-open') this.#broken = true;
    for (const pipe of this.#pipes) pipe.flow();
  }

  reset(): void {
    this.#over = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#gone();
  }

  #shape(): Fault | null {
    return this.#severed ? { kind: 'half-open' } : this.#proxy.fault;
  }

  #exhausted(fault: Budget['fault']): void {
    if (fault === 'reset') return this.reset();
    if (fault === 'end') return this.#end();
    this.#severed = true;
    this.#broken = true;
  }

  /** As a server that closes in the middle of what it says. */
  #end(): void {
    const [client, server] = this.#sockets;
    this.#over = true;
    client.end();
    client.resume();
    server.destroy();
    setTimeout(() => client.destroy(), 1_000).unref();
    this.#gone();
  }

  #closed(socket: Socket, hadError: boolean): void {
    const other = socket === this.#sockets[0] ? this.#sockets[1] : this.#sockets[0];
    if (this.#over) return;
    if (socket === this.#sockets[0]) this.left = true;
    if (this.#shape()?.kind === 'half-open') return;
    if (hadError || !socket.readableEnded) this.reset();
    else if (other.destroyed) this.#gone();
  }
}

/** One direction of a connection: chunks in order, each not before its time. */
class Pipe {
  budget: Budget | null = null;
  exhausted: (fault: Budget['fault']) => void = () => {};
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #shape: () => Fault | null;
  readonly #passed: (chunk: Buffer) => void;
  readonly #queue: { readonly chunk: Buffer | null; readonly at: number }[] = [];
  #queued = 0;
  #lastAt = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(from: Socket, to: Socket, shape: () => Fault | null, passed: (chunk: Buffer) => void) {
    this.#from = from;
    this.#to = to;
    this.#shape = shape;
    this.#passed = passed;
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.on('end', () => this.#take(null));
    to.on('drain', () => this.flow());
  }

  /** Goes on, or stops, as the fault in force and the pace of the other side ask. */
  flow(): void {
    const kind = this.#shape()?.kind;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (kind === 'stop') return void this.#from.pause();
    if (kind === 'half-open') this.#queue.length = 0;
    const now = performance.now();
    while (this.#queue[0] !== undefined && (this.#queue[0].at <= now || this.#shape() === null)) {
      const { chunk } = this.#queue.shift()!;
      this.#queued -= chunk?.byteLength ?? 0;
      this.#give(chunk);
    }
    const next = this.#queue[0];
    if (next !== undefined) this.#timer = setTimeout(() => this.flow(), Math.max(1, next.at - now));
    if (this.#queued > MOST_QUEUED || this.#to.writableNeedDrain) this.#from.pause();
    else this.#from.resume();
  }

  /** @param chunk - null: the end */
  #take(chunk: Buffer | null): void {
    const shape = this.#shape();
    if (shape?.kind === 'half-open') return;
    const { latency = 0, bandwidth = Number.POSITIVE_INFINITY } = shape?.kind === 'slow' ? shape : {};
    const size = chunk?.byteLength ?? 0;
    this.#lastAt = Math.max(this.#lastAt, performance.now() + latency) + (size / bandwidth) * 1_000;
    this.#queue.push({ chunk, at: shape === null && this.#queue.length === 0 ? 0 : this.#lastAt });
    this.#queued += size;
    this.flow();
  }

  #give(chunk: Buffer | null): void {
    if (this.#to.destroyed) return;
    if (chunk === null) return void this.#to.end();
    const { budget } = this;
    const part = budget !== null && chunk.byteLength > budget.left ? chunk.subarray(0, budget.left) : chunk;
    if (budget !== null) budget.left -= part.byteLength;
    if (part.byteLength > 0) {
      this.#passed(part);
      this.#to.write(part);
    }
    if (budget !== null && budget.left <= 0) {
      this.budget = null;
      // Once what was let through is on its way.
      setImmediate(() => this.exhausted(budget.fault));
    }
  }
}
