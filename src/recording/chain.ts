import { createHash, hash } from 'node:crypto';
import { withoutHandles } from '../log.js';
import type { EventKind, Facts, Payload, RecordedEvent } from './event.js';

/**
 * The chain over a session's events. Each event is two lines of JSON: a header (sequence number, time, kind, facts, and the
 * SHA-256 of the payload line as stored) and the payload. The chain runs over the headers alone, so a payload can later
 * be shredded, or stored sealed, without breaking it.
 */
export interface EncodedEvent {
  readonly header: string;
  /** Empty when the event has no payload. */
  readonly payload: string;
}

const HEADERS = 'daypass/chain/1\n';

/** The chain's value before the first event: bound to the session, so that two recordings cannot be exchanged. */
export function genesis(sessionId: string): Buffer {
  return createHash('sha256').update(`${HEADERS}${sessionId}\n`).digest();
}

/** The chain's value after one more header: SHA-256 of the value before it and the header's bytes. */
export function link(before: Uint8Array, header: string): Buffer {
  return createHash('sha256').update(before).update(header).digest();
}

/**
 * As `link`, where many headers follow one another: a value that is a text (its characters are the bytes) costs half, and so does a
 * hash that takes its input in one piece.
 * @param valueAndHeader - the value before, and behind it the header
 */
export function linked(valueAndHeader: Uint8Array): string {
  return hash('sha256', valueAndHeader, 'binary');
}

/** Bytes of a value. */
export const VALUE_SIZE = 32;

/** A value of the chain as `linked` takes it. */
export function textOfValue(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');
}

/** What `linked` answered, as it is stored. Not a part of Node's pool: a session that rests would keep all of that, 8 KiB. */
export function bytesOfValue(value: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(VALUE_SIZE);
  bytes.write(value, 'latin1');
  return bytes;
}

/**
 * Writes an event in its stored form. Whatever a protocol put in, no handle is ever stored (THREATS.md A16, D27): it is
 * cut out here, before anything is hashed.
 */
export function encodeEvent(event: RecordedEvent): EncodedEvent {
  const payload = event.payload === null ? '' : withoutHandles(JSON.stringify(event.payload));
  // What `JSON.stringify` would make of a `StoredHeader`.
  const header = `{"n":${event.seq},"t":${event.at},"k":"${event.kind}","f":${written.get(event.facts) ?? write(event.facts)}`;
  return { header: payload === '' ? `${header}}` : `${header},"p":"${digestOfPayload(payload)}"}`, payload };
}

/** Of facts that come again and again: how they are written. */
const written = new WeakMap<Facts, string>();

/** These facts come again and again: they are written once, and must not change any more. */
export function comeAgain(facts: Facts): void {
  if (!written.has(facts)) written.set(facts, write(facts));
}

function write(facts: Facts): string {
  return withoutHandles(JSON.stringify(facts));
}

/** Reads an event back. Throws `SyntaxError` on anything that is not one. */
export function decodeEvent(encoded: EncodedEvent): RecordedEvent {
  const header: StoredHeader = JSON.parse(encoded.header);
  const payload: Payload | null = encoded.payload === '' ? null : JSON.parse(encoded.payload);
  return { seq: header.n, at: header.t, kind: header.k, facts: header.f, payload };
}

/** Whether the payload is the one its header names. */
export function payloadMatches(encoded: EncodedEvent): boolean {
  const header: StoredHeader = JSON.parse(encoded.header);
  return encoded.payload === '' ? header.p === undefined : header.p === digest(encoded.payload);
}

interface StoredHeader {
  n: number;
  t: number;
  k: EventKind;
  f: Facts;
  p?: string;
}

function digest(text: string): string {
  return hash('sha256', text);
}

/** As `digest`; what is asked for again and again says the same each time. */
function digestOfPayload(payload: string): string {
  if (payload.length > MOST_REMEMBERED) return digest(payload);
  if (payload === lastPayload) return lastDigest;
  lastDigest = digest(payload);
  lastPayload = payload;
  return lastDigest;
}

/** UTF-16 code units. */
const MOST_REMEMBERED = 4 * 1024;
let lastPayload = '';
let lastDigest = '';
