import type pg from 'pg';
import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import { checkPrincipal, checkText } from '../grant/limits.js';
import { answeredFor, changePerson, lockedOrUnknown, lockedPerson, selfOf, sharedPerson } from './account-rows.js';
import type { Actor } from './actor.js';
import { ask } from './ask.js';
import { type Audit, audited, type Done } from './audited.js';
import { type Ended, endAccess, takeInvitationsBack } from './ending.js';
import { isOpen, type Person, unknownPerson } from './people.js';
import { digestOf, newSecret } from './secret.js';
import * as standing from './standing.js';

/** How long an invitation may be used, milliseconds. */
const INVITATION_LASTS = 24 * 3_600_000;

/** Who is invited. For somebody who has an account already everything but `subject` and `reason` stays away. */
export interface Invite {
  readonly subject: string;
  readonly name?: string | undefined;
  readonly kind?: Person['kind'] | undefined;
  readonly email?: string | undefined;
  /** The employee who answers for a contractor. */
  readonly sponsor?: string | undefined;
  /** When the account ends, milliseconds since the epoch; contractors must have such an end. */
  readonly endsAt?: number | undefined;
  /** Without `group:`. */
  readonly groups?: readonly string[] | undefined;
  /** Needed when the account is there already. */
  readonly reason?: string | undefined;
}

/** An invitation that was just made. */
export interface Invitation {
  readonly subject: string;
  /** Goes into the link, behind `#`. */
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Whether the account was there: what it had logged in with has ended. */
  readonly recovery: boolean;
}

export interface AccountsParts {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly audit: Audit;
  /** Called when all logins of a person have ended. */
  readonly loggedOut: (subject: string) => Promise<void>;
}

/**
 * The accounts of people outside the company's directory, and their ends. Every method throws
 * `DaypassError('ledger_unavailable')` when the ledger does not answer; what is refused changes nothing and has its line in the
 * audit log.
 */
export class Accounts {
  readonly #parts: AccountsParts;

  constructor(parts: AccountsParts) {
    this.#parts = parts;
  }

