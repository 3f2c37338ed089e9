import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import { type Actor, actorOf, type Duties } from './actor.js';
import { isOpen, type People } from './people.js';

/** By what somebody who is logged in becomes one who acts. */
export interface ActingParts {
  readonly people: Pick<People, 'find'>;
  readonly duties: Duties;
  readonly clock: Pick<Clock, 'wall'>;
}

/**
 * Somebody who was found logged in, with the groups and duties they have now.
 * @throws DaypassError `no_account`, `account_ended`, `ledger_unavailable`
 */
export async function actingNow(
  { people, duties, clock }: ActingParts,
  subject: string,
  via: 'browser' | 'token',
): Promise<Actor> {
  const person = await people.find(subject);
  if (person === null)
    throw new DaypassError('no_account', `There is no account "${subject}" here.`, {
      hint: 'Log in by the company directory, or ask your sponsor for an invitation.',
    });
  if (!isOpen(person, clock.wall()))
    throw new DaypassError('account_ended', `The account of ${subject} is closed, or has come to its end.`, {
      hint: 'Ask your sponsor.',
    });
  return actorOf(person, duties, via);
}
