import type pg from 'pg';
import { DaypassError } from '../errors.js';
import { ask, type Row } from './ask.js';

/** Someone with an account of their own. Times are milliseconds since the epoch. */
export interface Person {
  /** The principal of their grants. */
  readonly subject: string;
  readonly kind: 'employee' | 'contractor';
  /** Whether the company's directory (OIDC) or this gateway knows them. */
  readonly source: 'directory' | 'local';
  readonly name: string;
  readonly email: string | null;
  /** Without `group:`. */
  readonly groups: readonly string[];
  /** When the directory, or an operator, said last which groups they are in. */
  readonly groupsAt: number | null;
  /** The employee who answers for a contractor. */
  readonly sponsor: string | null;
  /** When the account ends by itself; contractors have such an end. */
  readonly endsAt: number | null;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly closedAt: number | null;
}

export interface PersonFilter {
  readonly sponsor?: string;
  /** Only accounts that are open. */
  readonly open?: boolean;
  /** Subjects after this one. */
  readonly after?: string;
  /** At most so many; 100 unless told. */
  readonly limit?: number;
}

/** What a query must select for `personOf`. */
export const PERSON_COLUMNS =
  'subject, kind, source, name, email, groups, groups_at, sponsor, ends_at, created_at, created_by, closed_at';

/** The accounts of all people. Every method throws `DaypassError('ledger_unavailable')` when the ledger does not answer. */
export class People {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** @returns null for nobody */
  async find(subject: string): Promise<Person | null> {
    const [row] = await ask(this.#pool, `select ${PERSON_COLUMNS} from people where subject = $1`, [subject]);
    return row === undefined ? null : personOf(row);
  }

  /** @throws DaypassError `unknown_person` */
  async get(subject: string): Promise<Person> {
    const person = await this.find(subject);
    if (person === null) throw unknownPerson(subject);
    return person;
  }

  /** By subject, in the order of subjects. */
  async list({ sponsor, open = false, after = '', limit = 100 }: PersonFilter = {}): Promise<readonly Person[]> {
    const rows = await ask(
      this.#pool,
      `select ${PERSON_COLUMNS} from people
       where ($1::text is null or sponsor = $1) and (not $2::boolean or closed_at is null) and subject > $3
       order by subject limit $4`,
      [sponsor ?? null, open, after, limit],
    );
    return rows.map(personOf);
  }
}

export function unknownPerson(subject: string, more: { hint?: string } = {}): DaypassError {
  return new DaypassError('unknown_person', `There is no person ${JSON.stringify(subject)}.`, more);
}

/** Whether somebody may log in and act: an account that is open and has not come to its end. @param now - milliseconds since the epoch */
export function isOpen(person: Pick<Person, 'closedAt' | 'endsAt'>, now: number): boolean {
  return person.closedAt === null && (person.endsAt === null || now < person.endsAt);
}

/** @param row - with `PERSON_COLUMNS` */
export function personOf(row: Row): Person {
  return {
    subject: String(row.subject),
    kind: row.kind === 'employee' ? 'employee' : 'contractor',
    source: row.source === 'directory' ? 'directory' : 'local',
    name: String(row.name),
    email: textOf(row.email),
    groups: Array.isArray(row.groups) ? row.groups.map(String) : [],
    groupsAt: timeOf(row.groups_at),
    sponsor: textOf(row.sponsor),
    endsAt: timeOf(row.ends_at),
    createdAt: timeOf(row.created_at) ?? Number.NaN,
    createdBy: String(row.created_by),
    closedAt: timeOf(row.closed_at),
  };
}

function textOf(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

function timeOf(value: unknown): number | null {
  return value instanceof Date ? value.getTime() : null;
}
