import { isUtf8 } from 'node:buffer';
import type { ActionFacts } from '../gate/protocol.js';
import type { Payload, RecordedEvent } from '../recording/event.js';
import type { HttpAction, MessageAction, RequestAction } from './action.js';
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
  return {
    facts: { verb: 'message', on: [path], frame, bytes: data.byteLength },
    payload: readable(data, frame === 'binary' ? 'application/octet-stream' : 'text/plain'),
  };
}

/** How much of a request's body is recorded, bytes. Counts are always whole. */
export const BODY_SAMPLE = 8 * 1024;

/** The beginning of a request's body for the result's payload: text where it is text, base64 where it is not. */
export function bodySample(sample: Uint8Array, whole: boolean, contentType: string): Payload | null {
  if (sample.byteLength === 0) return null;
  return { ...readable(sample, contentType, whole), type: contentType, whole };
}

function readable(data: Uint8Array, contentType: string, whole = true): Payload {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  // A bound may have cut the last character in two: at most three bytes of it are left.
  const text = whole ? bytes : bytes.subarray(0, lastWholeCharacter(bytes));
  if (isUtf8(text) && !text.includes(0)) return { text: redactText(text.toString('utf8'), contentType) };
  return { base64: bytes.toString('base64') };
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
