import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import type { Row } from '../identity/ask.js';
import { pageOf } from '../recording/page.js';
import { uuid7 } from '../recording/uuid7.js';
import { checkNdaId, NDA_COLUMNS, type Nda, ndaOf, unknownNda } from './nda.js';
import { servicesOf } from './parts.js';
import { holdPeople, openPerson } from './persons.js';
import type { PolicySource } from './policy.js';
import { readSentence } from './task.js';
import type { Transactor } from './transact.js';

/** What somebody registers. */
export interface NdaRegistered {
  readonly party: string;
  readonly title: string;
  readonly textHash: string;
  readonly signedOn: string;
  readonly validUntil: string;
}

export interface NdaFilter {
  readonly party?: string;
  /** Only those that hold now. */
  readonly valid?: boolean;
  /** Ids before this one: the next page. */
  readonly cursor?: string;
  readonly limit?: number;
}

const DATE = /^\d{4}-\d{2}-\d{2}$/;
const HASH = /^[0-9a-f]{64}$/;
/** The register of NDAs: who is bound by which text, and until when. */
export class Ndas {
  readonly #transactor: Transactor;
  readonly #clock: Clock;
  readonly #policies: PolicySource;
  readonly #ended: (nda: Nda, actor: Actor, reason: string) => Promise<void>;

  /** @param ended - called when one was taken back: what stands on it ends */
  constructor(
    transactor: Transactor,
    clock: Clock,
    policies: PolicySource,
    ended: (nda: Nda, actor: Actor, reason: string) => Promise<void> = async () => {},
  ) {
    this.#transactor = transactor;
    this.#clock = clock;
    this.#policies = policies;
    this.#ended = ended;
  }

  /**
   * By operators, and by owners of a service; these for others than themselves.
   * @throws DaypassError `not_allowed`, `unknown_person`, `account_ended`, `invalid_request`, `ledger_unavailable`
   */
  register(actor: Actor, asked: NdaRegistered): Promise<Nda> {
    const now = this.#clock.wall();
    const id = uuid7(now);
    const doing = { ...who(actor), act: 'nda.register', target: `nda:${id}`, reason: null };
    return this.#transactor.run(doing, async (tx) => {
      checkRegistrar(actor, this.#servicesOf(actor), asked.party);
      const title = readSentence('title', asked.title);
      checkForm(asked);
      openPerson(await holdPeople(tx, [asked.party]), asked.party, now);
      const rows = await tx.ask(
        `insert into ndas (id, party, title, text_hash, signed_on, valid_until, registered_at, registered_by)
         values ($1, $2, $3, decode($4, 'hex'), $5, $6, $7, $8) returning ${NDA_COLUMNS}`,
        [id, asked.party, title, asked.textHash, asked.signedOn, asked.validUntil, new Date(now), actor.subject],
      );
      return { value: only(rows, id), detail: { party: asked.party, textHash: asked.textHash } };
    });
  }

  /**
   * Takes one back before its time. Access that stands on it is revoked, at whichever service: so it is the operators'. Once
   * more revokes what is left.
   * @throws DaypassError `not_allowed`, `unknown_nda`, `invalid_request`, `ledger_unavailable`; why some of it was not revoked
   */
  async end(actor: Actor, id: string, reason: string): Promise<Nda> {
    const now = this.#clock.wall();
    const why = readSentence('reason', reason);
    const nda = await this.#transactor.run(
      { ...who(actor), act: 'nda.end', target: `nda:${id}`, reason: why },
      async (tx) => {
        checkOperator(actor);
        checkNdaId(id);
        const rows = await tx.ask(
          `update ndas set ended_at = coalesce(ended_at, $2), ended_by = coalesce(ended_by, $3) where id = $1 returning ${NDA_COLUMNS}`,
          [id, new Date(now), actor.subject],
        );
        return { value: only(rows, id) };
      },
    );
    await this.#ended(nda, actor, why);
    return nda;
  }

  /**
   * The register for operators and reviewers; owners of a service see those of whoever has asked for it, and those they
   * registered; everybody sees their own, and those of whom they answer for.
   * @throws DaypassError `ledger_unavailable`
   */
  async list(
    actor: Actor,
    { party, valid = false, cursor, limit = 100 }: NdaFilter = {},
  ): Promise<{ ndas: readonly Nda[]; next: string | null }> {
    const mine = actor.duties.size > 0 ? null : actor.subject;
    const most = Math.min(Math.max(1, limit), 500);
    const rows = await this.#transactor.ask(
      `select ${NDA_COLUMNS} from ndas
       where ($1::text is null or party = $1 or party in (select subject from people where sponsor = $1)
           or (cardinality($7::text[]) > 0 and registered_by = $1)
           or party in (select principal from access_requests where service = any($7)))
         and ($2::text is null or party = $2) and ($3::uuid is null or id < $3)
         and (not $4::boolean or (ended_at is null and signed_on <= $5::date and valid_until >= $5::date))
       order by id desc limit $6`,
      [
        ...[mine, party ?? null, cursor ?? null, valid, new Date(this.#clock.wall()).toISOString().slice(0, 10)],
        ...[most + 1, this.#servicesOf(actor)],
      ],
    );
    const { shown, next } = pageOf(rows.map(ndaOf), most, ({ id }) => id);
    return { ndas: shown, next };
  }

  #servicesOf(actor: Actor): readonly string[] {
    return servicesOf({ policies: this.#policies }, actor);
  }
}

function checkOperator(actor: Actor): void {
  if (actor.duties.has('operator')) return;
  throw new DaypassError('not_allowed', 'An NDA is taken back by operators: access to any service may stand on it.');
}

/** @param owned - the services that they are an owner of */
function checkRegistrar(actor: Actor, owned: readonly string[], party: string): void {
  if (actor.duties.has('operator')) return;
  if (owned.length === 0)
    throw new DaypassError('not_allowed', 'The register of NDAs is kept by operators, and by owners of services.');
  if (party === actor.subject) throw new DaypassError('not_allowed', 'Nobody vouches for their own signature.');
}

function checkForm({ textHash, signedOn, validUntil }: NdaRegistered): void {
  if (!HASH.test(textHash)) {
    const hint = 'sha256sum <file> prints it.';
    throw new DaypassError('invalid_request', 'The hash of the text must be a SHA-256 in 64 hexadecimal digits.', {
      hint,
    });
  }
  for (const day of [signedOn, validUntil]) if (!isDate(day)) throw badDate(day);
  if (validUntil < signedOn) {
    throw new DaypassError('invalid_period', `The NDA ends on ${validUntil}, before it was signed on ${signedOn}.`, {
      hint: 'The day it was signed on comes first.',
    });
  }
}

function badDate(text: string): DaypassError {
  return new DaypassError('invalid_request', `${JSON.stringify(text)} is no date.`, { hint: 'Write 2026-11-27.' });
}

function isDate(text: string): boolean {
  const at = DATE.test(text) ? new Date(`${text}T00:00:00Z`) : null;
  return at !== null && !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text);
}

function who({ subject, via }: Actor) {
  return { actor: subject, via };
}

function only(rows: readonly Row[], id: string): Nda {
  const [nda] = rows.map(ndaOf);
  if (nda === undefined) throw unknownNda(id);
  return nda;
}
