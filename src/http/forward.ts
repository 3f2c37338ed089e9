import type { Socket } from 'node:net';
import { messageOf } from '../errors.js';
import type { Admission } from '../gate/admission.js';
import type { Passage } from '../gate/passage.js';
import type { Log } from '../log.js';
import type { Decision, Obligations } from '../policy/decision.js';
import type { UpstreamFailure } from '../service-meter.js';
import type { Connection, Cut } from '../session/connection.js';
import type { Session } from '../session/session.js';
import type { SightedStream } from '../session/sightings.js';
import type { HttpAction, RequestAction } from './action.js';
import { BodyTooLarge, RequestBody } from './body/body.js';
import { MethodRefused, type Overrides } from './body/overrides.js';
import { BodyTap } from './body/tap.js';
import { askAgain } from './browser/again.js';
import type { ClientRequest, RequestOwner } from './client/request.js';
import type { ClientResponse, ResponseOwner } from './client/response.js';
import { DigestLost } from './hashing/digest.js';
import { LONG, LONG_LATER } from './hashing/lane.js';
import { copied } from './memory/reading.js';
import { PackedSightings } from './packed/sighted.js';
import { BODY_SAMPLE } from './record/describe.js';
import { resultOf } from './record/result.js';
import { type Refusal, refusalOf, refusalOfCut, sendRefusal } from './refusals/deny.js';
import { bodyTooLarge, bodyUnrecorded, failureStatus, noEventStream, serviceFailed } from './refusals/failures.js';
import { type Faults, serviceFault } from './refusals/faults.js';
import { settingsOf } from './rules/decide.js';
import { mayFollow, type ResponseHead } from './service/response-head.js';
import type { Upstreams } from './service/upstream.js';
import { type AnswerHandler, UpstreamTimeout } from './service/upstream-connection.js';
import type { Sent } from './service/upstream-pool.js';
import type { Forward } from './service/upstream-request.js';

/** What an exchange is made of. */
export interface ExchangeParts {
  readonly req: ClientRequest;
  readonly res: ClientResponse;
  readonly admission: Admission;
  readonly passage: Passage<HttpAction>;
  readonly action: RequestAction;
  /** The sequence number of the recorded action. */
  readonly seq: number;
  /** What allowed it, and what that asks for on the way. */
  readonly rule: string;
  readonly obligations: Obligations;
  /** Hears what its body asks for besides; null where none would. */
  readonly overrides: Overrides | null;
  readonly forward: Omit<Forward, 'body'>;
  /** When the request's head was read, on the monotonic clock. */
  readonly arrivedAt: number;
  readonly upstreams: Upstreams;
  readonly monotonic: () => number;
  readonly log: Log;
  readonly faults: Faults;
}

/** `Daypass-Expires` and its instant, as a line. */
const EXPIRES_BYTES = 'Daypass-Expires: 2026-01-01T00:00:00.000Z\r\n'.length;
/** Bodies up to this size leave in one piece with their head, bytes. */
const SMALL = 8 * 1024;

/**
 * One allowed request and its response: forwarded once its record is safe, streamed both ways at the slower side's pace, cut
 * with its session. A response that was begun and cannot be finished ends in a broken transfer, never in a clean end.
 */
