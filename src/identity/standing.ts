import { DaypassError } from '../errors.js';
import { checkText } from '../grant/limits.js';
import type { Actor } from './actor.js';
import { isOpen, type Person } from './people.js';

/*
 * Who may do what to accounts, and what an account must have. Pure: values and the time in, nothing or a fault out.
 */

/** How far ahead an account may end, milliseconds: the same day of next year, leap years too. */
const FARTHEST_END = 366 * 86_400_000;
/** As the owner of a service names it, behind `group:`. */
const GROUP = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const MOST_GROUPS = 100;
/** By these names records tell what nobody did: the gateway itself, the directory, an operator who gave no name. */
const NOBODYS: ReadonlySet<string> = new Set(['daypass', 'directory', 'gateway', 'operator']);
/** Somebody at some host: whether it is theirs is for whoever writes there to find out. */
const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,253}$/;

/** Whether somebody runs the gateway: on its socket, or by their group. */
export function isOperator({ duties }: Pick<Actor, 'duties'>): boolean {
  return duties.has('operator');
}

/**
 * @param self - the actor's own account
 * @param sponsor - of the account in question, or who shall be
 * @throws DaypassError `forbidden` unless an operator acts, or the employee who answers for a contractor
 */
export function checkAnswersFor(actor: Actor, self: Person | null, sponsor: string | null, now: number): void {
  if (isOperator(actor)) return;
  const employee = self !== null && self.kind === 'employee' && isOpen(self, now);
  if (employee && sponsor === actor.subject) return;
  throw forbidden('Only an operator, or the employee who is the sponsor, may do this.');
}

/**
 * Whoever has the link of an invitation can use it themselves, and has then what the account is: groups, which are duties, they
 * could not have given.
 * @throws DaypassError `forbidden` when an account is in groups that the actor is not in, unless an operator acts
 */
export function checkNoMoreGroups(actor: Actor, { subject, groups }: Pick<Person, 'subject' | 'groups'>): void {
  const beyond = groups.filter((group) => !actor.groups.includes(group));
  if (isOperator(actor) || beyond.length === 0) return;
  throw forbidden(`${subject} is in groups that you are not in (${beyond.join(', ')}): an operator invites them anew.`);
}

/** @throws DaypassError `forbidden` unless an operator acts */
export function checkOperator(actor: Actor): void {
  if (!isOperator(actor)) throw forbidden('Only an operator may do this.');
}

/** @throws DaypassError `invalid_sponsor` unless it is an employee with an open account, and somebody else */
export function checkSponsor(subject: string, name: string, sponsor: Person | null, now: number): void {
  const why =
    name === subject
      ? 'nobody is their own sponsor'
      : sponsor === null
        ? `there is no person ${JSON.stringify(name)}`
        : sponsor.kind !== 'employee'
          ? `${name} is not an employee`
          : isOpen(sponsor, now)
            ? null
            : `the account of ${name} is closed`;
  if (why === null) return;
  throw new DaypassError('invalid_sponsor', `This cannot be the sponsor: ${why}.`, {
    hint: 'A sponsor is an employee with an open account.',
  });
}

/** @throws DaypassError `invalid_end` for an account's end that is past, or more than a year ahead */
export function checkEnd(endsAt: number, now: number): void {
  if (endsAt > now && endsAt <= now + FARTHEST_END) return;
  const why = endsAt > now ? 'more than a year ahead' : 'in the past';
  throw new DaypassError('invalid_end', `The account cannot end then: it is ${why}.`, {
    hint: 'Choose a time within the next year; an account can be extended later.',
  });
}

/** @throws DaypassError `invalid_request` for what are no names of groups */
export function checkGroups(groups: readonly string[]): void {
  if (groups.length <= MOST_GROUPS && groups.every((group) => GROUP.test(group))) return;
  throw new DaypassError('invalid_request', 'These are not the names of groups.', {
    hint: `At most ${MOST_GROUPS}, each of lower-case letters, digits and . _ -, without "group:".`,
  });
}

/** @throws DaypassError `invalid_request` */
export function checkProfile({ name, email }: { name: string; email: string | null }): void {
  checkText('name', name);
  if (email === null || EMAIL.test(email)) return;
  throw new DaypassError('invalid_request', 'This is not an e-mail address.');
}

/** Whether a name is one that somebody can have. */
export function isNobodys(subject: string): boolean {
  return NOBODYS.has(subject);
}

/** @throws DaypassError `account_closed`: for good, its name is never given again */
export function checkNotClosed(person: Person): void {
  if (person.closedAt === null) return;
  throw new DaypassError('account_closed', `The account of ${person.subject} is closed.`, {
    hint: 'A closed account stays closed: invite them under another name.',
  });
}

/** @throws DaypassError `directory_account` for whom this gateway does not look after */
export function checkLocal(person: Person, what: string): void {
  if (person.source === 'local') return;
  throw new DaypassError('directory_account', `${person.subject} is known by the company's directory: ${what}.`);
}

export function forbidden(message: string): DaypassError {
  return new DaypassError('forbidden', message);
}
