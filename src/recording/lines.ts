import { type Due, dueOf } from './due.js';
import type { SessionLog } from './log.js';

/** Sessions in one commit, and how much, bytes: packing them holds up everything else, cuts included. */
const MOST_LOGS = 128;
const MOST_BYTES = 2 * 1024 * 1024;
/** Who has no more than this to write, bytes, never waits for those who have. */
const LITTLE = MOST_BYTES / MOST_LOGS;
/** So much is taken of each person before more is taken of anybody, bytes: some of everybody, then a part, then whatever there is room for. */
const ROUNDS = [LITTLE, MOST_BYTES / 4, Number.POSITIVE_INFINITY];

/**
 * Logs that have something to write. Those of a person stand in one line, and the lines behind one another: first of whom nothing was
 * taken for longest. So nobody waits for all that others have, however many these are.
 */
export class Lines {
  readonly #of = new Map<string, Set<SessionLog>>();

  get isEmpty(): boolean {
    return this.#of.size === 0;
  }

  add(log: SessionLog): void {
    const { principal } = log.row;
    const line = this.#of.get(principal);
    if (line === undefined) this.#of.set(principal, new Set([log]));
    else line.add(log);
  }

  /** Takes what goes into the next commit. */
  take(): readonly Due[] {
    const due: Due[] = [];
    const shares = new Map<string, number>();
    const passedOver = new Set<string>();
    let bytes = 0;
    for (const most of ROUNDS) {
      for (const [person, line] of this.#of) {
        let share = shares.get(person) ?? 0;
        for (const log of line) {
          if (share >= most || due.length >= MOST_LOGS) break;
          if (bytes >= MOST_BYTES && log.pendingBytes > LITTLE) {
            if (share === 0) passedOver.add(person);
            continue;
          }
          line.delete(log);
          if (!log.hasPending) continue;
          const one = dueOf(log);
          due.push(one);
          const size = one.taken?.bytes ?? 0;
          bytes += size;
          share += Math.max(size, LITTLE);
        }
        shares.set(person, share);
        if (line.size === 0) this.#of.delete(person);
      }
    }
    this.#moveBack(shares, passedOver);
    return due;
  }

  /** Of whom something was taken goes behind the others, but not where that was little, and much that stood in front of it has to wait. */
  #moveBack(shares: ReadonlyMap<string, number>, passedOver: ReadonlySet<string>): void {
    for (const [person, share] of shares) {
      const line = this.#of.get(person);
      if (share === 0 || line === undefined || passedOver.has(person)) continue;
      this.#of.delete(person);
      this.#of.set(person, line);
    }
  }
}
