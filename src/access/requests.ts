import { DaypassError, messageOf } from '../errors.js';
import type { Grant } from '../grant/grant.js';
import { type Actor, operatorNamed } from '../identity/actor.js';
import { activateRequest } from './activate.js';
import { createRequest, newRequestId } from './create.js';
import { type Decided, decideRequest, lapsed } from './decide.js';
import { giveBackRequest, renewRequest, reviewRequest, revokeRequest, withdrawRequest } from './endings.js';
import { getRequest, listRequests, type RequestFilter, type RequestPage } from './listing.js';
import { type AccessEvent, doingOf, type RequestsParts } from './parts.js';
import { type HeldRequest, type RequestAsked, type RequestDetail, type RequestView, viewOf } from './request.js';
import { type RevokedMany, type RevokeFilter, revokeMany } from './revoke-many.js';
import { holdRequest } from './rows.js';
import { readSentence } from './task.js';
import type { Outcome, Transaction } from './transact.js';

/** How many requests lapse in one sweep at most: the next one goes on. */
const MOST_LAPSES = 500;

/** A request that was activated, with the handle: the only time its secret is seen. */
export interface ActivatedRequest {
  readonly request: RequestView;
  readonly grant: Grant;
  readonly handle: string;
}

/** `queued`: the ledger did not answer; the grant has ended on this gateway and goes to the ledger as soon as it does. */
export type RevokedRequest = RequestView & { readonly ledger: 'written' | 'queued' };

/**
 * Requests for access, from asking to their end. Each act is one transaction: the request's row is locked first, then the
 * people it is judged by, and the audit log is written last. Whatever is refused changes nothing and is audited. Every method
 * throws `DaypassError('ledger_unavailable')` when the ledger does not answer. Never call one while holding a row of `people`
 * or `access_requests` in another transaction.
 */
export class Requests {
  readonly #parts: RequestsParts;

  constructor(parts: RequestsParts) {
    this.#parts = parts;
  }

  /** Asks for access for the actor themselves. One that needs no approval is approved at once. @see createRequest */
  async create(actor: Actor, asked: RequestAsked): Promise<RequestView> {
    const now = this.#now();
    const id = newRequestId(now);
    const reason = shortened(asked.task);
    const doing = doingOf(actor, 'create', id, reason);
    const view = await this.#parts.transactor.run(doing, (tx) => createRequest(tx, this.#parts, actor, asked, id, now));
    return this.#told(doing.act, actor.subject, reason, view);
  }

  /** Takes it back before it was activated. @see withdrawRequest */
  withdraw(actor: Actor, id: string, reason: string): Promise<RequestView> {
    return this.#act(actor, 'withdraw', id, reason, (tx, why) => withdrawRequest(tx, actor, id, why, this.#now()));
  }

  /** Approves or refuses. @see decideRequest */
  decide(actor: Actor, id: string, decided: Decided): Promise<RequestView> {
    const { outcome, comment } = decided;
    return this.#act(actor, outcome, id, comment, (tx, why) =>
      decideRequest(tx, this.#parts, actor, id, { ...decided, comment: why }, this.#now()),
    );
  }

