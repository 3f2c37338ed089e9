import { keyOf } from './names.js';

/** What the client had of a result so far. */
export interface Share {
  readonly rows: number;
  readonly bytes: number;
}

/** What was taken of one portal. It may outlive its transaction when it holds. */
interface Portion {
  rows: number;
  bytes: number;
  holds: boolean;
}

/**
 * What was taken of each open portal (an SQL cursor is one): a result that is fetched in parts is one result to
 * `max_rows` and `max_bytes`. All of it is told as the server answers, so a name is the portal that it is there.
 */
export class Taken {
  readonly #of = new Map<string, Portion>();
  /** The portal without a name, which nearly every statement uses: nothing is made for it each time. */
  readonly #unnamed: Portion = { rows: 0, bytes: 0, holds: false };

  /** The server made a portal of this name. @param holds - it may outlive its transaction */
  begins(name: string, holds: boolean): void {
    if (name === '') renew(this.#unnamed, holds);
    else this.#of.set(keyOf(name), { rows: 0, bytes: 0, holds });
  }

  /** The server closed the portal; null: all of them. */
  closes(name: string | null): void {
    if (name === null || name === '') renew(this.#unnamed, false);
    if (name === null) this.#of.clear();
    else this.#of.delete(keyOf(name));
  }

  /** No transaction is open: what does not hold is gone. */
  transactionEnded(): void {
    if (!this.#unnamed.holds) renew(this.#unnamed, false);
    if (this.#of.size === 0) return;
    for (const [name, { holds }] of this.#of) if (!holds) this.#of.delete(name);
  }

  /** The most that was taken of one of these. */
  most(names: readonly string[]): Share {
    let rows = 0;
    let bytes = 0;
    for (const name of names) {
      const portion = name === '' ? this.#unnamed : this.#of.get(keyOf(name));
      if (portion === undefined) continue;
      rows = Math.max(rows, portion.rows);
      bytes = Math.max(bytes, portion.bytes);
    }
    return { rows, bytes };
  }

  /** More was taken of each of these. */
  add(names: readonly string[], rows: number, bytes: number): void {
    if (rows === 0) return;
    for (const name of names) {
      const portion = this.#portion(name);
      portion.rows += rows;
      portion.bytes += bytes;
    }
  }

  #portion(name: string): Portion {
    if (name === '') return this.#unnamed;
    const key = keyOf(name);
    const known = this.#of.get(key);
    if (known !== undefined) return known;
    const portion = { rows: 0, bytes: 0, holds: false };
    this.#of.set(key, portion);
    return portion;
  }
}

function renew(portion: Portion, holds: boolean): void {
  portion.rows = 0;
  portion.bytes = 0;
  portion.holds = holds;
}
