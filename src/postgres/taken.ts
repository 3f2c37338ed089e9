import { keyOf } from './names.js';

/** What the client had of a result so far. */
export interface Share {
  readonly rows: number;
  readonly bytes: number;
}

const NOTHING: Share = { rows: 0, bytes: 0 };

/**
 * What was taken of each open portal (an SQL cursor is one): a result that is fetched in parts is one result to
 * `max_rows` and `max_bytes`. All of it is told as the server answers, so a name is the portal that it is there.
 */
export class Taken {
  readonly #of = new Map<string, Share & { readonly holds: boolean }>();

  /** The server made a portal of this name. @param holds - it may outlive its transaction */
  begins(name: string, holds: boolean): void {
    this.#of.set(keyOf(name), { ...NOTHING, holds });
  }

  /** The server closed the portal; null: all of them. */
  closes(name: string | null): void {
    if (name === null) this.#of.clear();
    else this.#of.delete(keyOf(name));
  }

  /** No transaction is open: what does not hold is gone. */
  transactionEnded(): void {
    for (const [name, { holds }] of this.#of) if (!holds) this.#of.delete(name);
  }

  /** The most that was taken of one of these. */
  most(names: readonly string[]): Share {
    let most = NOTHING;
    for (const name of names) {
      const { rows, bytes } = this.#of.get(keyOf(name)) ?? NOTHING;
      most = { rows: Math.max(most.rows, rows), bytes: Math.max(most.bytes, bytes) };
    }
    return most;
  }

  /** More was taken of each of these. */
  add(names: readonly string[], more: Share): void {
    if (more.rows === 0) return;
    for (const name of names) {
      const key = keyOf(name);
      const { rows, bytes, holds } = this.#of.get(key) ?? { ...NOTHING, holds: false };
      this.#of.set(key, { rows: rows + more.rows, bytes: bytes + more.bytes, holds });
    }
  }
}
