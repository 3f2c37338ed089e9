import type { Facts, Later, Payload } from '../../recording/event.js';
import type { Header } from '../action.js';
import type { BodyTap, PendingDigest } from '../body/tap.js';
import { valuesOf } from '../headers/headers.js';
import { codingOf } from '../packed/coding.js';
import { type BodySample, bodySample } from './describe.js';

/** One side of an exchange: its head, and what passed of its body. */
interface Side {
  readonly headers: readonly Header[];
  readonly tap: BodyTap;
  /** All of the body passed: it did not break off. */
  readonly isWhole: boolean;
}

/** Instants on the monotonic clock, milliseconds; null for what did not happen. */
export interface Instants {
  readonly arrived: number;
  readonly forwarded: number | null;
  readonly answered: number | null;
  readonly done: number;
}

/** What an exchange was, once it is over. */
export interface Over {
  /** The sequence number of the recorded request. */
  readonly seq: number;
  /** Null when no head of an answer came. */
  readonly status: number | null;
  /** Null for a request without a body. */
  readonly request: Side | null;
  readonly response: Side;
  /** The schemes of the challenges that the client was not given. */
  readonly withheld: readonly string[];
  /** Of the answer. */
  readonly contentType: string | undefined;
  /** Why it did not come to a good end. */
  readonly reason: string | null;
  /** Whether the record keeps the beginning of the response's body. */
  readonly keepsResponse: boolean;
  /** The service was sent the request twice. */
  readonly isRepeated: boolean;
  readonly at: Instants;
}

/** What the record says of an exchange. */
interface Result {
  readonly facts: Facts;
  readonly payload: Payload | null;
  /** Puts into the facts what was not there when they were made; waits for it. */
  readonly later: Later | null;
}

/**
 * What the record says of an exchange that is over. Digests and counts are those of the bytes that passed; when it came to a
 * good end, those of the whole bodies, but of the request's where `requestWhole` is false.
 */
export function resultOf(over: Over): Result {
  const asked = over.request === null ? null : sampleOf(over.request);
  const answered = over.keepsResponse ? sampleOf(over.response) : null;
  const { facts, later } = factsOf(over);
  if (asked === null && answered === null) return { facts, payload: null, later };
  const response = answered === null ? {} : { response: { ...answered } };
  return { facts, payload: { ...asked, ...response }, later };
}

/** @returns the facts, and what completes them where a digest is not there yet */
function factsOf({
  seq,
  status,
  reason,
  request,
  response,
  withheld,
  contentType,
  isRepeated,
  at,
}: Over): Pick<Result, 'facts' | 'later'> {
  const requestSha256 = request?.tap.sha256Later() ?? null;
  const responseSha256 = response.tap.sha256Later();
  // Put down one after the other: see `joined`.
  const facts: Mutable<Facts> = { of: seq };
  if (status !== null) facts.status = String(status);
  if (contentType !== undefined) facts.contentType = contentType;
  facts.bytesIn = request?.tap.bytes ?? 0;
  facts.bytesOut = response.tap.bytes;
  if (requestSha256 !== null) facts.requestSha256 = textOf(requestSha256);
  if (responseSha256 !== null) facts.responseSha256 = textOf(responseSha256);
  const { queueMs, firstByteMs, ms } = timesOf(at);
  facts.queueMs = queueMs;
  if (firstByteMs !== undefined) facts.firstByteMs = firstByteMs;
  facts.ms = ms;
  if (reason !== null) facts.reason = reason;
  // Who answers early does not wait for all that was asked.
  else if (request?.isWhole === false) facts.requestWhole = false;
  if (isRepeated) facts.repeated = true;
  if (withheld.length > 0) facts.withheld = withheld.join(', ');
  const [requestLater, responseLater] = [pending(requestSha256), pending(responseSha256)];
  const isWhole = requestLater === null && responseLater === null;
  return { facts, later: isWhole ? null : new Completing(facts, requestLater, responseLater) };
}

/** A digest, or what has it once it is needed; null: there is none. */
type Sha256 = ReturnType<BodyTap['sha256Later']>;

/** What stands in the place of a digest that is not there yet is empty. */
function textOf(known: NonNullable<Sha256>): string {
  return typeof known === 'string' ? known : '';
}

function pending(known: Sha256): PendingDigest | null {
  return typeof known === 'string' ? null : known;
}

/** Facts to which digests are missing that another thread works out. */
class Completing implements Later {
  readonly #facts: Mutable<Facts>;
  readonly #request: PendingDigest | null;
  readonly #response: PendingDigest | null;

  constructor(facts: Mutable<Facts>, request: PendingDigest | null, response: PendingDigest | null) {
    this.#facts = facts;
    this.#request = request;
    this.#response = response;
  }

  get isThere(): boolean {
    return this.#request?.isThere !== false && this.#response?.isThere !== false;
  }

  complete(): void {
    this.#put('requestSha256', this.#request);
    this.#put('responseSha256', this.#response);
  }

  #put(name: 'requestSha256' | 'responseSha256', digest: PendingDigest | null): void {
    if (digest === null) return;
    const sha256 = digest.sha256();
    if (sha256 === null) delete this.#facts[name];
    else this.#facts[name] = sha256;
  }
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Milliseconds; `firstByteMs` where an answer came. */
interface Times extends Facts {
  readonly queueMs: number;
  readonly firstByteMs?: number;
  readonly ms: number;
}

/** How long a request waited for its record and its turn, the service for its answer, and the whole took; milliseconds. */
export function timesOf({ arrived, forwarded, answered, done }: Instants): Times {
  const started = forwarded ?? done;
  const [queueMs, ms] = [Math.round(started - arrived), Math.round(done - started)];
  return answered === null ? { queueMs, ms } : { queueMs, firstByteMs: Math.round(answered - started), ms };
}

function sampleOf({ headers, tap, isWhole }: Side): BodySample | null {
  const [type = 'application/octet-stream'] = valuesOf(headers, 'content-type');
  const passed = { bytes: tap.sample, isWhole: tap.isWhole && isWhole, type, coding: codingOf(headers) };
  return bodySample(passed, tap.most);
}
