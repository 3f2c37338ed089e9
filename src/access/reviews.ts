import type { Notices } from '../alerts/notice.js';
import type { Clock } from '../clock.js';
import type { ReviewSettings } from '../config/reviews.js';
import { DaypassError, messageOf } from '../errors.js';
import { type Actor, operatorNamed, owns } from '../identity/actor.js';
import type { Row } from '../identity/ask.js';
import type { Log } from '../log.js';
import { pageOf } from '../recording/page.js';
import { uuid7 } from '../recording/uuid7.js';
import { wordTime } from './period.js';
import { checkImpartial, checkOwner, holdPeople, personActing } from './persons.js';
import type { PolicySource } from './policy.js';
import type { Requests } from './requests.js';
import { type Answer, IN_FORCE, REVIEWS, type Review, type ReviewView, reviewOf } from './review.js';
import { usageOf } from './review-usage.js';
import { readSentence } from './task.js';
import type { Transaction, Transactor } from './transact.js';

export interface ReviewsParts {
  readonly transactor: Transactor;
  readonly policies: PolicySource;
  readonly requests: Pick<Requests, 'revokeWhere'>;
  readonly settings: ReviewSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** Who is told of what is due and what ended; nobody unless given. */
  readonly notices?: Notices | undefined;
}

export interface ReviewFilter {
  /** Also those that were answered. */
  readonly all?: boolean | undefined;
  readonly service?: string | undefined;
  readonly limit: number;
  /** The id of the last one seen. */
  readonly cursor?: string | undefined;
}

export interface ReviewPage {
  /** The newest first. */
  readonly reviews: readonly ReviewView[];
  readonly next: string | null;
}

/** How many are opened or ended in one sweep at most: the next one goes on. */
const MOST = 500;

/**
 * Owners look at access that lasts: a review is opened when it has been in force for some time, and confirmed or ended by
 * somebody of the owner's group, never by its holder, nor confirmed by who answers for them. One that nobody answers in time
 * ends the access. The answer is committed first and the access ended then, again until it has: whatever fails in between, it
 * ends.
 */
export class Reviews {
  readonly #parts: ReviewsParts;

  constructor(parts: ReviewsParts) {
    this.#parts = parts;
  }