  /** Makes the grant. The handle is the requester's alone, and shown this once. @see activateRequest */
  async activate(
    actor: Actor,
    id: string,
    { acknowledge }: { readonly acknowledge?: string | undefined } = {},
  ): Promise<ActivatedRequest> {
    const doing = doingOf(actor, 'activate', id, null);
    const { request, ...issued } = await this.#parts.transactor.run(doing, (tx) =>
      activateRequest(tx, this.#parts, actor, id, acknowledge, this.#now()),
    );
    return { request: this.#told(doing.act, actor.subject, request.task, request), ...issued };
  }

  /** Moves the grant's end, by its holder. @see renewRequest */
  renew(
    actor: Actor,
    id: string,
    { seconds, reason }: { readonly seconds: number; readonly reason: string },
  ): Promise<RequestView> {
    return this.#act(actor, 'renew', id, reason, (tx, why) =>
      renewRequest(tx, this.#parts, actor, id, { seconds, reason: why }, this.#now()),
    );
  }

  /** Ends the grant early, by its holder. @see giveBackRequest */
  giveBack(actor: Actor, id: string, reason: string): Promise<RequestView> {
    return this.#act(actor, 'return', id, reason, (tx, why) =>
      giveBackRequest(tx, this.#parts, actor, id, why, this.#now()),
    );
  }

  /**
   * Ends a request and its grant for good, by the owner's group or an operator.
   * @throws DaypassError `not_allowed`, `already_decided`, `announce_failed` (it is revoked), `queue_failed`, `ledger_unavailable`
   */
  async revoke(actor: Actor, id: string, reason: string): Promise<RevokedRequest> {
    const now = this.#now();
    let queued: HeldRequest | undefined;
    const revoked = (request: HeldRequest, { ledger }: { ledger: string }) => {
      if (ledger === 'queued') queued = request;
    };
    try {
      const view = await this.#act(actor, 'revoke', id, reason, (tx, why) =>
        revokeRequest(tx, this.#parts, actor, id, why, now, revoked),
      );
      return { ...view, ledger: queued === undefined ? 'written' : 'queued' };
    } catch (thrown) {
      if (queued !== undefined) return { ...viewOf({ ...queued, state: 'revoked', overAt: now }), ledger: 'queued' };
      throw withoutLedger(thrown);
    }
  }

  /** Ends every request and grant of a person, a service, a request, a grant or an NDA. @see revokeMany */
  revokeWhere(filter: RevokeFilter, actor: Actor, reason: string): Promise<RevokedMany> {
    const each = (id: string) => this.revoke(actor, id, reason);
    return revokeMany(this.#parts, filter, actor, readSentence('reason', reason), each);
  }

  /** An owner's look at break-glass access afterwards. @see reviewRequest */
  review(actor: Actor, id: string, { comment }: { readonly comment: string }): Promise<RequestView> {
    return this.#act(actor, 'review', id, comment, (tx, why) =>
      reviewRequest(tx, this.#parts, actor, id, why, this.#now()),
    );
  }

  /** @throws DaypassError `unknown_request`, also for one that the actor may not see */
  get(actor: Actor, id: string): Promise<RequestDetail> {
    return getRequest((...asked) => this.#parts.transactor.ask(...asked), this.#parts, actor, id, this.#now());
  }

  /** The newest first. */
  list(actor: Actor, filter: RequestFilter = {}): Promise<RequestPage> {
    return listRequests((...asked) => this.#parts.transactor.ask(...asked), this.#parts, actor, filter, this.#now());
  }

  /**
   * Lapses what nobody decided in time. Several gateways may do it at once.
   * @returns how many
   */
  async sweep(): Promise<number> {
    const now = this.#now();
    const rows = await this.#parts.transactor.ask(
      `select id from access_requests where state = 'pending' and decide_by <= $1 order by decide_by limit ${MOST_LAPSES}`,
      [new Date(now)],
    );
    let count = 0;
    for (const { id } of rows) if (await this.#lapse(String(id), now)) count += 1;
    return count;
  }

  async #lapse(id: string, now: number): Promise<boolean> {
    const reason = 'nobody decided in time';
    const doing = { ...doingOf(operatorNamed('daypass'), 'lapse', id, reason), via: 'system' as const };
    const view = await this.#parts.transactor.run<HeldRequest | null>(doing, async (tx) => {
      const request = await holdRequest(tx, id, now);
      if (request.stored !== 'pending' || request.state !== 'lapsed') return { nothing: null };
      return { value: await lapsed(tx, request, now) };
    });
    if (view !== null) this.#told(doing.act, doing.actor, reason, view);
    return view !== null;
  }

  async #act(
    actor: Actor,
    verb: string,
    id: string,
    reason: string,
    work: (tx: Transaction, reason: string) => Promise<Outcome<HeldRequest>>,
  ): Promise<RequestView> {
    const doing = doingOf(actor, verb, shortened(id), shortened(reason));
    const read = async (tx: Transaction) => work(tx, readSentence(verb === 'revoke' ? 'reason' : 'text', reason));
    return this.#told(doing.act, actor.subject, doing.reason ?? '', await this.#parts.transactor.run(doing, read));
  }

  #told(act: string, by: string, reason: string, held: HeldRequest): RequestView {
    const request = viewOf(held);
    const event: AccessEvent = { act, request, by, reason };
    const failed = (error: unknown) =>
      this.#parts.log.warn({ act, request: request.id, error: messageOf(error) }, 'somebody could not be told');
    try {
      void Promise.resolve(this.#parts.told(event)).catch(failed);
    } catch (error) {
      failed(error);
    }
    return request;
  }

  #now(): number {
    return this.#parts.clock.wall();
  }
}

/** What the audit log is told of a text before it was judged. */
function shortened(text: string): string {
  try {
    return readSentence('text', text.slice(0, 500));
  } catch {
    return '[not a sentence]';
  }
}

function withoutLedger(thrown: unknown): unknown {
  if (!(thrown instanceof DaypassError) || thrown.code !== 'ledger_unavailable') return thrown;
  const hint =
    'Without the ledger nobody can tell its grant: end that itself (daypass grant revoke <grant>), or every session of it.';
  return new DaypassError(thrown.code, thrown.message, { cause: thrown, hint });
}
