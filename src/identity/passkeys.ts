import type { Log } from '../log.js';
import { ask } from './ask.js';
import { Ceremonies, type Challenge } from './ceremonies.js';
import type { Given, Login, Logins } from './logins.js';
import { faults, MOST_PASSKEYS } from './passkey-faults.js';
import { checkStanding, type Passkey, PasskeyLedger, type PasskeyLedgerParts } from './passkey-ledger.js';
import { isOpen, PERSON_COLUMNS, type Person, personOf } from './people.js';
import { digestOf, isSecret } from './secret.js';
import {
  creationOptions,
  type Place,
  readAssertion,
  requestOptions,
  verifyAssertion,
  verifyCreation,
} from './webauthn.js';

/** How long after a login with a passkey others may be added and removed, milliseconds. */
const FRESH = 5 * 60_000;
/** How long invitations that are over are kept, milliseconds. */
const KEPT = 7 * 86_400_000;

/** What a browser brings to the end of a ceremony. */
export interface Finish {
  /** What it was given at the beginning, in a cookie. */
  readonly browser: string | null;
  /** Its authenticator's answer, as JSON was read. */
  readonly answer: unknown;
  /** The gateway's own origin. */
  readonly origin: string;
}

/** A ceremony that was begun. */
export interface Begun extends Omit<Challenge, 'challenge'> {
  /** For `PublicKeyCredential.parse…OptionsFromJSON`. */
  readonly options: object;
}

/** Whom an invitation is for, as it is shown to whoever has it. */
export interface Invited {
  readonly subject: string;
  readonly name: string;
  readonly by: string;
  /** When the account ends, milliseconds since the epoch. */
  readonly endsAt: number | null;
  /** Until when the invitation may be used. */
  readonly expiresAt: number;
}

export interface PasskeysParts extends PasskeyLedgerParts {
  readonly log: Log;
  readonly logins: Pick<Logins, 'begin'>;
  /** The gateway's domain: passkeys are valid at its own host alone. */
  readonly domain: string;
}

/**
 * How people of this gateway log in: no passwords, a passkey made with an invitation. Every method throws
 * `DaypassError('ledger_unavailable')` when the ledger does not answer.
 */
export class Passkeys {
  readonly #parts: PasskeysParts;
  readonly #ceremonies: Ceremonies;
  readonly #ledger: PasskeyLedger;

  constructor(parts: PasskeysParts) {
    this.#parts = parts;
    this.#ceremonies = new Ceremonies(parts.pool, parts.clock);
    this.#ledger = new PasskeyLedger(parts);
  }

  /** Whom an invitation is for. @throws DaypassError `invitation_over`, `account_over` */
  async invited(secret: string): Promise<Invited> {
    const { pool, clock } = this.#parts;
    const [row] = await ask(
      pool,
      `select p.*, i.by, i.expires_at from invitations i join people p on p.subject = i.subject
       where i.hash = $1 and i.used_at is null and i.expires_at > $2`,
      [hashOf(secret), new Date(clock.wall())],
    );
    if (row === undefined || !(row.expires_at instanceof Date)) throw faults.invitationOver();
    const { subject, name, endsAt } = this.#checkOpen(personOf(row));
    return { subject, name, by: String(row.by), endsAt, expiresAt: row.expires_at.getTime() };
  }

  /** Begins the first passkey of an account. @throws DaypassError `invitation_over`, `account_over` */
  async beginInvited(secret: string): Promise<Begun> {
    const person = await this.invited(secret);
    return this.#beginCreation(person, { kind: 'invitation', invitation: hashOf(secret) });
  }