  /** Those of the actor's services; of all for reviewers and operators. */
  async list(actor: Actor, { all = false, service, limit, cursor }: ReviewFilter): Promise<ReviewPage> {
    const { transactor, policies } = this.#parts;
    const owned = [...policies.all()].filter(({ owner }) => owns(actor, owner)).map(({ name }) => name);
    const services = actor.duties.size > 0 ? null : owned;
    const values = [all, service ?? null, services, cursor ?? null, limit + 1];
    const reviews = (await transactor.ask(REVIEWS, values)).map(reviewOf);
    const { shown, next } = pageOf(reviews, limit, ({ id }) => id);
    return { reviews: await Promise.all(shown.map((review) => this.#view(review))), next };
  }

  /** The owner, `group:<name>`, of what a review is about. @throws DaypassError `unknown_review` */
  async ownerOf(id: string): Promise<string> {
    const [row] = await this.#parts.transactor.ask('select * from reviews where id = $1', [id]);
    return this.#owner(reviewOrThrow(row));
  }

  /**
   * Answers an open review. What is ended is so at once, or as soon as it can be.
   * @throws DaypassError `unknown_review`, `not_allowed`, `own_request`, `sponsored_by_you`, `already_decided`, `too_late`
   */
  async answer(actor: Actor, id: string, answer: 'confirm' | 'end', comment: string): Promise<ReviewView> {
    const doing = { actor: actor.subject, via: actor.via, act: `review.${answer}`, target: `review:${id}` };
    const said = readSentence('comment', comment);
    const review = await this.#parts.transactor.run({ ...doing, reason: said }, async (tx) => {
      const held = await this.#held(tx, actor, id, answer);
      const value = await this.#answered(tx, held, answer, actor.subject, said);
      return { value, detail: this.#detail(held) };
    });
    return this.#view(answer === 'end' ? await this.#end(review, actor) : review);
  }

  /** Opens what has come to its time, and ends what nobody answered. Several gateways may do it at once. */
  async sweep(): Promise<void> {
    const { transactor, clock } = this.#parts;
    const now = new Date(clock.wall());
    await this.#forget(now);
    const due = await transactor.ask(
      `select id from reviews where answer is null and due_at <= $1 order by due_at limit ${MOST}`,
      [now],
    );
    await this.#each(due, ({ id }) => this.#unanswered(String(id)));
    const unfinished = await transactor.ask(
      `select * from reviews where answer in ('end', 'unanswered') and ended_at is null order by due_at limit ${MOST}`,
      [],
    );
    await this.#each(unfinished, (row) => this.#end(reviewOf(row), operatorNamed('daypass')));
    const { firstSeconds, everySeconds } = this.#parts.settings;
    const before = (seconds: number) => new Date(now.getTime() - seconds * 1000);
    const text = `select * from (${IN_FORCE}) f where since <= $2
      and not exists (select from reviews v where v.subject = f.subject and v.opened_at > $3) limit ${MOST}`;
    const ripe = await transactor.ask(text, [now, before(firstSeconds), before(everySeconds)]);
    await this.#each(ripe, (row) => this.#open(row));
  }

  /** One that fails keeps none of the others. */
  async #each(rows: readonly Row[], work: (row: Row) => Promise<unknown>): Promise<void> {
    for (const row of rows) {
      await work(row).catch((thrown: unknown) => {
        this.#parts.log.warn({ review: row.id ?? row.subject, err: messageOf(thrown) }, 'a review has to wait');
      });
    }
  }

  /** Access that ended meanwhile is nobody's to answer for. */
  #forget(now: Date): Promise<unknown> {
    return this.#parts.transactor.ask(
      `update reviews v set answer = 'over', answered_at = $1, ended_at = $1
       where answer is null and not exists (select from (${IN_FORCE}) f where f.subject = v.subject)`,
      [now],
    );
  }

  async #open(row: Row): Promise<void> {
    const { transactor, clock, settings, notices, policies } = this.#parts;
    const now = clock.wall();
    const [id, dueAt] = [uuid7(now), new Date(now + settings.answerWithinSeconds * 1000)];
    const [service, principal] = [String(row.service), String(row.principal)];
    const owner = policies.get(service)?.owner ?? String(row.owner);
    const reason = `the access of ${principal} has lasted`;
    const doing = { actor: 'daypass', via: 'system', act: 'review.open', target: `review:${id}`, reason } as const;
    await transactor.run<null>(doing, async (tx) => {
      const made = await tx.ask(
        `insert into reviews (id, subject, request_id, grant_id, service, principal, owner, opened_at, due_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing returning id`,
        [id, row.subject, row.request_id, row.grant_id, service, principal, owner, new Date(now), dueAt],
      );
      // Another gateway has opened one.
      if (made.length === 0) return { nothing: null };
      const grant = String(row.grant_id);
      const request = row.request_id === null ? null : String(row.request_id);
      const { granted, used } = await usageOf(tx.ask, policies, { request, grant });
      const use = { granted: granted.length, used: used.length };
      const data = { review: id, service, person: principal, grant, due: dueAt.toISOString(), ...use };
      const to = { group: owner };
      await notices?.enqueue(tx.client, { kind: 'review.due', dedupe: `review.due:${id}`, data, to });
      return { value: null, detail: { service, principal, dueAt: dueAt.toISOString() } };
    });
  }

  async #unanswered(id: string): Promise<void> {
    const { transactor, clock } = this.#parts;
    const reason = 'nobody answered the review of this access in time';
    const doing = { actor: 'daypass', via: 'system', act: 'review.end', target: `review:${id}`, reason } as const;
    await transactor.run<null>(doing, async (tx) => {
      const [row] = await tx.ask(
        'select * from reviews where id = $1 and answer is null and due_at <= $2 for update skip locked',
        [id, new Date(clock.wall())],
      );
      if (row === undefined) return { nothing: null };
      const review = reviewOf(row);
      await this.#answered(tx, review, 'unanswered', 'daypass', reason);
      return { value: null, detail: this.#detail(review) };
    });
  }

  /** @throws DaypassError for whoever may not answer, and for what is answered or due */
  async #held(tx: Transaction, actor: Actor, id: string, answer: 'confirm' | 'end'): Promise<Review> {
    const now = this.#parts.clock.wall();
    const subject = personActing(actor, 'Log in: a review is a person’s, who can be asked about it.');
    const [row] = await tx.ask('select * from reviews where id = $1 for update', [id]);
    const review = reviewOrThrow(row);
    if (review.principal === subject) throw new DaypassError('own_request', 'Nobody reviews their own access.');
    const [granted] = await tx.ask('select sponsor from grants where id = $1', [review.grant]);
    const sponsor = granted === undefined ? null : String(granted.sponsor);
    const persons = await holdPeople(tx, [subject, review.principal, sponsor]);
    checkOwner(persons, subject, this.#owner(review), now);
    // That it ends anybody who owns the service may say.
    if (answer === 'confirm') checkImpartial({ principal: review.principal, sponsor }, persons, subject);
    if (review.answer !== null) throw new DaypassError('already_decided', wordAnswer(review));
    if (review.dueAt > now) return review;
    throw new DaypassError('too_late', `It was to be answered until ${wordTime(review.dueAt)}: the access ends.`);
  }

  async #answered(tx: Transaction, review: Review, answer: Answer, by: string, comment: string): Promise<Review> {
    const [row] = await tx.ask(
      'update reviews set answer = $2, answered_at = $3, answered_by = $4, comment = $5 where id = $1 returning *',
      [review.id, answer, new Date(this.#parts.clock.wall()), by, comment],
    );
    if (answer !== 'confirm') {
      const { id, service, principal, grant } = review;
      const data = { review: id, service, person: principal, grant, answer, by, reason: comment };
      const to = { people: [principal], group: this.#owner(review) };
      await this.#parts.notices?.enqueue(tx.client, { kind: 'review.ended', dedupe: `review.ended:${id}`, data, to });
    }
    return reviewOrThrow(row);
  }

  /** Ends the access of a review that was answered so; what fails is tried again at the next sweep. */
  async #end(review: Review, actor: Actor): Promise<Review> {
    const { requests, transactor, clock, log } = this.#parts;
    const { id, request, grant, answeredBy, comment, answer } = review;
    const which = request === null ? { grant } : { request };
    const why = answer === 'end' ? `${answeredBy} ended it at its review: ${comment}` : (comment ?? '');
    try {
      const { failed } = await requests.revokeWhere(which, actor, why.slice(0, 500));
      if (failed[0] !== undefined) throw new DaypassError(failed[0].code, failed[0].message);
      const text = 'update reviews set ended_at = $2 where id = $1 returning *';
      const [row] = await transactor.ask(text, [id, new Date(clock.wall())]);
      return reviewOrThrow(row);
    } catch (thrown) {
      // What no owner finds open any more has ended: the sweep, which may look everywhere, says so.
      log.warn({ review: id, err: messageOf(thrown) }, 'the access of a review could not be ended yet');
      return review;
    }
  }

  async #view(review: Review): Promise<ReviewView> {
    const { transactor, policies } = this.#parts;
    const usage = await usageOf((...asked) => transactor.ask(asked[0], asked[1] ?? []), policies, review);
    return { ...review, ...usage };
  }

  #detail({ service, principal, request, grant }: Review) {
    return { service, principal, request, grant };
  }

  /** Who answers for a service now; for one that is gone, who did when the review was opened. */
  #owner({ service, owner }: Pick<Review, 'service' | 'owner'>): string {
    return this.#parts.policies.get(service)?.owner ?? owner;
  }
}

function reviewOrThrow(row: Row | undefined): Review {
  if (row === undefined) throw new DaypassError('unknown_review', 'There is no such review.');
  return reviewOf(row);
}

function wordAnswer({ answer, answeredBy }: Review): string {
  return answer === 'over' ? 'The access has ended already.' : `${answeredBy} has answered it: ${answer}.`;
}
