import { timingSafeEqual } from 'node:crypto';
import { DaypassError } from '../errors.js';
import type { Row } from '../identity/ask.js';
import type { Bound } from './period.js';
import type { Transaction } from './transact.js';

/** What somebody signed. Times are milliseconds since the epoch, dates `2026-11-27`. */
export interface Nda {
  readonly id: string;
  /** The person it binds. */
  readonly party: string;
  readonly title: string;
  /** SHA-256 of the text that was signed, hex. */
  readonly textHash: string;
  readonly signedOn: string;
  /** Its last day, UTC. */
  readonly validUntil: string;
  readonly registeredAt: number;
  readonly registeredBy: string;
  /** When it was taken back before its time. */
  readonly endedAt: number | null;
  readonly endedBy: string | null;
}

/** What a query must select for `ndaOf`. */
export const NDA_COLUMNS = `id, party, title, encode(text_hash, 'hex') as text_hash, signed_on::text, valid_until::text,
  registered_at, registered_by, ended_at, ended_by`;
const DAY_MS = 86_400_000;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The NDA that a request stands on: the one it names, else the person's that is valid longest. Held as it is until the
 * transaction ends.
 * @throws DaypassError `unknown_nda`, `nda_required`, `nda_not_valid`
 */
export async function ndaFor(tx: Transaction, party: string, named: string | null, now: number): Promise<Nda> {
  if (named !== null) {
    checkNdaId(named);
    const [nda] = (await tx.ask(`select ${NDA_COLUMNS} from ndas where id = $1 for share`, [named])).map(ndaOf);
    if (nda === undefined || nda.party !== party) throw unknownNda(named);
    checkHolds(nda, now);
    return nda;
  }
  const rows = await tx.ask(
    `select ${NDA_COLUMNS} from ndas where party = $1 and ended_at is null order by valid_until desc, id desc limit 1 for share`,
    [party],
  );
  const [nda] = rows.map(ndaOf);
  if (nda === undefined) {
    throw new DaypassError('nda_required', `This service asks for an NDA, and ${party} has none.`, {
      hint: 'An operator, or an owner of the service, registers the one that was signed (daypass nda register).',
    });
  }
  checkHolds(nda, now);
  return nda;
}

/** The end of an NDA, as a bound of what stands on it. */
export function ndaBound(nda: Nda): Bound {
  const mend = 'have a later NDA registered';
  return { until: endOf(nda), code: 'nda_not_valid', what: `The NDA "${nda.title}"`, mend };
}

/**
 * Records that the terms were read, at first use.
 * @param acknowledged - SHA-256 of the text, hex; undefined when nothing was acknowledged
 * @throws DaypassError `not_acknowledged`
 */
export async function acknowledge(
  tx: Transaction,
  nda: Nda,
  request: string,
  acknowledged: string | undefined,
  now: number,
): Promise<void> {
  const before = await tx.ask('select 1 from nda_acknowledgements where nda = $1 and request_id = $2', [
    nda.id,
    request,
  ]);
  if (before.length > 0 && acknowledged === undefined) return;
  if (acknowledged === undefined || !sameHash(acknowledged, nda.textHash)) {
    const what = acknowledged === undefined ? 'have not been acknowledged' : 'are not those that were acknowledged';
    throw new DaypassError('not_acknowledged', `The terms of "${nda.title}" ${what}.`, {
      hint: `Read them and acknowledge the text with the SHA-256 ${nda.textHash}.`,
    });
  }
  await tx.ask(
    `insert into nda_acknowledgements (nda, request_id, principal, text_hash, at)
     values ($1, $2, $3, decode($4, 'hex'), $5) on conflict do nothing`,
    [nda.id, request, nda.party, nda.textHash, new Date(now)],
  );
}

/** Why an NDA does not hold, `ended on 2026-11-27`; null: it does. */
export function ndaFault(nda: Nda, now: number): string | null {
  if (nda.endedAt !== null) return 'was taken back';
  if (now < startOf(nda)) return `begins only on ${nda.signedOn}`;
  return now < endOf(nda) ? null : `ended on ${nda.validUntil}`;
}

function checkHolds(nda: Nda, now: number): void {
  const fault = ndaFault(nda, now);
  if (fault === null) return;
  throw new DaypassError('nda_not_valid', `The NDA "${nda.title}" ${fault}.`, {
    hint: 'An operator, or an owner of the service, registers a valid one (daypass nda register).',
  });
}

function startOf(nda: Nda): number {
  return Date.parse(`${nda.signedOn}T00:00:00Z`);
}

/** The midnight after its last day. */
function endOf(nda: Nda): number {
  return Date.parse(`${nda.validUntil}T00:00:00Z`) + DAY_MS;
}

function sameHash(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given.toLowerCase()), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** @throws DaypassError `unknown_nda` for what is no id */
export function checkNdaId(id: string): void {
  if (!UUID.test(id)) throw unknownNda(id);
}

export function unknownNda(id: string): DaypassError {
  return new DaypassError('unknown_nda', `There is no NDA ${JSON.stringify(id)} of this person.`);
}

/** @param row - with `NDA_COLUMNS` */
export function ndaOf(row: Row): Nda {
  return {
    ...{ id: String(row.id), party: String(row.party), title: String(row.title), textHash: String(row.text_hash) },
    ...{ signedOn: String(row.signed_on), validUntil: String(row.valid_until) },
    registeredAt: row.registered_at instanceof Date ? row.registered_at.getTime() : Number.NaN,
    registeredBy: String(row.registered_by),
    endedAt: row.ended_at instanceof Date ? row.ended_at.getTime() : null,
    endedBy: row.ended_by === null ? null : String(row.ended_by),
  };
}
