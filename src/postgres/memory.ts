import { getHeapStatistics } from 'node:v8';
import { MessageMemory } from '../session/message-memory.js';
import type { Room } from './names.js';

const MiB = 1024 * 1024;
/** How much may wait of one session before anybody is asked, bytes: so much is read ahead of the record and the server anyway. */
const FREE = 4 * MiB;
/** How much the messages of all sessions may take: the longest that is held whole, and some beside it. */
const MESSAGES = 320 * MiB;
/** The part of V8's heap that the names of all sessions may take: texts and parameters are there, and who takes it all ends the process. */
const NAMES = 1 / 8;

/** What the sessions of all clients may take of this process at a time, bytes. */
export interface MemoryLimits {
  /** Messages that are not whole, or wait for their record or the server; 320 MiB unless told. */
  readonly messages?: number;
  /** Prepared statements, portals and cursors; an eighth of V8's heap unless told. */
  readonly names?: number;
}

/** The memory of a listener: what its sessions take of it is bounded together, and divided fairly among people. */
export class SessionsMemory {
  readonly #messages: MessageMemory;
  readonly #names: MessageMemory;

  constructor({ messages = MESSAGES, names = getHeapStatistics().heap_size_limit * NAMES }: MemoryLimits = {}) {
    this.#messages = new MessageMemory(messages);
    this.#names = new MessageMemory(names);
  }

  /** @param crowdedOut - others need what this session takes: it is to end */
  of(person: string, crowdedOut: () => void): SessionMemory {
    return new SessionMemory(this.#messages, this.#names, person, crowdedOut);
  }
}

/** What one session takes. */
class SessionMemory {
  /** For what its names stand for. */
  readonly names: Room;
  readonly #messages;
  readonly #names;
  #isOver = false;

  constructor(messages: MessageMemory, names: MessageMemory, person: string, crowdedOut: () => void) {
    this.#messages = messages.share(person, crowdedOut);
    const share = names.share(person, crowdedOut);
    this.#names = share;
    this.names = {
      take: (bytes) => !this.#isOver && share.take(bytes, share.taken + bytes),
      give: (bytes) => share.keep(share.taken - bytes),
    };
  }

  /**
   * Takes what its messages need now, and gives the rest back.
   * @param bytes - what waits of them
   * @param most - what the one under way may come to
   * @returns whether there is as much
   */
  holds(bytes: number, most: number): boolean {
    const wanted = bytes > FREE ? bytes : 0;
    const more = wanted - this.#messages.taken;
    if (more > 0) return !this.#isOver && this.#messages.take(more, Math.max(wanted, most));
    this.#messages.keep(wanted);
    return true;
  }

  /** Nothing is held any more. */
  end(): void {
    this.#isOver = true;
    this.#messages.keep(0);
    this.#names.keep(0);
  }
}

export type { SessionMemory };
