import cluster from 'node:cluster';
import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { Member } from './member.js';
import type { PassedMessage, ServesMessage } from './messages.js';

/** How long a worker that ended is waited for before it is started again: doubled each time, milliseconds. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
/** A worker that lived for so long is not one that fails again and again, milliseconds. */
const LIVED_WELL = 60_000;
/** How long workers may take to end when one of them cannot start, milliseconds. */
const GIVE_UP = 10_000;

export interface CrewOptions {
  readonly count: number;
  readonly log: Log;
  /** A worker's process ended. */
  readonly ended: (index: number) => void;
}

/** The workers: started together, each started again when it dies, stopped together. */
export class Crew {
  readonly members: readonly Member[];
  readonly #options: CrewOptions;
  readonly #stopping = new AbortController();

  constructor(options: CrewOptions) {
    this.#options = options;
    const pass = (message: PassedMessage) => this.#pass(message);
    this.members = Array.from({ length: options.count }, (_, index) => new Member(index, pass));
  }

  get stopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /**
   * Starts all of them; from then on each is kept.
   * @returns where they serve
   * @throws DaypassError of the first that cannot start; none is left then
   */
  async start(): Promise<ServesMessage> {
    cluster.schedulingPolicy = cluster.SCHED_RR; // the system's own choice gives most connections to few processes
    try {
      const [serves] = await Promise.all(this.members.map((member) => member.start()));
      if (serves === undefined) throw new Error('a gateway has at least one worker');
      for (const member of this.members) void this.#keep(member);
      return serves;
    } catch (thrown) {
      await Promise.race([this.stop(), pause(GIVE_UP, undefined, { ref: false })]);
      for (const member of this.members) member.kill('SIGKILL');
      throw thrown;
    }
  }

  /** Reads the policies again in each. */
  hangUp(): void {
    // One that is not up yet reads them when it starts, and has no ear for the signal before.
    for (const member of this.members) if (member.up) member.kill('SIGHUP');
  }

  /** Lets each drain and end; resolves when all have. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const member of this.members) member.send({ kind: 'stop' });
    await Promise.all(this.members.map(({ ended }) => ended));
  }

  /** A cancel request goes to the worker that issues such keys, whose own table decides; where there is none, it is done with. */
  #pass(message: PassedMessage): void {
    const member = this.members[message.place];
    if (member?.send(message) === true || message.kind === 'cancelled') return;
    this.members[message.from]?.send({ kind: 'cancelled', place: message.from, id: message.id });
  }

  async #keep(member: Member): Promise<void> {
    const { log } = this.#options;
    let wait = FIRST_PAUSE;
    for (;;) {
      const { code, signal, lived } = await member.ended;
      this.#options.ended(member.index);
      if (this.stopping) return;
      if (lived > LIVED_WELL) wait = FIRST_PAUSE;
      log.error({ worker: member.index, code, signal, again: wait }, 'a worker ended; it is started again');
      await pause(wait, undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (this.stopping) return;
      wait = Math.min(2 * wait, LONGEST_PAUSE);
      await member.start().catch((thrown: unknown) => {
        log.error({ worker: member.index, err: messageOf(thrown) }, 'a worker could not be started again');
      });
    }
  }
}