  /**
   * Takes the first passkey of an account, uses its invitation up, and logs in.
   * @param browser - what `beginInvited` gave the browser
   * @param answer - of the browser's authenticator
   * @param previous - the login's secret that the browser holds
   * @throws DaypassError `invitation_over`, `ceremony_over`, `passkey_refused`, `passkey_known`, `account_over`
   */
  async finishInvited(
    secret: string,
    { browser, answer, origin, previous }: Finish & { readonly previous: string | null },
  ): Promise<Given> {
    const invitation = hashOf(secret);
    const challenge = await this.#ceremonies.take(browser, { kind: 'invitation', invitation });
    const { subject } = await this.invited(secret);
    const made = await verifyCreation(this.#place(origin), challenge, answer);
    const id = await this.#ledger.add(subject, 'the first, by invitation', made, async (client, now) => {
      const text = `update invitations set used_at = $2
        where hash = $1 and subject = $3 and used_at is null and expires_at > $2 returning subject`;
      const used = await ask(client, text, [invitation, new Date(now), subject]);
      if (used.length === 0) throw faults.invitationOver();
    });
    return this.#logIn(subject, id, previous);
  }

  /** Begins a login, of whoever has a passkey. */
  async beginLogin(): Promise<Begun> {
    const { challenge, ...begun } = await this.#ceremonies.begin({ kind: 'login' });
    return { ...begun, options: await requestOptions({ rpId: this.#parts.domain }, challenge) };
  }

  /**
   * Logs a browser in with a passkey.
   * @throws DaypassError `ceremony_over`, `passkey_refused`, `account_over`
   */
  async finishLogin({
    browser,
    answer,
    origin,
    previous,
  }: Finish & { readonly previous: string | null }): Promise<Given> {
    const challenge = await this.#ceremonies.take(browser, { kind: 'login' });
    const assertion = readAssertion(answer);
    const passkey = await this.#ledger.find(Buffer.from(assertion.id, 'base64url'));
    if (passkey === null) throw faults.unknown();
    const { id, subject } = passkey;
    const counter = await verifyAssertion(this.#place(origin), challenge, passkey, assertion);
    await this.#count(id, subject, counter);
    return this.#logIn(subject, id, previous);
  }

  /** Begins one more passkey. @throws DaypassError `login_not_fresh`, `account_over`, `too_many_passkeys` */
  async beginAddition(login: Login): Promise<Begun> {
    await this.#checkFresh(login);
    return this.#beginCreation(await this.#person(login.principal), { kind: 'addition', login: login.hash });
  }

  /** @throws DaypassError `login_not_fresh`, `ceremony_over`, `passkey_refused`, `passkey_known`, `account_over`, `too_many_passkeys` */
  async finishAddition(login: Login, { browser, answer, origin }: Finish): Promise<void> {
    const challenge = await this.#ceremonies.take(browser, { kind: 'addition', login: login.hash });
    await this.#checkFresh(login);
    const made = await verifyCreation(this.#place(origin), challenge, answer);
    await this.#ledger.add(login.principal, 'one more', made, (client, now) => checkStanding(client, login, now));
  }

  /** Somebody's passkeys, the oldest first. */
  list(subject: string): Promise<readonly Passkey[]> {
    return this.#ledger.list(subject);
  }

  /** Whether a login was made with a passkey just now, so that it may add and remove others. */
  async isFresh({ hash, source }: Login): Promise<boolean> {
    if (source !== 'passkey') return false;
    const [row] = await ask(this.#parts.pool, 'select created_at from logins where hash = $1', [hash]);
    return row?.created_at instanceof Date && row.created_at.getTime() + FRESH > this.#parts.clock.wall();
  }

  /** Ends a passkey of one's own. @throws DaypassError `login_not_fresh`, `account_over`, `unknown_passkey`, `last_passkey` */
  async remove(login: Login, id: string): Promise<void> {
    await this.#checkFresh(login);
    await this.#ledger.end(login, id);
  }

  /** Throws away what nobody can use any more. Passkeys stay: a credential is nobody else's later. */
  async sweep(): Promise<void> {
    await this.#ceremonies.sweep();
    const { pool, clock } = this.#parts;
    await ask(pool, 'delete from invitations where expires_at < $1', [new Date(clock.wall() - KEPT)]);
  }

  #place(origin: string): Place {
    return { rpId: this.#parts.domain, origin };
  }

  async #beginCreation(
    person: Pick<Person, 'subject' | 'name'>,
    purpose: Parameters<Ceremonies['begin']>[0],
  ): Promise<Begun> {
    const held = await this.#ledger.credentialsOf(person.subject);
    if (held.length >= MOST_PASSKEYS) throw faults.tooMany();
    const { challenge, ...begun } = await this.#ceremonies.begin(purpose);
    return { ...begun, options: await creationOptions({ rpId: this.#parts.domain }, person, challenge, held) };
  }

  /** A copy is refused and told of; who has the original is for people to find out. */
  async #count(id: string, subject: string, counter: number): Promise<void> {
    if (await this.#ledger.count(id, counter)) return;
    const { log } = this.#parts;
    log.warn({ passkey: id, principal: subject, counter }, 'the counter of a passkey did not go on: it may be a copy');
    throw faults.unknown();
  }

  /** The login of a passkey that is still there once the login is: whatever ends passkeys ends logins in the same transaction. */
  async #logIn(subject: string, id: string, previous: string | null): Promise<Given> {
    const { logins } = this.#parts;
    const given = await logins.begin(subject, { source: 'passkey', previous, by: subject, reason: 'with a passkey' });
    if (given === null) throw faults.accountOver();
    if (!(await this.#ledger.isOpen(id))) throw faults.unknown();
    return given;
  }

  async #person(subject: string): Promise<Person> {
    const [row] = await ask(this.#parts.pool, `select ${PERSON_COLUMNS} from people where subject = $1`, [subject]);
    if (row === undefined) throw faults.accountOver();
    return this.#checkOpen(personOf(row));
  }

  #checkOpen(person: Person): Person {
    if (!isOpen(person, this.#parts.clock.wall())) throw faults.accountOver();
    return person;
  }

  async #checkFresh(login: Login): Promise<void> {
    if (await this.isFresh(login)) return;
    throw faults.notFresh();
  }
}

/** SHA-256 of an invitation's secret. */
function hashOf(secret: string): Buffer {
  if (!isSecret(secret)) throw faults.invitationOver();
  return digestOf(secret);
}
