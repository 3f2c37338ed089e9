import { DaypassError } from '../errors.js';
import { type Actor, owns } from '../identity/actor.js';
import { isOpen, PERSON_COLUMNS, type Person, personOf, unknownPerson } from '../identity/people.js';
import type { Bound } from './period.js';
import type { Transaction } from './transact.js';

export type Persons = ReadonlyMap<string, Person>;

/**
 * Reads these people and the sponsors of their accounts, and holds them as they are until the transaction ends: nobody leaves
 * a group, and no account ends, between the judgement and what follows from it. All at once and in one order, so that two
 * transactions cannot wait for each other; what happens for one person happens one after the other.
 */
export async function holdPeople(tx: Transaction, subjects: readonly (string | null)[]): Promise<Persons> {
  const named = subjects.filter((subject) => subject !== null);
  const rows = await tx.ask(
    `select ${PERSON_COLUMNS} from people
     where subject = any($1) or subject in (select sponsor from people where subject = any($1))
     order by subject for no key update`,
    [named],
  );
  return new Map(rows.map(personOf).map((person) => [person.subject, person]));
}

/** Who came over the network; nobody acts for somebody else. @throws DaypassError `not_allowed` */
export function personActing(actor: Actor, hint: string): string {
  if (actor.via !== 'socket') return actor.subject;
  throw new DaypassError('not_allowed', "The operator's socket is nobody's account.", { hint });
}

/** @throws DaypassError `unknown_person`, `account_ended` */
export function openPerson(persons: Persons, subject: string, now: number): Person {
  const person = persons.get(subject);
  if (person === undefined) throw unknownPerson(subject);
  if (isOpen(person, now)) return person;
  const hint = person.kind === 'contractor' ? 'Their sponsor can invite them again.' : undefined;
  throw new DaypassError('account_ended', `The account of ${subject} has ended.`, hint === undefined ? {} : { hint });
}

/**
 * Who answers for this access: for a contractor the account's sponsor or the employee that is named; an employee may name one.
 * @throws DaypassError `unknown_person`, `not_allowed` when the account's own sponsor has left or the named one cannot be it
 */
export function sponsorOf(persons: Persons, person: Person, named: string | null, now: number): string | null {
  checkOwnSponsor(persons, person, now);
  if (named === null) return person.sponsor;
  const sponsor = persons.get(named);
  if (sponsor === undefined) throw unknownPerson(named);
  if (named === person.subject) throw new DaypassError('not_allowed', 'Nobody is their own sponsor.');
  checkCanSponsor(sponsor, now);
  return named;
}

/** @throws DaypassError `not_allowed` for a contractor, and for whoever has left */
export function checkCanSponsor({ subject, kind, ...account }: Person, now: number): void {
  if (kind === 'employee' && isOpen(account, now)) return;
  throw new DaypassError(
    'not_allowed',
    `${subject} cannot be a sponsor: that takes an employee whose account is open.`,
  );
}

/**
 * Who answers for access that was asked for earlier: as then, while they are still here; else the account's sponsor of today.
 * @throws DaypassError `not_allowed` for a contractor whose sponsor has left
 */
export function sponsorNow(persons: Persons, person: Person, then: string | null, now: number): string | null {
  checkOwnSponsor(persons, person, now);
  const before = then === null ? undefined : persons.get(then);
  return before !== undefined && isOpen(before, now) ? before.subject : person.sponsor;
}

/** Those who answer for a contractor, and so decide nothing about them. */
export function answeringFor(request: { readonly sponsor: string | null }, person: Person): readonly string[] {
  if (person.kind !== 'contractor') return [];
  return [request.sponsor, person.sponsor].filter((subject) => subject !== null);
}

/**
 * Whose hand may have made an approver's decision besides their own: whoever answers for a contractor can invite them anew, and
 * log in as them.
 */
export function handsOf(persons: Persons, approver: string): readonly string[] {
  const person = persons.get(approver);
  return person?.kind === 'contractor' && person.sponsor !== null ? [approver, person.sponsor] : [approver];
}

/**
 * That whoever decides about somebody's access is another than them, and than who answers for either.
 * @throws DaypassError `sponsored_by_you`, `not_allowed`
 */
export function checkImpartial(
  about: { readonly principal: string; readonly sponsor: string | null },
  persons: Persons,
  decider: string,
): void {
  const person = persons.get(about.principal);
  const answering = person === undefined ? [] : answeringFor(about, person);
  if (answering.includes(decider))
    throw new DaypassError('sponsored_by_you', `You answer for ${about.principal}: somebody else decides.`);
  const partial = [about.principal, ...answering];
  const hand = handsOf(persons, decider).find((subject) => partial.includes(subject));
  if (hand === undefined) return;
  throw new DaypassError('not_allowed', `${hand} answers for you and may not decide about it: somebody else decides.`);
}

/** A contractor whose sponsor has left waits for another. @throws DaypassError `not_allowed` */
function checkOwnSponsor(persons: Persons, person: Person, now: number): void {
  if (person.kind !== 'contractor') return;
  const own = person.sponsor === null ? undefined : persons.get(person.sponsor);
  if (own !== undefined && isOpen(own, now)) return;
  throw new DaypassError(
    'not_allowed',
    `${person.sponsor ?? 'The sponsor'}, who answers for ${person.subject}, has left.`,
    {
      hint: 'An operator gives the contractor another sponsor (reassign).',
    },
  );
}

/**
 * That the actor is one of the service's owners now, whatever they were when they logged in.
 * @param owner - `group:<name>`
 * @throws DaypassError `not_allowed`, `unknown_person`, `account_ended`
 */
export function checkOwner(persons: Persons, subject: string, owner: string, now: number): void {
  if (owns(openPerson(persons, subject, now), owner)) return;
  throw new DaypassError('not_allowed', `${subject} is not in ${owner}, whose members decide here.`);
}

/** The end of an account, as a bound of what it may have. */
export function accountBound(person: Person): readonly Bound[] {
  if (person.endsAt === null) return [];
  const mend = person.kind === 'contractor' ? 'have the sponsor extend the account' : 'have the account extended';
  return [{ until: person.endsAt, code: 'account_ended', what: `The account of ${person.subject}`, mend }];
}
