import type pg from 'pg';
import { DaypassError } from '../errors.js';
import { commitsWithAllBefore } from '../recording/database.js';
import { ledgerUnavailable } from '../recording/faults.js';
import { timed } from '../recording/timed.js';
import { rolledBack } from '../recording/transaction.js';
import type { Grant } from './grant.js';
import {
  actName,
  actValues,
  GRANT_COLUMNS,
  grantValues,
  INSERT_ACT,
  INSERT_GRANT,
  type Row,
  rowOf,
  time,
} from './ledger-rows.js';
import type { Act, LedgerRow, RecordedAct } from './record.js';
import { within } from './within.js';

/** Which grants to list. */
export interface GrantFilter {
  readonly principal?: string;
  readonly service?: string;
  /** Only those in force (or yet to be): neither revoked nor expired. */
  readonly active?: boolean;
}

/** What the 2 s check asks of a grant. */
export interface LedgerState {
  /** Null when it was not. Milliseconds since the epoch, as all of these. */
  readonly revokedAt: number | null;
  readonly suspended: boolean;
  readonly expiresAt: number;
}

/** What the ledger says of a grant that was revoked. */
export interface LedgerRevoked {
  /** When it would have ended, milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly service: string;
  /** The grant that took its place before; null when none did. */
  readonly successor: string | null;
}

/** A grant as it is to stand from now on, or the one in its place, and the act that made it so. */
export interface Granted {
  readonly grant: Grant;
  readonly act: Act;
}

const LIST_LIMIT = 1_000;
const WRITE_LIMIT_MS = 1_000;
/** How much later than nobody waits for it any more the connection of a query is dropped. */
const DROPPED_AFTER_MS = 500;

