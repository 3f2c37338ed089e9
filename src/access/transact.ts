import type pg from 'pg';
import type { Clock } from '../clock.js';
import { DaypassError, messageOf } from '../errors.js';
import { STORE_OUTAGES } from '../grant/store.js';
import type { Row } from '../identity/ask.js';
import type { Log } from '../log.js';
import { ledgerUnavailable } from '../recording/faults.js';
import { timed } from '../recording/timed.js';
import { rolledBack } from '../recording/transaction.js';

/** An act for the audit log, in the words of `audit/entry.ts`. */
export interface AuditedAct {
  readonly actor: string;
  readonly via: 'socket' | 'browser' | 'token' | 'system';
  readonly act: string;
  readonly target: string;
  readonly reason: string | null;
  readonly result: 'done' | 'refused' | 'failed';
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** Appends to the audit log inside the caller's transaction. */
export type Audit = (client: pg.PoolClient, entry: AuditedAct) => Promise<void>;

/** What is being done, and by whom. */
export type Doing = Pick<AuditedAct, 'actor' | 'via' | 'act' | 'target' | 'reason'>;

/** A transaction under way. */
export interface Transaction {
  readonly client: pg.PoolClient;
  ask(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** What takes back a thing that was done elsewhere, should this transaction fail before its commit is sent. */
  onFailure(undo: () => Promise<unknown>): void;
}

/**
 * What a transaction comes to. `refused` and `but` commit what was changed and are thrown afterwards: the act was refused,
 * or it was done and something remains to be said. `nothing` was done: it is not audited either.
 */
export type Outcome<T> =
  | { readonly value: T; readonly detail?: Readonly<Record<string, unknown>>; readonly but?: DaypassError | undefined }
  | { readonly refused: DaypassError }
  | { readonly nothing: T };

type Told = Doing & { readonly result?: AuditedAct['result']; readonly code?: string };

/** Not the asker's doing. */
const FAILURES = new Set<string>([
  'ledger_unavailable',
  'audit_unavailable',
  ...STORE_OUTAGES,
  'clock_differs',
  'announce_failed',
  'queue_failed',
]);

/** How long a transaction waits for a row that another holds, milliseconds. */
const LOCK_WAIT = 5_000;
/** How long the ledger may take for one statement, milliseconds. */
const WITHIN = 8_000;

export interface TransactorParts {
  /** Not the pool of the grants: a transaction waits for grants while it holds a connection. */
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly audit: Audit;
}

/** Transactions that are audited: done ones as their last statement, refused ones in a transaction of their own. */
export class Transactor {
  readonly #parts: TransactorParts;

  constructor(parts: TransactorParts) {
    this.#parts = parts;
  }

  /** @throws DaypassError `ledger_unavailable`, or what `work` throws or refuses; what it throws leaves everything as it was */
  async run<T>(doing: Doing, work: (transaction: Transaction) => Promise<Outcome<T>>): Promise<T> {
    const outcome = await this.#committed(doing, work).catch(async (thrown: unknown) => {
      await this.#tell(doing, thrown);
      throw thrown;
    });
    return answerOf(outcome);
  }

  /** As `run`, for what is written down elsewhere: people are held as they are meanwhile, and nothing is audited here. */
  async holding<T>(doing: Doing, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return answerOf(await this.#committed<T>(doing, async (tx) => ({ nothing: await work(tx) })));
  }

  /** One question outside of any transaction. */
  async ask(text: string, values: readonly unknown[]): Promise<readonly Row[]> {
    const { rows } = await this.#parts.pool.query<Row>(timed(WITHIN, text, values)).catch(unavailable);
    return rows;
  }

  async #committed<T>(doing: Told, work: (transaction: Transaction) => Promise<Outcome<T>>): Promise<Outcome<T>> {
    const client = await this.#parts.pool.connect().catch(unavailable);
    const undo: (() => Promise<unknown>)[] = [];
    const ask = (text: string, values: readonly unknown[] = []) =>
      client.query<Row>(timed(WITHIN, text, values)).then(({ rows }) => rows, unavailable);
    let broken = true;
    let sent = false;
    try {
      await ask('begin');
      await ask(`set local lock_timeout = ${LOCK_WAIT}`);
      const outcome = await work({ client, ask, onFailure: (step) => undo.push(step) });
      if (!('nothing' in outcome)) await this.#parts.audit(client, entryOf(doing, outcome));
      sent = true;
      await ask('commit');
      broken = false;
      return outcome;
    } catch (thrown) {
      broken = !(await rolledBack(client));
      // Whether a commit that was sent came about is not known: then what it stands on stays.
      if (!sent) for (const step of undo) await this.#undone(doing, step);
      throw thrown;
    } finally {
      client.release(broken);
    }
  }

  async #undone({ target }: Doing, step: () => Promise<unknown>): Promise<void> {
    await step().catch((error: unknown) => {
      this.#parts.log.error(
        { target, error: messageOf(error) },
        'what a failed transaction had begun could not be undone',
      );
    });
  }

  async #tell(doing: Doing, thrown: unknown): Promise<void> {
    const code = thrown instanceof DaypassError ? thrown.code : 'internal';
    const result = thrown instanceof DaypassError && !FAILURES.has(code) ? 'refused' : 'failed';
    // A ledger that does not answer cannot be told either.
    if (code === 'ledger_unavailable' || code === 'audit_unavailable') return;
    const work = async () => ({ value: null });
    const told: Told = { ...doing, result, code };
    await this.#committed(told, work).catch((error: unknown) => {
      this.#parts.log.warn({ ...doing, code, error: messageOf(error) }, 'a refused act could not be audited');
    });
  }
}

function answerOf<T>(outcome: Outcome<T>): T {
  if ('refused' in outcome) throw outcome.refused;
  if ('nothing' in outcome) return outcome.nothing;
  if (outcome.but !== undefined) throw outcome.but;
  return outcome.value;
}

function entryOf(
  { actor, via, act, target, reason, result = 'done', code }: Told,
  outcome: Exclude<Outcome<unknown>, { nothing: unknown }>,
): AuditedAct {
  const known = { actor, via, act, target, reason };
  if ('refused' in outcome) return { ...known, result: 'refused', detail: { code: outcome.refused.code } };
  const why = code ?? outcome.but?.code;
  const detail = { ...outcome.detail, ...(why === undefined ? {} : { code: why }) };
  return { ...known, result, detail };
}

function unavailable(cause: unknown): never {
  throw ledgerUnavailable(cause);
}
