import { getHeapStatistics } from 'node:v8';
import { type MemoryShare, MessageMemory } from '../session/message-memory.js';
import type { Room } from './kept.js';

const KiB = 1024;
const MiB = 1024 * KiB;
/** How much may wait of one session before anybody is asked, bytes: so much is read ahead of the record and the server anyway. */
const FREE_MESSAGES = 4 * MiB;
/** The same of what is kept in V8's heap. */
const FREE_TEXTS = 64 * KiB;
/** How much the messages of all sessions may take: the longest that is held whole, and some beside it. */
const MESSAGES = 320 * MiB;
/** The part of V8's heap that the texts of all sessions may take: who takes it all ends the process. */
const TEXTS = 1 / 4;

/** What the sessions of all clients may take of this process at a time, bytes. */
export interface MemoryLimits {
  /** Messages that are not whole, or wait for their record or the server; 320 MiB unless told. */
  readonly messages?: number;
  /** Prepared statements, portals and cursors, and statements that the server has not answered; a quarter of V8's heap unless told. */
  readonly texts?: number;
}

/** The memory of a listener: what its sessions take of it is bounded together, and divided fairly among people. */
export class SessionsMemory {
  readonly #messages: MessageMemory;
  readonly #texts: MessageMemory;

  constructor({ messages = MESSAGES, texts = getHeapStatistics().heap_size_limit * TEXTS }: MemoryLimits = {}) {
    this.#messages = new MessageMemory(messages);
    this.#texts = new MessageMemory(texts);
  }

  /** @param crowdedOut - others need what this session takes: it is to end */
  of(person: string, crowdedOut: () => void): SessionMemory {
    return new SessionMemory(this.#messages.share(person, crowdedOut), this.#texts.share(person, crowdedOut));
  }
}

/** What one session takes. */
class SessionMemory {
  /** For what its names stand for. */
  readonly names: Room = {
    take: (bytes) => this.#keeps(this.#named + bytes, this.#unanswered),
    give: (bytes) => void this.#keeps(this.#named - bytes, this.#unanswered),
  };
  readonly #messages: MemoryShare;
  readonly #texts: MemoryShare;
  #named = 0;
  #unanswered = 0;

  constructor(messages: MemoryShare, texts: MemoryShare) {
    this.#messages = messages;
    this.#texts = texts;
  }

  /**
   * Takes what its messages need now, and gives the rest back.
   * @param bytes - what waits of them
   * @param most - what the one under way may come to
   * @returns whether there is as much
   */
  holds(bytes: number, most: number): boolean {
    return holds(this.#messages, bytes > FREE_MESSAGES ? bytes : 0, most);
  }

  /** The same for what the server has not answered. */
  awaits(bytes: number): boolean {
    return this.#keeps(this.#named, bytes);
  }

  #keeps(named: number, unanswered: number): boolean {
    const bytes = named + unanswered;
    if (!holds(this.#texts, bytes > FREE_TEXTS ? bytes : 0, bytes)) return false;
    this.#named = named;
    this.#unanswered = unanswered;
    return true;
  }

  /** Nothing is held any more. */
  end(): void {
    this.#messages.end();
    this.#texts.end();
  }
}

function holds(share: MemoryShare, bytes: number, most: number): boolean {
  if (bytes > share.taken) return share.take(bytes - share.taken, Math.max(bytes, most));
  share.keep(bytes);
  return true;
}

export type { SessionMemory };