/** Grants in Postgres: what was permitted, by whom and why. Every method rejects with `DaypassError('ledger_unavailable')` when it is not answered. */
export class Ledger {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Writes a new grant and the act that made it. */
  async insert(grant: Grant, act: Act): Promise<void> {
    await this.#ask(
      WRITE_LIMIT_MS,
      `with made as (
         ${INSERT_GRANT} returning id, token
       )
       insert into grant_acts (grant_id, act, at, by, reason, token)
       select id, 'issue', $12, $13, $14, token from made where set_config('daypass.via', $15, true) is not null`,
      [...grantValues(grant), new Date(act.at), act.by, act.reason, act.via ?? ''],
    );
  }

  /**
   * Locks the grant's row, lets `decide` judge it, and writes what it answers. Another renewal or a revocation of the
   * same grant waits meanwhile; what `decide` throws leaves everything as it was.
   * @returns what `decide` answered
   * @throws DaypassError `unknown_grant`, `ledger_unavailable`, or what `decide` throws
   */
  renew(id: string, decide: (row: LedgerRow) => Promise<Granted>): Promise<Granted> {
    return this.#locked(id, async (row, ask) => {
      const renewal = await decide(row);
      const { grant, act } = renewal;
      const changed = [id, grant.token, new Date(grant.expiresAt), grant.renewals];
      await ask('update grants set token = $2, expires_at = $3, renewals = $4 where id = $1', changed);
      await ask(INSERT_ACT, actValues(id, 'renew', act, grant.token));
      return renewal;
    });
  }

  /**
   * Revokes a grant and writes another in its place, in one transaction; as `renew`.
   * @returns what `decide` answered
   * @throws DaypassError `unknown_grant`, `ledger_unavailable`, or what `decide` throws
   */
  replace(id: string, decide: (row: LedgerRow) => Promise<Granted>): Promise<Granted> {
    return this.#locked(id, async (row, ask) => {
      const replacement = await decide(row);
      const { grant, act } = replacement;
      await ask('update grants set revoked_at = $2 where id = $1', [id, new Date(act.at)]);
      await ask(INSERT_GRANT, grantValues(grant));
      await ask(INSERT_ACT, actValues(id, 'revoke', { ...act, reason: `replaced by ${grant.id}: ${act.reason}` }));
      await ask(INSERT_ACT, actValues(grant.id, 'replace', act, grant.token));
      return replacement;
    });
  }

  /**
   * Suspends or resumes a grant if `decide` says so while its row is locked; as `renew`.
   * @returns whether anything was to do
   * @throws DaypassError `unknown_grant`, `ledger_unavailable`, or what `decide` throws
   */
  suspension(id: string, name: 'suspend' | 'resume', act: Act, decide: (row: LedgerRow) => boolean): Promise<boolean> {
    return this.#locked(id, async (row, ask) => {
      if (!decide(row)) return false;
      const since = name === 'suspend' ? new Date(act.at) : null;
      await ask('update grants set suspended_at = $2 where id = $1', [id, since]);
      await ask(INSERT_ACT, actValues(id, name, act));
      return true;
    });
  }

  /** Some work while the grant's row is locked, in one transaction: what it throws leaves everything as it was. */
  async #locked<T>(id: string, work: (row: LedgerRow, ask: Ask) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch(unavailable);
    let broken = true;
    try {
      const ask: Ask = (text, values = []) =>
        client.query<Row>(timed(2 * WRITE_LIMIT_MS, text, values)).catch(unavailable);
      await ask('begin');
      await ask(`set local lock_timeout = ${WRITE_LIMIT_MS}`);
      const { rows } = await ask(`select ${GRANT_COLUMNS} from grants where id = $1 for update`, [id]);
      const answer = await work(known(rows.map(rowOf)[0], id), ask);
      await ask('commit');
      broken = false;
      return answer;
    } catch (error) {
      broken = !(await rolledBack(client));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /**
   * Marks a grant revoked; the first revocation's time stays. Waits for a renewal or a replacement under way.
   * @returns null for an unknown grant
   */
  async revoke(id: string, act: Act): Promise<LedgerRevoked | null> {
    const rows = await this.#ask(
      WRITE_LIMIT_MS,
      `with hit as (
         update grants set revoked_at = $2 where id = $1 and revoked_at is null returning id, expires_at
       ), act as (
         insert into grant_acts (grant_id, act, at, by, reason)
         select id, 'revoke', $2, $3, $4 from hit where set_config('daypass.via', $5, true) is not null
       )
       select service, coalesce((select expires_at from hit), expires_at) as expires_at, exists (select from hit) as ended,
         ${commitsWithAllBefore('$1')}
       from grants where id = $1`,
      [id, new Date(act.at), act.by, act.reason, act.via ?? ''],
    );
    const row = rows[0];
    if (row === undefined) return null;
    // Asked anew: what was waited for is not seen by the statement that waited.
    const successor = row.ended === true ? null : await this.#successor(id);
    return { expiresAt: time(row.expires_at), service: String(row.service), successor };
  }

  /** What took the place of a grant. Its own act must say so: anybody may write the words of a reason. */
  async #successor(id: string): Promise<string | null> {
    const rows = await this.#ask(
      WRITE_LIMIT_MS,
      `select later.id from grant_acts r
         join grants later on later.id = substring(r.reason from '^replaced by ([0-9A-Za-z]{22}): ')
         join grant_acts a on a.grant_id = later.id and a.act = 'replace' and a.at = r.at and a.by = r.by
         join grants former on former.id = r.grant_id
           and (former.principal, former.service) = (later.principal, later.service)
       where r.grant_id = $1 and r.act = 'revoke' limit 1`,
      [id],
    );
    return rows[0] === undefined ? null : String(rows[0].id);
  }

  /** @param limit - milliseconds until the answer is given up */
  async get(id: string, limit = WRITE_LIMIT_MS): Promise<LedgerRow | null> {
    const rows = await this.#ask(limit, `select ${GRANT_COLUMNS} from grants where id = $1`, [id]);
    return rows.map(rowOf)[0] ?? null;
  }

  /** The rows of several grants, by id. @param limit - milliseconds until the answer is given up */
  async getAll(ids: readonly string[], limit = WRITE_LIMIT_MS): Promise<ReadonlyMap<string, LedgerRow>> {
    const rows = await this.#ask(limit, `select ${GRANT_COLUMNS} from grants where id = any($1)`, [ids]);
    return new Map(rows.map(rowOf).map((row) => [row.id, row]));
  }

  /** Every act on a grant, the first one first. */
  async acts(id: string): Promise<readonly RecordedAct[]> {
    const rows = await this.#ask(
      WRITE_LIMIT_MS,
      'select act, at, by, reason from grant_acts where grant_id = $1 order by seq',
      [id],
    );
    return rows.map((row) => ({
      act: actName(row.act),
      at: time(row.at),
      by: String(row.by),
      reason: String(row.reason),
    }));
  }

  /**
   * The newest thousand grants that match, the newest first.
   * @param now - milliseconds since the epoch, for `active`
   */
  async list(filter: GrantFilter, now: number): Promise<readonly LedgerRow[]> {
    const rows = await this.#ask(
      10 * WRITE_LIMIT_MS,
      `select ${GRANT_COLUMNS} from grants
       where ($1::text is null or principal = $1) and ($2::text is null or service = $2)
         and (not $3::boolean or (revoked_at is null and expires_at > $4))
       order by issued_at desc, id limit ${LIST_LIMIT}`,
      [filter.principal ?? null, filter.service ?? null, filter.active ?? false, new Date(now)],
    );
    return rows.map(rowOf);
  }

  /** Revocations, suspensions and ends of these grants in one query; an unknown id is missing from the answer. */
  async states(ids: readonly string[]): Promise<ReadonlyMap<string, LedgerState>> {
    const text = 'select id, revoked_at, suspended_at, expires_at from grants where id = any($1)';
    const rows = await this.#ask(WRITE_LIMIT_MS, text, [ids]);
    return new Map(
      rows.map(({ id, revoked_at, suspended_at, expires_at }) => [
        String(id),
        {
          revokedAt: revoked_at === null ? null : time(revoked_at),
          suspended: suspended_at !== null,
          expiresAt: time(expires_at),
        },
      ]),
    );
  }

  /** Every grant that is neither revoked nor expired: what refills the in-process store. */
  async live(now: number): Promise<readonly LedgerRow[]> {
    const text = `select ${GRANT_COLUMNS} from grants where revoked_at is null and expires_at > $1`;
    const rows = await this.#ask(30 * WRITE_LIMIT_MS, text, [new Date(now)]);
    return rows.map(rowOf);
  }

  /**
   * The token that was signed last, by an issue or a renewal, among those neither revoked nor expired; null when there is none.
   * By the order of the acts: grants are issued at whole seconds.
   */
  async newestToken(now: number): Promise<string | null> {
    const text = `select g.token from grants g join grant_acts a on a.grant_id = g.id
      where a.token is not null and g.revoked_at is null and g.expires_at > $1 order by a.seq desc limit 1`;
    const rows = await this.#ask(30 * WRITE_LIMIT_MS, text, [new Date(now)]);
    return rows[0] === undefined ? null : String(rows[0].token);
  }

  async #ask(limit: number, text: string, values: readonly unknown[]): Promise<Row[]> {
    // `pg` does not look whether an answer has come, as `within` does.
    const asked = this.#pool.query<Row>(timed(limit + DROPPED_AFTER_MS, text, values));
    const late = () => new Error(`no answer within ${limit} ms`);
    const { rows } = await within(limit, asked, late).catch(unavailable);
    return rows;
  }
}

type Ask = (text: string, values?: readonly unknown[]) => Promise<pg.QueryResult<Row>>;

function known(row: LedgerRow | undefined, id: string): LedgerRow {
  if (row === undefined) throw new DaypassError('unknown_grant', `There is no grant ${id}.`);
  return row;
}

/** SQLSTATE of the schema's own refusals (migration 012): the account, or the sponsor's, is closed. */
const ACCOUNT_ENDED = 'DP001';

function unavailable(cause: unknown): never {
  if (cause instanceof Error && 'code' in cause && cause.code === ACCOUNT_ENDED)
    throw new DaypassError('account_ended', `No access: ${cause.message}.`, { cause });
  throw ledgerUnavailable(cause);
}
