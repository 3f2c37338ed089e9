import { hash } from 'node:crypto';
import type { ActionFacts } from '../../gate/protocol.js';
import type { Payload } from '../../recording/event.js';
import type { HttpAction, MessageAction, RequestAction } from '../action.js';
import { unpackedBeginning } from '../packed/beginning.js';
import type { Coding } from '../packed/coding.js';
import { isReadableAs, messageText, textOf } from './content.js';
import { redactBody, redactHeaders, redactPath, redactQuery, redactText } from './redact.js';

/**
 * What the record says of an action before it is forwarded: method and path as facts, then the head of a request (redacted)
 * or the whole of a WebSocket message. The beginning of a request's body follows in its result, see `bodySample`.
 */
export function describe(action: HttpAction): ActionFacts {
  return action.kind === 'request' ? describeRequest(action) : describeMessage(action);
}

function describeRequest({ method, target, rawTarget, client, headers, injected, of }: RequestAction): ActionFacts {
  const path = target.ok ? redactPath(target.path) : redactQuery(rawTarget);
  const query = target.ok ? redactQuery(target.query) : '';
  return {
    facts: { verb: method, on: [path], from: client, of },
    payload: { text: `${method} ${path}${query}`, headers: redactHeaders(headers, injected) },
  };
}

function describeMessage({ facts: known, frame, data: bytes, code }: MessageAction): ActionFacts {
  const text = messageText(frame, bytes);
  const isLong = bytes.byteLength > WHOLE_TEXT;
  const sha256 = text === null || isLong || frame === 'binary' ? digestOf(bytes) : null;
  const facts = known.of(frame, bytes.byteLength, sha256, true, code);
  if (text === null) return { facts };
  return { facts, payload: isLong ? beginningOf(frame, bytes) : { text: redactText(text) } };
}

/** A client's text up to this size is recorded whole, bytes; of a longer one the beginning, its size and its digest. */
const WHOLE_TEXT = 1024 * 1024;
const BEGINNING = 64 * 1024;

function beginningOf(frame: string, bytes: Buffer): Payload {
  const text = messageText(frame, bytes.subarray(0, BEGINNING), false) ?? '';
  return { text: redactText(text, false), whole: false };
}

/** How much of a request's body is recorded unless the role says, bytes. Counts are always whole. */
export const BODY_SAMPLE = 8 * 1024;

/** What is recorded of a body besides its size and digest, which are facts. */
export interface BodySample {
  readonly type: string;
  readonly whole: boolean;
  readonly text?: string;
  /** As what the text was packed. */
  readonly coding?: Coding;
  /** Of one that is no text: digest and size of its beginning. */
  readonly sha256?: string;
  readonly bytes?: number;
}

/** The beginning of a body as it passed. */
export interface Passed {
  readonly bytes: Buffer;
  readonly isWhole: boolean;
  readonly type: string;
  /** As what it is packed; null: it is not. */
  readonly coding: Coding | null;
}

/**
 * The beginning of a body for the result's payload: text where it is text, unpacked. What is in another character set, binary, or
 * packed in a way of its own cannot be searched for secrets, and is recorded as its digest and size.
 * @param most - how much text, bytes
 */
export function bodySample({ bytes, isWhole, type, coding }: Passed, most: number): BodySample | null {
  if (bytes.byteLength === 0) return null;
  const plain = coding === null ? { bytes, isWhole: true } : unpackedBeginning(bytes, coding, most);
  const whole = isWhole && plain?.isWhole === true;
  const text = plain !== null && isReadableAs(type) ? textOf(plain.bytes, whole) : null;
  if (text === null) return { ...digest(bytes), type, whole: isWhole };
  const sample = { text: redactBody(text, type, whole), type, whole };
  return coding === null ? sample : { ...sample, coding };
}

function digest(bytes: Uint8Array) {
  return { sha256: digestOf(bytes), bytes: bytes.byteLength };
}

function digestOf(bytes: Uint8Array): string {
  return hash('sha256', bytes);
}
