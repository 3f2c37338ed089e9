import type pg from 'pg';
import type { Clock } from '../clock.js';
import { DaypassError, messageOf } from '../errors.js';
import type { KeyRing, SigningKey } from '../grant/keys.js';
import { pageOf } from '../recording/page.js';
import { timed } from '../recording/timed.js';
import { appendAudit } from './append.js';
import type { AuditEntry, AuditFacts, AuditLine } from './entry.js';
import { exportHead, exportLine } from './export.js';
import { factsOf } from './facts.js';
import { type Head, openHead, START, signHead } from './head.js';
import { AuditCheck, type AuditVerified } from './verify.js';

export interface AuditLogParts {
  readonly pool: pg.Pool;
  /** What it is read with, where nobody's acts shall wait for that; `pool` unless given. */
  readonly reading?: pg.Pool;
  readonly key: SigningKey;
  readonly keys: KeyRing;
  readonly clock: Clock;
}

/** Which lines to list. */
export interface AuditFilter {
  readonly actor?: string | undefined;
  /** `grant.issue`, or `grant` for every act on one. */
  readonly act?: string | undefined;
  readonly target?: string | undefined;
  /** Acts done at this time or later, milliseconds since the epoch. */
  readonly since?: number | undefined;
  readonly result?: string | undefined;
}

export interface AuditPage {
  /** The newest first. */
  readonly entries: readonly (AuditFacts & { readonly hash: string })[];
  /** Give it as `cursor` to read on; null at the end. */
  readonly next: number | null;
}

/** Reads, exports and verifies the audit log. Its methods throw `DaypassError('ledger_unavailable')` when it cannot be read. */
export class AuditLog {
  readonly #parts: AuditLogParts;

  constructor(parts: AuditLogParts) {
    this.#parts = parts;
  }

  /** Writes an act of its own transaction down. @see appendAudit */
  append(entry: AuditEntry): Promise<void> {
    return appendAudit(this.#parts.pool, entry);
  }

  async list(filter: AuditFilter, page: { limit: number; cursor?: number | undefined }): Promise<AuditPage> {
    const { actor = null, act = null, target = null, since, result = null } = filter;
    const from = since === undefined ? null : new Date(since);
    const values = [actor, act, target, from, result, page.cursor ?? null, page.limit + 1];
    const rows = await this.#ask(LIST, values);
    const lines = rows.map((row) => listed(lineOf(row), columnsOf(row)));
    const { shown: entries, next } = pageOf(lines, page.limit, ({ seq }) => seq);
    return { entries, next };
  }

  /** Where the log ends now, signed. */
  async head(): Promise<string> {
    return this.#sign(await this.#end());
  }

  /** Every line so far as a line of JSON, and the signed head behind them. @see verifyExport */
  async *lines(): AsyncGenerator<string> {
    const end = await this.#end();
    for await (const row of this.#rows(end.seq)) yield exportLine(lineOf(row));
    yield exportHead(await this.#sign(end));
  }

  /**
   * Holds every line to the chain, and the log to a head that was noted earlier.
   * @param noted - as `head` gave it
   */
  async verify(noted?: string): Promise<AuditVerified> {
    const head = noted === undefined ? null : await openHead(noted, this.#parts.keys);
    const check = new AuditCheck(head === null ? [] : [head]);
    if (noted !== undefined && head === null)
      check.find(0, 'head_forged', 'the noted head is not signed by a key of this gateway');
    for await (const row of this.#rows(Number.MAX_SAFE_INTEGER)) check.line(lineOf(row), columnsOf(row));
    return check.end();
  }

  #sign(head: Head): Promise<string> {
    return signHead(this.#parts.key, head, this.#parts.clock.wall());
  }

  async #end(): Promise<Head> {
    const [row] = await this.#ask(`select ${COLUMNS} from audit order by seq desc limit 1`, []);
    if (row === undefined) return START;
    const { seq, hashAfter: hash } = lineOf(row);
    return { seq, hash };
  }

  async *#rows(last: number): AsyncGenerator<Row> {
    let after = Number.MIN_SAFE_INTEGER;
    for (;;) {
      const rows = await this.#ask(PAGE, [after, last]);
      yield* rows;
      const end = rows[PAGE_LINES - 1];
      if (end === undefined) return;
      after = Number(end.seq);
    }
  }

  async #ask(text: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      const { pool, reading = pool } = this.#parts;
      return (await reading.query<Row>(timed(WITHIN, text, values))).rows;
    } catch (cause) {
      throw new DaypassError('ledger_unavailable', `The audit log cannot be read: ${messageOf(cause)}`, { cause });
    }
  }
}

/** How long one page may take, milliseconds. */
const WITHIN = 10_000;
const PAGE_LINES = 1_000;
const COLUMNS = 'seq, audit_time(at) as at, actor, via, act, target, reason, result, entry, hash_before, hash_after';
const PAGE = `select ${COLUMNS} from audit where seq > $1 and seq <= $2 order by seq limit ${PAGE_LINES}`;
const LIST = `
  select ${COLUMNS} from audit
  where ($1::text is null or actor = $1) and ($2::text is null or act = $2 or split_part(act, '.', 1) = $2)
    and ($3::text is null or target = $3) and ($4::timestamptz is null or at >= $4)
    and ($5::text is null or result = $5) and ($6::bigint is null or seq < $6)
  order by seq desc limit $7`;

interface Row {
  seq: string;
  at: string;
  actor: string;
  via: string;
  act: string;
  target: string;
  reason: string | null;
  result: string;
  entry: string;
  hash_before: Buffer;
  hash_after: Buffer;
}

function lineOf(row: Row): AuditLine {
  return { seq: Number(row.seq), entry: row.entry, hashBefore: row.hash_before, hashAfter: row.hash_after };
}

function columnsOf({ at, actor, via, act, target, reason, result, seq }: Row): AuditFacts {
  return { seq: Number(seq), at, actor, via, act, target, reason, result, detail: null };
}

/** What the entry says; the columns, if it cannot be read: a damaged line is shown, and named by `verify`. */
function listed(line: AuditLine, columns: AuditFacts): AuditFacts & { hash: string } {
  return { ...(factsOf(line.entry) ?? columns), seq: line.seq, hash: line.hashAfter.toString('hex') };
}