  /**
   * Makes an account and a link for its first passkey. For a local account that is there and open: ends its passkeys, logins
   * and earlier invitations, and makes a new link; there is no other recovery.
   * @throws DaypassError `forbidden`, `invalid_request`, `invalid_sponsor`, `invalid_end`, `account_closed`, `account_over`, `directory_account`, `name_taken`
   */
  async invite(actor: Actor, invite: Invite): Promise<Invitation> {
    const { subject, reason = null } = invite;
    const invitation = await this.#act(actor, 'person.invite', subject, reason, async (client, now) => {
      checkPrincipal(subject);
      const person = await lockedPerson(client, subject);
      const detail = person === null ? await this.#create(client, actor, invite, now) : undefined;
      if (person !== null) await this.#recover(client, actor, person, invite, now);
      const recovery = person !== null;
      const answer = { ...(await invitationFor(client, actor, subject, now)), recovery };
      return { answer, detail: { recovery, ...detail } };
    });
    if (invitation.recovery) await this.#parts.loggedOut(subject);
    return invitation;
  }

  /** Gives a contractor another sponsor. @throws DaypassError `forbidden`, `unknown_person`, `invalid_sponsor`, `account_closed` */
  async reassign(actor: Actor, subject: string, sponsor: string, reason: string): Promise<Person> {
    return this.#act(actor, 'person.reassign', subject, reason, async (client, now) => {
      standing.checkOperator(actor);
      checkText('reason', reason);
      const person = await lockedPerson(client, subject);
      if (person === null) {
        const hint = 'Who has no account is given one with a sponsor: daypass invite.';
        throw unknownPerson(subject, { hint });
      }
      standing.checkNotClosed(person);
      if (person.kind !== 'contractor') throw new DaypassError('invalid_request', 'Only contractors have a sponsor.');
      standing.checkSponsor(subject, sponsor, await sharedPerson(client, sponsor), now);
      const answer = await changePerson(client, 'sponsor = $2', subject, sponsor);
      return { answer, detail: { from: person.sponsor, to: sponsor } };
    });
  }

  /**
   * Moves an account's end further away, also when it has been reached; to end one sooner, `close` it. Milliseconds since the epoch.
   * @throws DaypassError `forbidden`, `unknown_person`, `invalid_end`, `account_closed`, `directory_account`
   */
  async extend(actor: Actor, subject: string, endsAt: number, reason: string): Promise<Person> {
    return this.#act(actor, 'person.extend', subject, reason, async (client, now) => {
      const person = await answeredFor(client, actor, subject, now);
      checkText('reason', reason);
      standing.checkNotClosed(person);
      if (person.kind === 'employee') standing.checkLocal(person, 'it says when their account ends');
      standing.checkEnd(endsAt, now);
      // What was granted or opened until the end that stood is not looked through again.
      if (person.endsAt === null || endsAt < person.endsAt) {
        throw new DaypassError('invalid_end', 'The end of an account can only be moved further away.', {
          hint: 'To end it sooner, close it then.',
        });
      }
      const answer = await changePerson(client, 'ends_at = $2', subject, new Date(endsAt));
      return { answer, detail: { from: new Date(person.endsAt).toISOString(), to: new Date(endsAt).toISOString() } };
    });
  }

  /**
   * Says which groups a local person is in.
   * @throws DaypassError `forbidden`, `unknown_person`, `invalid_request`, `account_closed`, `directory_account`
   */
  async setGroups(actor: Actor, subject: string, groups: readonly string[], reason: string): Promise<Person> {
    return this.#act(actor, 'person.groups', subject, reason, async (client, now) => {
      standing.checkOperator(actor);
      if (actor.via !== 'socket' && actor.subject === subject)
        throw standing.forbidden('Nobody changes the groups they are in themselves.');
      checkText('reason', reason);
      standing.checkGroups(groups);
      const person = await lockedOrUnknown(client, subject);
      standing.checkNotClosed(person);
      standing.checkLocal(person, 'it says which groups they are in');
      const answer = await changePerson(client, 'groups = $2, groups_at = $3', subject, unique(groups), new Date(now));
      return { answer, detail: { from: person.groups, to: answer.groups } };
    });
  }

  /**
   * Closes an account for good: ends its invitations, passkeys, logins and tokens. Once more for a closed one ends what is left.
   * @throws DaypassError `forbidden`, `unknown_person`, `invalid_request`
   */
  async close(actor: Actor, subject: string, reason: string): Promise<Ended> {
    const ended = await this.#act(actor, 'person.close', subject, reason, (client) =>
      this.closeWithin(client, actor, subject, reason),
    );
    await this.#parts.loggedOut(subject);
    return ended;
  }

  /**
   * As `close`, within somebody else's transaction: writing the line of the audit log is theirs, and so is calling `loggedOut`
   * once it is committed.
   */
  async closeWithin(client: pg.PoolClient, actor: Actor, subject: string, reason: string): Promise<Done<Ended>> {
    const now = this.#parts.clock.wall();
    const person = await answeredFor(client, actor, subject, now);
    checkText('reason', reason);
    if (person.closedAt === null) {
      const set = 'closed_at = $2, closed_by = $3, closed_why = $4';
      await changePerson(client, set, subject, new Date(now), actor.subject, reason);
    }
    const answer = await endAccess(client, subject, { by: actor.subject, via: actor.via, reason, at: now });
    return { answer, detail: { ...answer } };
  }

  async #create(client: pg.PoolClient, actor: Actor, invite: Invite, now: number): Promise<Record<string, unknown>> {
    const { subject, name = '', kind, email = null, sponsor = null, endsAt = null, groups = [] } = invite;
    standing.checkAnswersFor(actor, await selfOf(client, actor), kind === 'employee' ? null : sponsor, now);
    if (kind === undefined) throw new DaypassError('invalid_request', 'An account is a contractor’s or an employee’s.');
    if (groups.length > 0) standing.checkOperator(actor);
    standing.checkProfile({ name, email });
    standing.checkGroups(groups);
    await this.#checkTies(client, invite, now);
    if (standing.isNobodys(subject)) throw taken(subject);
    if (!standing.isOperator(actor)) await checkUnused(client, subject);
    const inserted = await ask(
      client,
      `insert into people (subject, kind, source, name, email, groups, groups_at, sponsor, ends_at, created_at, created_by)
       values ($1, $2, 'local', $3, $4, $5, $6, $7, $8, $6, $9) on conflict (subject) do nothing returning subject`,
      [
        ...[subject, kind, name.trim(), email, unique(groups), new Date(now), sponsor],
        ...[endsAt === null ? null : new Date(endsAt), actor.subject],
      ],
    );
    if (inserted.length === 0) throw taken(subject);
    return { kind, sponsor, endsAt: endsAt === null ? null : new Date(endsAt).toISOString(), groups: unique(groups) };
  }

  /** What a contractor must have, and an employee must not. */
  async #checkTies(client: pg.PoolClient, { subject, kind, sponsor, endsAt }: Invite, now: number): Promise<void> {
    if (endsAt !== undefined) standing.checkEnd(endsAt, now);
    if (kind === 'employee') {
      if (sponsor !== undefined) throw new DaypassError('invalid_request', 'Only contractors have a sponsor.');
      return;
    }
    if (endsAt === undefined) throw new DaypassError('invalid_end', 'The account of a contractor must have an end.');
    if (sponsor === undefined) throw new DaypassError('invalid_sponsor', 'A contractor must have a sponsor.');
    standing.checkSponsor(subject, sponsor, await sharedPerson(client, sponsor), now);
  }

  async #recover(client: pg.PoolClient, actor: Actor, person: Person, invite: Invite, now: number): Promise<void> {
    const { subject, reason } = invite;
    standing.checkAnswersFor(actor, await selfOf(client, actor), person.sponsor, now);
    standing.checkNotClosed(person);
    standing.checkLocal(person, 'they log in there');
    standing.checkNoMoreGroups(actor, person);
    if (!isOpen(person, now)) {
      const hint = 'Extend it first (daypass people extend).';
      throw new DaypassError('account_over', `The account of ${subject} has come to its end.`, { hint });
    }
    if (reason === undefined)
      throw new DaypassError('invalid_request', `${subject} has an account: to invite them anew takes a reason.`);
    checkText('reason', reason);
    checkUnchanged(person, invite);
    await endAccess(client, subject, { by: actor.subject, via: actor.via, reason, at: now });
  }

  #act<T>(
    actor: Actor,
    act: string,
    subject: string,
    reason: string | null,
    work: (client: pg.PoolClient, now: number) => Promise<Done<T>>,
  ): Promise<T> {
    const now = this.#parts.clock.wall();
    return audited(this.#parts, { actor, act, target: `person:${subject}`, reason }, (client) => work(client, now));
  }
}

