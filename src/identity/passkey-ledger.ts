import type pg from 'pg';
import type { Clock } from '../clock.js';
import { uuid7 } from '../recording/uuid7.js';
import { ask, type Row } from './ask.js';
import { type Audit, audited } from './audited.js';
import type { Login } from './logins.js';
import { faults, MOST_PASSKEYS } from './passkey-faults.js';
import { isOpen, PERSON_COLUMNS, personOf } from './people.js';
import type { Credential } from './webauthn.js';

/** A passkey as its owner sees it. Times are milliseconds since the epoch. */
export interface Passkey {
  readonly id: string;
  readonly createdAt: number;
  readonly usedAt: number | null;
}

/** A passkey as a login is held against it. */
export interface Owned {
  readonly id: string;
  readonly subject: string;
  /** COSE (RFC 9052). */
  readonly publicKey: Buffer;
}

export interface PasskeyLedgerParts {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly audit: Audit;
}

/** Passkeys as the ledger keeps them. Every method throws `DaypassError('ledger_unavailable')` when it does not answer. */
export class PasskeyLedger {
  readonly #parts: PasskeyLedgerParts;

  constructor(parts: PasskeyLedgerParts) {
    this.#parts = parts;
  }

  /** Somebody's passkeys, the oldest first. */
  async list(subject: string): Promise<readonly Passkey[]> {
    const text = 'select id, created_at, used_at from passkeys where subject = $1 and ended_at is null order by id';
    return (await ask(this.#parts.pool, text, [subject])).map(passkeyOf);
  }

  /** What authenticators call somebody's passkeys. */
  async credentialsOf(subject: string): Promise<readonly Buffer[]> {
    const text = 'select credential from passkeys where subject = $1 and ended_at is null';
    const rows = await ask(this.#parts.pool, text, [subject]);
    return rows.flatMap(({ credential }) => (Buffer.isBuffer(credential) ? [credential] : []));
  }

  /** @returns null for what is nobody's passkey, or was ended */
  async find(credential: Buffer): Promise<Owned | null> {
    const text = 'select id, subject, public_key from passkeys where credential = $1 and ended_at is null';
    const [row] = await ask(this.#parts.pool, text, [credential]);
    if (row === undefined || !Buffer.isBuffer(row.public_key)) return null;
    return { id: String(row.id), subject: String(row.subject), publicKey: row.public_key };
  }

  async isOpen(id: string): Promise<boolean> {
    const rows = await ask(this.#parts.pool, 'select from passkeys where id = $1 and ended_at is null', [id]);
    return rows.length > 0;
  }

  /**
   * Keeps a new passkey, in one transaction with what allows it.
   * @returns its id
   * @throws DaypassError `account_over`, `too_many_passkeys`, `passkey_known`, and what `allowed` throws
   */
  async add(
    subject: string,
    reason: string,
    { credential, publicKey, counter }: Credential,
    allowed: (client: pg.PoolClient, now: number) => Promise<void>,
  ): Promise<string> {
    return this.#act(subject, 'passkey.add', reason, async (client, now) => {
      await allowed(client, now);
      if ((await idsOf(client, subject)).length >= MOST_PASSKEYS) throw faults.tooMany();
      const id = uuid7(now);
      const inserted = await ask(
        client,
        `insert into passkeys (id, credential, subject, public_key, counter, created_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (credential) do nothing returning id`,
        [id, credential, subject, publicKey, counter, new Date(now)],
      );
      if (inserted.length === 0) throw faults.known();
      return id;
    });
  }

  /**
   * Counts one use. Two authenticators with one key would both count on from the same number: what does not go on is a copy
   * (WebAuthn section 6.1.1).
   * @returns whether it went on, of a passkey that is still open
   */
  async count(id: string, counter: number): Promise<boolean> {
    const text = `update passkeys set counter = $2, used_at = $3
      where id = $1 and ended_at is null and (counter < $2 or (counter = 0 and $2 = 0)) returning id`;
    const counted = await ask(this.#parts.pool, text, [id, counter, new Date(this.#parts.clock.wall())]);
    return counted.length > 0;
  }

  /** Ends a passkey by a login of its owner, and their other logins with passkeys: one may be by this. @throws DaypassError `account_over`, `login_not_fresh`, `unknown_passkey`, `last_passkey` */
  async end(login: Login, id: string): Promise<void> {
    const { principal: subject } = login;
    await this.#act(subject, 'passkey.end', null, async (client, now) => {
      await checkStanding(client, login, now);
      const open = await idsOf(client, subject);
      if (!open.includes(id)) throw faults.noSuch();
      if (open.length === 1) throw faults.last();
      await ask(client, 'update passkeys set ended_at = $2 where id = $1', [id, new Date(now)]);
      await ask(client, END_OTHERS, [subject, login.hash, new Date(now)]);
      return id;
    });
  }

  /** An act of somebody on their own passkeys: their account is open, and nobody else changes it meanwhile. */
  #act(
    subject: string,
    act: 'passkey.add' | 'passkey.end',
    reason: string | null,
    work: (client: pg.PoolClient, now: number) => Promise<string>,
  ): Promise<string> {
    const now = this.#parts.clock.wall();
    const entry = { actor: { subject, via: 'browser' }, act, target: `person:${subject}`, reason } as const;
    return audited(this.#parts, entry, async (client) => {
      const [row] = await ask(client, `select ${PERSON_COLUMNS} from people where subject = $1 for update`, [subject]);
      if (row === undefined || !isOpen(personOf(row), now)) throw faults.accountOver();
      const id = await work(client, now);
      return { answer: id, detail: { passkey: id } };
    });
  }
}

const END_OTHERS = `
  with ended as (
    update logins set ended_at = $3
    where principal = $1 and source = 'passkey' and hash <> $2 and ended_at is null and expires_at > $3 returning 1 as one
  )
  insert into login_acts (principal, act, at, by, reason) select $1, 'logout', $3, $1, 'a passkey was removed'
  where exists (select from ended) and set_config('daypass.via', 'browser', true) is not null`;

/** A login that was not ended while the account was waited for. @throws DaypassError `login_not_fresh` */
export async function checkStanding(client: pg.PoolClient, { hash }: Login, now: number): Promise<void> {
  const text = 'select from logins where hash = $1 and ended_at is null and expires_at > $2';
  const standing = await ask(client, text, [hash, new Date(now)]);
  if (standing.length === 0) throw faults.notFresh();
}

async function idsOf(client: pg.PoolClient, subject: string): Promise<readonly string[]> {
  const rows = await ask(client, 'select id from passkeys where subject = $1 and ended_at is null', [subject]);
  return rows.map(({ id }) => String(id));
}

function passkeyOf(row: Row): Passkey {
  const at = (value: unknown) => (value instanceof Date ? value.getTime() : null);
  return { id: String(row.id), createdAt: at(row.created_at) ?? Number.NaN, usedAt: at(row.used_at) };
}
