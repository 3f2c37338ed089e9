import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { ActionFacts } from '../gate/protocol.js';
import type { Payload, RecordedEvent } from '../recording/event.js';
import type { HttpAction, MessageAction, RequestAction } from './action.js';
import { withoutAnyHandle } from './disguised.js';
import { redactHeaders, redactQuery, redactText } from './redact.js';

/**
 * What the record says of an action before it is forwarded: method and path as facts, then the head of a request (redacted)
 * or the whole of a WebSocket message. The beginning of a request's body follows in its result, see `bodySample`.
 */
export function describe(action: HttpAction): ActionFacts {
  return action.kind === 'request' ? describeRequest(action) : describeMessage(action);
}

function describeRequest({ method, target, rawTarget, client, headers, injected }: RequestAction): ActionFacts {
  const path = target.ok ? target.path : redactQuery(rawTarget);
  const query = target.ok ? redactQuery(target.query) : '';
  return {
    facts: { verb: method, on: [path], from: client },
    payload: { text: `${method} ${path}${query}`, headers: redactHeaders(headers, injected) },
  };
}

function describeMessage({ path, frame, data }: MessageAction): ActionFacts {
  const bytes = bytesOf(data);
  return {
    facts: { verb: 'message', on: [path], frame, bytes: data.byteLength },
    payload: readable(bytes),
  };
}

/** A message whole: handles in one that is no text are replaced, and one that spells a handle in wide characters is kept as its digest. */
function readable(bytes: Buffer): Payload {
  const text = textOf(bytes);
  if (text !== null) return { text: redactText(text, 'text/plain') };
  const plain = bytes.toString('latin1');
  const safe = withoutAnyHandle(plain);
  const packed = safe.replaceAll('\0', '');
  if (packed !== safe && withoutAnyHandle(packed) !== packed) return digest(bytes);
  return { base64: (safe === plain ? bytes : Buffer.from(safe, 'latin1')).toString('base64') };
}

/** How much of a request's body is recorded, bytes. Counts are always whole. */
export const BODY_SAMPLE = 8 * 1024;

/**
 * The beginning of a request's body for the result's payload: text where it is text. What is compressed, in another character
 * set or binary cannot be searched for secrets, and is recorded as its digest and size.
 */
export function bodySample(sample: Uint8Array, whole: boolean, type: string, encoding = ''): Payload | null {
  if (sample.byteLength === 0) return null;
  const bytes = bytesOf(sample);
  const isPlain = /^\s*(?:identity)?\s*$/i.test(encoding) && isReadable(type);
  // A bound may have cut the last character in two: at most three bytes of it are left.
  const text = isPlain ? textOf(whole ? bytes : bytes.subarray(0, lastWholeCharacter(bytes))) : null;
  const content = text === null ? digest(bytes) : { text: redactText(text, type, whole) };
  return { ...content, type, whole };
}

/** Whether the character set a type names has ASCII's characters at ASCII's places. */
function isReadable(type: string): boolean {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(type)?.[1];
  return charset === undefined || /^(?:utf-?8|us-ascii|iso-8859-\d+|windows-125\d)$/i.test(charset);
}

function digest(bytes: Uint8Array): Payload {
  return { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.byteLength };
}

function bytesOf(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** The text that bytes are; null when they are none. */
function textOf(bytes: Buffer): string | null {
  return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString('utf8') : null;
}

function lastWholeCharacter(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) return bytes.length - back;
    if (byte < 0x80) break;
  }
  return bytes.length;
}

/** One event of an HTTP session in words. */
export function render({ kind, facts, payload }: RecordedEvent): string {
  if (kind === 'action')
    return renderAction(facts.verb ?? '', facts.on ?? [], payload) + verdict(facts.outcome, facts.rule);
  if (kind !== 'result')
    return [kind, ...Object.entries(facts).map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(' ');
  const parts = [`→ ${facts.status ?? 'no answer'}`];
  if (facts.bytesIn !== undefined) parts.push(`${facts.bytesIn} bytes in`);
  if (facts.bytesOut !== undefined) parts.push(`${facts.bytesOut} bytes out`);
  if (facts.ms !== undefined) parts.push(`${facts.ms} ms`);
  if (facts.reason !== undefined) parts.push(facts.reason);
  const body = payload?.text === undefined ? '' : `\n${payload.text}${payload.whole === false ? ' …' : ''}`;
  return parts.join(', ') + body;
}

function renderAction(verb: string, on: readonly string[], payload: Payload | null): string {
  if (verb !== 'message') return payload?.text ?? `${verb} ${on.join(' ')}`;
  return `message on ${on.join(' ')}: ${payload?.text ?? '(binary)'}`;
}

function verdict(outcome: string | undefined, rule: string | undefined): string {
  return outcome === 'allow' ? '' : `  [${outcome ?? 'undecided'}: ${rule ?? ''}]`;
}