async function invitationFor(client: pg.PoolClient, actor: Actor, subject: string, now: number) {
  const [secret, expiresAt] = [newSecret(), now + INVITATION_LASTS];
  await takeInvitationsBack(client, subject, now);
  await ask(client, 'insert into invitations (hash, subject, created_at, expires_at, by) values ($1, $2, $3, $4, $5)', [
    ...[digestOf(secret), subject, new Date(now), new Date(expiresAt), actor.subject],
  ]);
  return { subject, secret, expiresAt };
}

/** A new invitation changes nothing of an account: what it would change has an act of its own. */
function checkUnchanged(person: Person, invite: Invite): void {
  const { kind, name, email, sponsor, endsAt, groups } = invite;
  const changes =
    (kind ?? person.kind) !== person.kind ||
    (name ?? person.name) !== person.name ||
    (email ?? person.email) !== person.email ||
    (sponsor ?? person.sponsor) !== person.sponsor ||
    (endsAt ?? person.endsAt) !== person.endsAt ||
    (groups ?? []).some((group) => !person.groups.includes(group));
  if (!changes) return;
  throw new DaypassError('invalid_request', `${person.subject} has an account already, and a different one.`, {
    hint: 'Invite them anew with a reason alone; daypass people reassign, extend and groups change an account.',
  });
}

/** Grants and records under a name without an account are somebody's: who is given the name, comes into them. */
async function checkUnused(client: pg.PoolClient, subject: string): Promise<void> {
  const [used] = await ask(
    client,
    `select from grants where principal = $1 union all select from login_acts where principal = $1 limit 1`,
    [subject],
  );
  if (used !== undefined) throw taken(subject);
}

function taken(subject: string): DaypassError {
  return new DaypassError('name_taken', `The name ${subject} is in use.`, {
    hint: 'Choose another; an operator may invite the person whose name it is.',
  });
}

function unique(groups: readonly string[]): string[] {
  return [...new Set(groups)].sort();
}
