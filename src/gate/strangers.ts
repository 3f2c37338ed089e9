import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '../clock.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { letGo } from '../session/connection.js';
import { descriptors } from './descriptors.js';
import { sourceOf } from './network.js';
import { Shares } from './shares.js';

/** A connection at a protocol's port, from its first byte to its last. */
export interface Guest {
  /** All that is needed to ask whether its client may come in is there. */
  asks(): void;
  /** @returns false where that person has too many connections for one more; its client is still a stranger then */
  letIn(person: string): boolean;
  /** What was asked last was not for somebody who may come in. */
  turnedAway(): void;
}

/** Whoever is known otherwise, and not counted: a tunnel, a listed proxy that speaks for many. */
export const KNOWN: Guest = { asks() {}, letIn: () => true, turnedAway() {} };

/** Who hears of strangers that had to go. */
export interface StrangersParts {
  readonly log: Log;
  readonly metrics: Metrics;
  /** How many may be connected; by the machine unless told. */
  readonly most?: number | undefined;
  /** The room of those who were let in. */
  readonly shares?: Shares | undefined;
  readonly clock?: Clock;
}

/** Strangers at once: each may take 70 KB, amid a TLS handshake. */
const MOST = 4_096;
/** Of its descriptors a process gives them one in so many: the others are for who is let in, services, the ledger and the store. */
const SHARE = 4;
/** Up to so many of one address are no crowd (browsers open six for a page, a tool as many as its pool has), or a share where that is less. */
const FEW = 16;
const FEW_SHARE = 8;
/** Whose an IPv6 address is, bits: a /48 is to be had for nothing, and has as many /64s as there are ports. */
const NETWORK = 48;
/** How often it is said at most that some had to go, milliseconds. */
const EVERY = 60_000;

/**
 * Connections of clients that were not let in: nothing said yet, amid a handshake, amid a request's head, refused and kept alive. There
 * is room for so many at all ports together. For one more than that the oldest goes of whichever address has the most: whoever
 * fills the room makes it for everybody else. Where no address has more than a few the oldest of all goes: whoever fills it from
 * thousands of addresses would otherwise have those go first that come with two. Of nobody who was let in anything is ever ended here.
 */
export class Strangers {
  readonly #parts: StrangersParts;
  readonly #clock: Clock;
  readonly #most: number;
  readonly #few: number;
  readonly shares: Shares;
  /** By address, the oldest first. */
  readonly #of = new Map<string, Set<Stranger>>();
  /** Addresses by how many they have; so many the largest crowd is. */
  readonly #crowds: Set<string>[] = [];
  #largest = 0;
  /** All of them, the oldest first. */
  readonly #all = new Set<Stranger>();
  #gone = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(parts: StrangersParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
    this.#most = parts.most ?? mostOf(descriptors());
    this.shares = parts.shares ?? new Shares();
    this.#few = Math.min(FEW, Math.ceil(this.#most / FEW_SHARE));
  }

  /** Somebody connected. @param address - the client's, as a socket or a listed proxy tells it */
  came(stream: Duplex, address: string, protocol: string): Guest {
    if (stream.destroyed) return KNOWN;
    const stranger = new Stranger(this, stream, sourceOf(address, NETWORK), protocol);
    stranger.turnedAway();
    stream.once('close', () => stranger.left());
    return stranger;
  }

  add(stranger: Stranger): void {
    const { source } = stranger;
    const crowd = this.#of.get(source) ?? new Set();
    this.#of.set(source, crowd.add(stranger));
    this.#sized(source, crowd.size - 1, crowd.size);
    this.#all.add(stranger);
    this.#parts.metrics.strangers(stranger.protocol).value += 1;
    if (this.#all.size > this.#most) this.#makeRoom();
  }

  remove(stranger: Stranger): void {
    const { source } = stranger;
    const crowd = this.#of.get(source);
    if (crowd?.delete(stranger) !== true) return;
    if (crowd.size === 0) this.#of.delete(source);
    this.#sized(source, crowd.size + 1, crowd.size);
    this.#all.delete(stranger);
    this.#parts.metrics.strangers(stranger.protocol).value -= 1;
  }

  /** As if it had come just now. */
  renew(stranger: Stranger): void {
    this.remove(stranger);
    this.add(stranger);
  }

  #sized(source: string, before: number, now: number): void {
    this.#crowds[before]?.delete(source);
    this.#crowds[now] ??= new Set();
    if (now > 0) this.#crowds[now].add(source);
    if (now > this.#largest || this.#crowds[this.#largest]?.size === 0) this.#largest = now;
  }

  #makeRoom(): void {
    const [source = ''] = this.#crowds[this.#largest] ?? [];
    const [connections, addresses] = [this.#largest, this.#of.size];
    const [oldest] = connections > this.#few ? (this.#of.get(source) ?? []) : this.#all;
    if (oldest === undefined) return;
    oldest.end();
    this.#parts.metrics.strangerClosed(oldest.protocol);
    this.#gone += 1;
    const now = this.#clock.monotonic();
    if (now - this.#toldAt < EVERY) return;
    const told = { client: source, connections, addresses, closed: this.#gone };
    this.#parts.log.warn(told, 'too many strangers are connected');
    this.#toldAt = now;
    this.#gone = 0;
  }
}

class Stranger implements Guest {
  readonly source: string;
  readonly protocol: string;
  readonly #all: Strangers;
  readonly #stream: Duplex;
  #isStrange = false;
  /** Who was let in; null as long as nobody was. */
  #person: string | null = null;
  #isOver = false;

  constructor(all: Strangers, stream: Duplex, source: string, protocol: string) {
    this.#all = all;
    this.#stream = stream;
    this.source = source;
    this.protocol = protocol;
  }

  asks(): void {
    if (this.#isStrange) this.#all.renew(this);
  }

  letIn(person: string): boolean {
    if (person === this.#person || this.#isOver) return true;
    if (!this.#all.shares.take(person)) return false;
    this.#cease();
    this.#person = person;
    return true;
  }

  turnedAway(): void {
    if (this.#isStrange || this.#isOver) return;
    this.#cease();
    this.#isStrange = true;
    this.#all.add(this);
  }

  left(): void {
    this.#isOver = true;
    this.#cease();
  }

  end(): void {
    this.left();
    letGo(this.#stream);
  }

  /** From here on it is neither a stranger's nor anybody's. */
  #cease(): void {
    if (this.#isStrange) this.#all.remove(this);
    if (this.#person !== null) this.#all.shares.giveBack(this.#person);
    this.#isStrange = false;
    this.#person = null;
  }
}

/** How many strangers there is room for. @param of - the file descriptors that the process may have */
export function mostOf(of: number): number {
  return Math.min(MOST, Math.ceil(of / SHARE));
}
