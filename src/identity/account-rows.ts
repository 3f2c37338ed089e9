import type pg from 'pg';
import type { Actor } from './actor.js';
import { ask, type Row } from './ask.js';
import { PERSON_COLUMNS, type Person, personOf, unknownPerson } from './people.js';
import * as standing from './standing.js';

/** Accounts as one transaction reads, holds and changes them. */

/**
 * An account that nobody else changes until the transaction's end; null for nobody. Links come first, since a login by one locks
 * them in this order.
 */
export async function lockedPerson(client: pg.PoolClient, subject: string): Promise<Person | null> {
  await ask(client, 'select from login_links where principal = $1 and used_at is null for update', [subject]);
  return found(await ask(client, `select ${PERSON_COLUMNS} from people where subject = $1 for update`, [subject]));
}

/** An account that the actor answers for. Whoever may not act on anybody does not learn from it who there is. */
export async function answeredFor(client: pg.PoolClient, actor: Actor, subject: string, now: number): Promise<Person> {
  const person = await lockedPerson(client, subject);
  standing.checkAnswersFor(actor, await selfOf(client, actor), person?.sponsor ?? null, now);
  if (person === null) throw unknownPerson(subject);
  return person;
}

/** As `lockedPerson`. @throws DaypassError `unknown_person` */
export async function lockedOrUnknown(client: pg.PoolClient, subject: string): Promise<Person> {
  const person = await lockedPerson(client, subject);
  if (person === null) throw unknownPerson(subject);
  return person;
}

/** An account that is not closed meanwhile. */
export async function sharedPerson(client: pg.PoolClient, subject: string): Promise<Person | null> {
  return found(await ask(client, `select ${PERSON_COLUMNS} from people where subject = $1 for share`, [subject]));
}

/** The actor's own account; operators act by their duty, and need none. */
export async function selfOf(client: pg.PoolClient, actor: Actor): Promise<Person | null> {
  if (standing.isOperator(actor)) return null;
  return found(await ask(client, `select ${PERSON_COLUMNS} from people where subject = $1`, [actor.subject]));
}

function found([row]: readonly Row[]): Person | null {
  return row === undefined ? null : personOf(row);
}

/** @param set - of the update, its values from `$2` on */
export async function changePerson(
  client: pg.PoolClient,
  set: string,
  subject: string,
  ...values: unknown[]
): Promise<Person> {
  const text = `update people set ${set} where subject = $1 returning ${PERSON_COLUMNS}`;
  const person = found(await ask(client, text, [subject, ...values]));
  if (person === null) throw unknownPerson(subject);
  return person;
}