export class Exchange implements Connection, AnswerHandler, RequestOwner, ResponseOwner {
  readonly client: Socket;
  readonly isBounded = true;
  readonly #parts: ExchangeParts;
  readonly #session: Session;
  #detach: () => void = () => {};
  #body: RequestBody | null = null;
  #sent: Sent | null = null;
  #forwardedAt: number | null = null;
  #answeredAt: number | null = null;
  #head: ResponseHead | null = null;
  /** What allows it at the moment. */
  #rule: string;
  /** What the policy in force asks for, and every one before it since this was allowed. */
  #maxBody: number;
  #eventStream: boolean;
  readonly #answer: BodyTap;
  #sighted: SightedStream | PackedSightings;
  /** How long the head of the response is, while it is not given. */
  #headBytes = 0;
  /** The exchange is over: nothing of the upstream is passed on any more. */
  #done = false;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
    this.#session = parts.passage.session;
    this.#rule = parts.rule;
    this.#maxBody = parts.obligations.maxBody ?? Number.POSITIVE_INFINITY;
    this.#eventStream = parts.obligations.eventStream === true;
    this.client = parts.req.socket;
    this.#sighted = this.#session.sightings.stream();
    this.#answer = new BodyTap(settingsOf(this.#session.role).bodies ?? 0, null, this.#long);
    // Itself, not a function: V8 takes one that is assigned to a property for long-lived, and all that it knows with it (ADR 0051).
    parts.req.owner = this;
    parts.res.owner = this;
    this.#detach = this.#session.attach(this);
  }

  /** A strict record is written with the next request: by then another thread has hardly begun. */
  get #long(): number {
    return this.#session.recording.row.mode === 'strict' ? LONG : LONG_LATER;
  }

  /** Forwards the request. To be called through `Passage.release` only. */
  start(): void {
    const { req, res, admission, upstreams, forward } = this.#parts;
    if (this.#done) return;
    this.#forwardedAt = this.#parts.monotonic();
    if (req.head.expectation === 'continue') res.writeContinue();
    if (req.hasBody) {
      const tap = new BodyTap(settingsOf(this.#session.role).bodies ?? BODY_SAMPLE, req.length, this.#long);
      this.#body = new RequestBody(req, this.#session, tap, this.#maxBody, this.#parts.overrides);
    }
    const { method, path, addressed, lines } = forward;
    this.#sent = upstreams.dispatch(admission, { method, path, addressed, lines, body: this.#body }, this);
  }

  onStart(): boolean {
    return !this.#done && this.#session.isLive();
  }

  onHead(head: ResponseHead): void {
    if (this.#done || !this.#session.isLive()) return;
    const { res, forward, monotonic } = this.#parts;
    this.#head = head;
    this.#answeredAt = monotonic();
    this.#answer.expected = typeof head.framing === 'number' ? head.framing : null;
    if (this.#eventStream && !mayFollow(head)) return this.#noEventStream();
    const { lines } = head.passedOn(forward.addressed);
    this.#session.sightings.text(lines);
    if (head.coding !== null) this.#sighted = new PackedSightings(this.#session, head.coding);
    res.begin({
      status: head.status,
      lines: head.expiring(forward.addressed, this.#session.expires),
      hasLength: typeof head.framing === 'number',
      hasDate: head.hasDate,
    });
    this.#headBytes = lines.length + EXPIRES_BYTES;
  }

  /** The head goes out with the first bytes of the body if they are here already, and alone if not (event streams). */
  onPause(): void {
    if (this.#done || this.#headBytes === 0) return;
    this.#give(0, () => {
      this.#parts.res.flush();
      return true;
    });
  }

  /** Gives the client what came of the service; the head goes with the first of it. */
  #give(bytes: number, write: () => boolean): boolean {
    const head = this.#headBytes;
    this.#headBytes = 0;
    return this.#session.toClients.give(head + bytes, write);
  }

  onBody(bytes: Buffer, isLast: boolean): boolean {
    if (this.#done) return true;
    this.#sighted.push(bytes);
    if (isLast) {
      this.#endWith(bytes);
      return true;
    }
    const kept = this.#sent?.keep(bytes);
    if (kept === undefined) return false; // nothing was asked of the service yet
    this.#answer.push(kept);
    return this.#give(bytes.byteLength, () => this.#parts.res.write(kept)) || this.#done;
  }

  drained(): void {
    this.#sent?.resume();
  }

  closed(isWhole: boolean): void {
    if (!isWhole) this.#stop('client_left');
    this.#detach();
  }

  /** The end of a response, in one go with what is left of it. */
  #endWith(bytes: Buffer): void {
    const { req, res } = this.#parts;
    const kept = bytes.byteLength > SMALL ? (this.#sent?.keep(bytes) ?? copied(bytes)) : null;
    this.#answer.whole(bytes, kept);
    let isGiven = false;
    this.#give(bytes.byteLength, () => {
      isGiven = true;
      this.#finish(null);
      if (kept !== null) res.write(kept);
      res.end(kept === null ? bytes.toString('latin1') : '');
      return true;
    });
    if (!isGiven) kept?.release();
    req.drop();
  }

  #noEventStream(): void {
    this.#serviceFailed('no event stream', 'protocol', 502);
    this.#stop('upstream_unavailable');
    this.#refuse(noEventStream(this.#session.id));
  }

  /** Ends the exchange where it is neither the service's fault nor the client's wish; what was passed on stands in the record. */
  #end(refusal: Refusal): void {
    this.#finish(refusal.reason);
    this.#tell(refusal.status, refusal.reason, this.#rule);
    this.#refuse(refusal);
  }

  /** What passes cannot be recorded: no more of it does. */
  #unrecorded({ message }: DigestLost): void {
    this.#parts.log.error({ session: this.#session.id, err: message }, 'a body cannot be recorded; its exchange ends');
    this.#end(bodyUnrecorded(this.#session.id));
  }

  onError(error: Error): void {
    if (this.#done) return;
    if (error instanceof BodyTooLarge) return this.#end(bodyTooLarge(error, this.#session.id));
    if (error instanceof DigestLost) return this.#unrecorded(error);
    if (error instanceof MethodRefused) return this.#methodRefused(error);
    const isTimeout = error instanceof UpstreamTimeout;
    this.#serviceFailed(messageOf(error), isTimeout ? 'timeout' : 'broken', failureStatus(isTimeout));
    this.#finish('upstream_unavailable');
    this.#refuse(serviceFailed(isTimeout, this.#session.id));
  }

  /** The record has a decision of its own for it, which was told. */
  #methodRefused(error: MethodRefused): void {
    this.#finish(error.decision.reason ?? error.decision.outcome);
    this.#refuse(error.refusal(this.#session.id));
  }

  severUpstream(): void {
    this.#stop(this.#session.end?.reason ?? 'client_left');
  }

  farewell(cut: Cut): void {
    this.#refuse(refusalOfCut(cut, this.#session.id));
  }

  /** HTTP cannot speak between the bytes of a response: its head says when access ends. */
  warn(): void {}

  policyChanged(): void {
    const { passage, action, overrides } = this.#parts;
    const decision = overrides?.denied(this.#body) ?? passage.judge(action);
    if (this.#done) return;
    if (decision.outcome === 'allow' && this.#staysWithin(decision)) return;
    this.#stop('policy_gone');
    this.#tell(403, 'policy_gone', decision.rule);
    this.#refuse(refusalOf(decision, this.#session.id));
  }

  /** Whether what is under way may go on under narrower limits, which hold from here on. */
  #staysWithin({ rule, obligations }: Decision): boolean {
    const { maxBody = Number.POSITIVE_INFINITY, eventStream = false } = obligations;
    this.#rule = rule;
    this.#maxBody = Math.min(this.#maxBody, maxBody);
    this.#eventStream ||= eventStream;
    this.#body?.narrow(this.#maxBody);
    return !this.#eventStream || this.#head === null || mayFollow(this.#head);
  }

  /** The client broke off, or sent a body that cannot be read: ends the exchange. */
  unreadable(refusal: Refusal, why: 'client_left' | 'protocol_error'): boolean {
    this.#stop(why);
    if (this.#parts.res.hasBegun) return false;
    this.#refuse(refusal);
    return true;
  }

  /** Tells of the end of an exchange that no decision in the record stands for. */
  #tell(status: number, reason: string, rule: string): void {
    const { faults, action } = this.#parts;
    const { id, policy } = this.#session;
    faults.tell({ service: policy.name, session: id, client: action.client, status, reason, rule });
  }

  #serviceFailed(err: string, kind: UpstreamFailure, status: number): void {
    this.#session.meter.upstreamFailed(kind);
    this.#parts.log.warn({ ...serviceFault(this.#session, status), err }, 'the service failed');
  }

  /** Ends the upstream side and records what there was of it. */
  #stop(reason: string): void {
    if (this.#done) return;
    this.#finish(reason);
    this.#sent?.abort();
    this.#body?.destroy();
  }

  /** Tells the client while nothing of a response has been sent; breaks the transfer off when something has. */
  #refuse(refusal: Refusal): void {
    const { req, res } = this.#parts;
    if (res.isFinished || res.isGone) return;
    if (res.hasBegun) res.breakOff();
    else {
      if (!askAgain(res, refusal.reason)) sendRefusal(res, refusal, true);
      req.drop();
    }
  }

  /** @param reason - why it did not come to a good end */
  #finish(reason: string | null): void {
    this.#done = true;
    this.#sighted.end();
    const { req, seq, forward, arrivedAt, monotonic } = this.#parts;
    const { recording, unsaid } = this.#session;
    const known = resultOf({
      seq,
      status: this.#head?.status ?? null,
      reason,
      request: this.#body === null ? null : { headers: req.headers, tap: this.#body.tap, isWhole: this.#body.isWhole },
      response: { headers: this.#head?.headers ?? [], tap: this.#answer, isWhole: reason === null },
      withheld: this.#head?.withheldFrom(forward.addressed) ?? [],
      contentType: this.#head?.contentType && unsaid.text(this.#head.contentType),
      keepsResponse: settingsOf(this.#session.role).bodies !== null,
      isRepeated: this.#sent?.isRepeated ?? false,
      at: { arrived: arrivedAt, forwarded: this.#forwardedAt, answered: this.#answeredAt, done: monotonic() },
    });
    // Straight to the log: at a cut the session counts as ended already, and its receipt is written after this.
    if (recording.receipt !== null) known.later?.complete();
    else recording.append('result', known.facts, unsaid.payload(known.payload), known.later);
  }
}
