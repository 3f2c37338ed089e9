import { DaypassError } from '../errors.js';
import type { Grant } from '../grant/grant.js';
import type { IssueRequest } from '../grant/limits.js';
import type { Actor } from '../identity/actor.js';
import { groupsTold } from './activate.js';
import { checkShortened } from './endings.js';
import { ndaBound, ndaFor } from './nda.js';
import type { RequestsParts } from './parts.js';
import { type Bound, readPeriod } from './period.js';
import {
  accountBound,
  checkCanSponsor,
  checkImpartial,
  holdPeople,
  openPerson,
  type Persons,
  sponsorOf,
} from './persons.js';
import type { Doing, Transaction } from './transact.js';

/** What an operator gives past all requests. */
export type DirectAsked = Pick<
  IssueRequest,
  'principal' | 'service' | 'role' | 'durationSeconds' | 'sponsor' | 'reason'
>;

export interface DirectRenewal {
  readonly durationSeconds: number;
  readonly reason: string;
}

type Parts = Pick<RequestsParts, 'transactor' | 'policies' | 'grants' | 'clock'>;

/**
 * What operators do with grants past all requests. The operator of this machine answers to nobody here, but that a sponsor they name has
 * not left; over the network an operator is somebody with an account, and what they give is held to what holds for everybody's
 * access: the ends of account and NDA, the policy's limits, a sponsor who is there, and never anything for themselves or for
 * whom they answer.
 */
export class DirectGrants {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * @throws DaypassError `own_request`, `sponsored_by_you`, `not_allowed`, `unknown_person`, `account_ended`, `nda_required`,
   * `nda_not_valid`, `duration_exceeds_policy`, and what `GrantAuthority.issue` throws
   */
  async issue(actor: Actor, asked: DirectAsked): Promise<{ readonly grant: Grant; readonly handle: string }> {
    const { grants, transactor } = this.#parts;
    const by = { by: actor.subject, via: actor.via };
    return transactor.holding(doing(actor, 'issue', `person:${asked.principal}`, asked.reason), async (tx) => {
      const judged = actor.via === 'socket' ? this.#attributed(tx, asked) : this.#judged(tx, actor, asked);
      const issued = await grants.issue({ ...(await judged), ...by });
      const failed = { ...by, reason: 'the issue failed' };
      tx.onFailure(() => grants.revoke(issued.grant.id, failed));
      return issued;
    });
  }

  /**
   * Moves a grant's end.
   * @throws DaypassError as `issue` does, `second_approval_needed`, and what `GrantAuthority.renew` throws
   */
  async renew(actor: Actor, id: string, asked: DirectRenewal): Promise<Grant> {
    const { grants, transactor } = this.#parts;
    const renewal = { ...asked, by: actor.subject, via: actor.via };
    if (actor.via === 'socket') return grants.renew(id, renewal);
    return transactor.holding(doing(actor, 'renew', `grant:${id}`, asked.reason), async (tx) => {
      const latestEnd = Math.min(...(await this.#boundsOf(tx, actor, id, asked)).map(({ until }) => until));
      return grants.renew(id, Number.isFinite(latestEnd) ? { ...renewal, latestEnd } : renewal);
    });
  }

  /**
   * An employee of the directory has no account before their first login: a sponsor who is not known may be one. Whoever has no account
   * is in no group.
   */
  async #attributed(tx: Transaction, asked: DirectAsked): Promise<Omit<IssueRequest, 'by'>> {
    const persons = await holdPeople(tx, [asked.principal, asked.sponsor]);
    const sponsor = persons.get(asked.sponsor);
    if (sponsor !== undefined) checkCanSponsor(sponsor, this.#parts.clock.wall());
    const person = persons.get(asked.principal);
    return { ...asked, groups: person === undefined ? [] : groupsTold(person) };
  }

  async #judged(tx: Transaction, actor: Actor, asked: DirectAsked): Promise<Omit<IssueRequest, 'by'>> {
    const { principal, durationSeconds: seconds } = asked;
    const now = this.#parts.clock.wall();
    const persons = await holdPeople(tx, [principal, asked.sponsor, actor.subject]);
    const person = openPerson(persons, principal, now);
    // An employee answers for themselves.
    const own = person.kind === 'employee' && asked.sponsor === principal;
    const sponsor = sponsorOf(persons, person, own ? null : asked.sponsor, now) ?? principal;
    checkOther(actor, { principal, sponsor }, persons);
    const policy = this.#parts.policies.get(asked.service);
    const nda = policy?.access?.ndaRequired === true ? await ndaFor(tx, principal, null, now) : null;
    const bounds = [...accountBound(person), ...(nda === null ? [] : [ndaBound(nda)])];
    const longestSeconds = policy?.grants.maxDurationSeconds ?? Number.MAX_SAFE_INTEGER;
    readPeriod(
      { seconds },
      { service: asked.service, clock: 'start', longestSeconds, maxAheadSeconds: 0, bounds },
      now,
    );
    return { ...asked, sponsor, groups: groupsTold(person), ...(nda === null ? {} : { nda: nda.id }) };
  }

  /** Until when a grant may last at most; of a request's grant as for its holder. */
  async #boundsOf(tx: Transaction, actor: Actor, id: string, asked: DirectRenewal): Promise<readonly Bound[]> {
    const now = this.#parts.clock.wall();
    const { principal, sponsor, service } = await this.#parts.grants.show(id);
    const persons = await holdPeople(tx, [principal, sponsor, actor.subject]);
    const person = openPerson(persons, principal, now);
    checkOther(actor, { principal, sponsor }, persons);
    const [request] = await tx.ask('select nda, seconds, allowed_seconds from access_requests where grant_id = $1', [
      id,
    ]);
    if (request !== undefined) checkShortened(asked.durationSeconds, request);
    const named = typeof request?.nda === 'string' ? request.nda : null;
    const wanted = named !== null || this.#parts.policies.get(service)?.access?.ndaRequired === true;
    const nda = wanted ? await ndaFor(tx, principal, named, now) : null;
    return [...accountBound(person), ...(nda === null ? [] : [ndaBound(nda)])];
  }
}

/** @throws DaypassError `own_request`, `sponsored_by_you`, `not_allowed` */
function checkOther(actor: Actor, about: { principal: string; sponsor: string }, persons: Persons): void {
  if (about.principal === actor.subject)
    throw new DaypassError('own_request', 'Nobody gives access to themselves: ask for it (daypass request).');
  checkImpartial(about, persons, actor.subject);
}

function doing({ subject: actor, via }: Actor, verb: string, target: string, reason: string): Doing {
  return { actor, via, act: `grant.${verb}`, target, reason };
}
