import type { Pool, PoolClient } from 'pg';
import type { Clock } from '../clock.js';
import type { NoticeKind } from '../config/notice-kinds.js';
import { withoutHandles } from '../log.js';
import { uuid7 } from '../recording/uuid7.js';

/** Something that people or channels are told. */
export interface Notice {
  readonly kind: NoticeKind;
  /** Names what happened: a notice with a key that was there already is not told again. */
  readonly dedupe: string;
  /** What its text may name, as `{{field}}`. */
  readonly data: Readonly<Record<string, string | number | null>>;
  readonly to: {
    /** Subjects; each is written to. */
    readonly people?: readonly string[];
    /** `group:<name>` or the name alone: each of its members is written to. */
    readonly group?: string;
    /** Whether the channels that many read get it too. */
    readonly channels?: boolean;
  };
}

/** Longer texts are cut: what is told is a notice, not the record. Characters. */
const LONGEST = 2_000;

const INSERT = `
  insert into notices (id, kind, dedupe, data, people, to_group, channels, at) values ($1, $2, $3, $4, $5, $6, $7, $8)
  on conflict (dedupe) do nothing`;

/** What is to be told, durably in the ledger until it was. */
export class Outbox {
  readonly #clock: Pick<Clock, 'wall'>;

  constructor(clock: Pick<Clock, 'wall'>) {
    this.#clock = clock;
  }

  /**
   * Takes a notice, once per `dedupe`. With the client of a transaction it is told if that is committed, and only then.
   * @throws what `pg` does
   */
  async enqueue(client: Pool | PoolClient, { kind, dedupe, data, to }: Notice): Promise<void> {
    const now = this.#clock.wall();
    const people = [...new Set(to.people ?? [])];
    const group = to.group?.replace(/^group:/, '') ?? null;
    const values = [uuid7(now), kind, dedupe, storable(data), people, group, to.channels ?? false, new Date(now)];
    await client.query(INSERT, values);
  }
}

/** Without handles, whoever wrote them into a reason, and without what JSON in the ledger cannot hold: NUL, and halves of a character. */
function storable(data: Notice['data']): Notice['data'] {
  const clean = (text: string) =>
    withoutHandles(text)
      .slice(0, LONGEST)
      .replace(/[\0\p{Cs}]/gu, '\ufffd');
  return Object.fromEntries(
    Object.entries(data).map(([field, value]) => [field, typeof value === 'string' ? clean(value) : value]),
  );
}
