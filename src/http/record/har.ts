import type { Transcript } from '../../gate/protocol.js';
import { harmlessJson } from '../../log.js';
import { type Facts, isList, type Json, type Payload, type RecordedEvent } from '../../recording/event.js';
import { OPCODES } from '../websocket/frames.js';

/** More messages of one socket are counted, not listed. */
const MOST_MESSAGES = 10_000;
/** What the messages of all sockets may hold until their entries are written, characters: it is kept in memory till then. */
const MOST_HELD = 16 * 1024 * 1024;

const BY_NAME: ReadonlyMap<string, number> = new Map(Object.entries(OPCODES));

interface Entry {
  readonly action: RecordedEvent;
  readonly messages: { type: 'send' | 'receive'; time: number; opcode: number; data: string }[];
  unlisted: number;
  /** Characters of its messages. */
  held: number;
}

/**
 * A session as an HTTP Archive (HAR 1.2, w3c.github.io/web-performance/specs/HAR), which browsers' developer tools open.
 * Messages of WebSockets stand where Chromium puts them (`_webSocketMessages`); the gateway's decision in `_daypass`.
 */
export const harTranscript: Transcript = {
  format: 'har',
  type: 'application/json; charset=utf-8',
  async *write(session, events) {
    const comment = `session ${session.id}: ${session.principal} on ${session.service} as ${session.role}`;
    const creator = { name: 'Daypass', version: '1' };
    yield `{"log":{"version":"1.2","creator":${JSON.stringify(creator)},"comment":${textOf(comment)},"entries":[`;
    const writing = new Entries(session.service);
    for await (const event of events) for (const entry of writing.take(event)) yield entry;
    for (const entry of writing.rest()) yield entry;
    yield ']}}\n';
  },
};

/** Puts a request together with what came of it. */
class Entries {
  readonly #service: string;
  readonly #open = new Map<number, Entry>();
  /** By path: the request that opened a socket there last. Older records do not say of which socket a message is. */
  readonly #sockets = new Map<string, Entry>();
  #held = 0;
  #first = true;

  constructor(service: string) {
    this.#service = service;
  }

  *take(event: RecordedEvent): Generator<string> {
    const { kind, facts, seq } = event;
    if (facts.verb === 'message') this.#message(event);
    else if (kind === 'action' && facts.of === undefined) {
      const entry = { action: event, messages: [], unlisted: 0, held: 0 };
      if (facts.outcome !== 'allow') yield this.#written(entry, null);
      else this.#open.set(seq, entry);
      if (facts.verb === 'WS') this.#sockets.set(facts.on?.[0] ?? '', entry);
    } else if (kind === 'result') {
      const entry = this.#open.get(Number(facts.of));
      if (entry === undefined) return;
      this.#open.delete(Number(facts.of));
      yield this.#written(entry, event);
    }
  }

  /** What the record has no result of. */
  *rest(): Generator<string> {
    for (const entry of this.#open.values()) yield this.#written(entry, null);
  }

  #message({ kind, at, facts, payload }: RecordedEvent): void {
    const { of } = facts;
    const entry = of === undefined ? this.#sockets.get(facts.on?.[0] ?? '') : this.#open.get(of);
    if (entry === undefined) return;
    const said = payload?.text ?? `(${facts.bytes ?? 0} bytes, sha256 ${facts.sha256 ?? 'unknown'})`;
    const data = facts.code === undefined ? said : `${facts.code} ${said}`.trim();
    if (entry.messages.length >= MOST_MESSAGES || this.#held + data.length > MOST_HELD) {
      entry.unlisted += 1;
      return;
    }
    entry.held += data.length;
    this.#held += data.length;
    const opcode = BY_NAME.get(String(facts.frame)) ?? OPCODES.text;
    entry.messages.push({ type: kind === 'action' ? 'send' : 'receive', time: at / 1000, opcode, data });
  }

  #written(written: Entry, result: RecordedEvent | null): string {
    const { action, messages, unlisted, held } = written;
    const { facts, payload } = action;
    this.#held -= held;
    if (this.#sockets.get(facts.on?.[0] ?? '') === written) this.#sockets.delete(facts.on?.[0] ?? '');
    const more = result?.facts ?? {};
    const entry = {
      startedDateTime: new Date(action.at).toISOString(),
      time: Number(more.queueMs ?? 0) + Number(more.ms ?? 0),
      request: requestOf(this.#service, action, result),
      response: responseOf(facts, more, result?.payload ?? null),
      cache: {},
      timings: timingsOf(more),
      _daypass: {
        event: action.seq,
        outcome: facts.outcome ?? '',
        rule: facts.rule ?? '',
        reason: facts.reason ?? '',
        ...(result === null ? {} : { result: result.facts }),
      },
      ...(messages.length > 0 ? { _webSocketMessages: messages } : {}),
      ...(unlisted > 0 ? { comment: `${unlisted} more messages are in the recording` } : {}),
      ...(payload === null ? { comment: 'the record holds no head' } : {}),
    };
    const text = `${this.#first ? '' : ','}\n${textOf(entry)}`;
    this.#first = false;
    return text;
  }
}

function requestOf(service: string, { facts, payload }: RecordedEvent, result: RecordedEvent | null) {
  const [method = '', target = ''] = (payload?.text ?? `${facts.verb ?? ''} ${facts.on?.[0] ?? ''}`).split(/ (.*)/s);
  const body = bodyOf(result?.payload ?? null);
  const mark = target.indexOf('?');
  return {
    method: method === 'WS' ? 'GET' : method,
    // The service's name is the host: its address is nobody's business.
    url: `http://${service}${target}`,
    httpVersion: 'HTTP/1.1',
    cookies: [],
    headers: pairsOf(payload?.headers),
    queryString:
      mark === -1 ? [] : [...new URLSearchParams(target.slice(mark))].map(([name, value]) => ({ name, value })),
    ...(body === null ? {} : { postData: { mimeType: body.type, ...body.said } }),
    headersSize: -1,
    bodySize: Number(result?.facts.bytesIn ?? 0),
  };
}

function responseOf({ outcome }: Facts, { status, bytesOut, contentType }: Facts, payload: Payload | null) {
  const body = bodyOf(partOf(payload?.response));
  const size = Number(bytesOut ?? 0);
  const mimeType = typeof contentType === 'string' ? contentType : '';
  return {
    status: Number(status ?? 0),
    statusText: outcome === 'allow' ? '' : 'refused by the gateway',
    httpVersion: 'HTTP/1.1',
    cookies: [],
    headers: mimeType === '' ? [] : [{ name: 'content-type', value: mimeType }],
    content: { size, mimeType, ...body?.said },
    redirectURL: '',
    headersSize: -1,
    bodySize: size,
  };
}

/** HAR: -1 where it does not apply. `wait` is until the first byte of the answer. */
function timingsOf({ queueMs, firstByteMs, ms }: Facts) {
  const wait = Number(firstByteMs ?? ms ?? 0);
  return {
    blocked: Number(queueMs ?? -1),
    dns: -1,
    connect: -1,
    send: 0,
    wait,
    receive: Math.max(0, Number(ms ?? 0) - wait),
  };
}

type Part = { readonly [name: string]: Json | undefined };

/** What a part of a payload is looked up in. */
function partOf(value: Json | undefined): Part | null {
  return typeof value === 'object' && value !== null && !isList(value) ? value : null;
}

interface Body {
  readonly type: string;
  readonly said: { readonly text: string; readonly comment?: string };
}

function bodyOf(payload: Part | null): Body | null {
  if (typeof payload?.text !== 'string' || typeof payload.type !== 'string') return null;
  const { type, text, whole } = payload;
  return { type, said: whole === false ? { text, comment: 'its beginning; the rest is not recorded' } : { text } };
}

/** Some write an archive to a terminal. */
function textOf(value: unknown): string {
  return harmlessJson(JSON.stringify(value));
}

function pairsOf(lines: unknown): { name: string; value: string }[] {
  if (!Array.isArray(lines)) return [];
  return lines.map((line) => {
    const [name = '', value = ''] = String(line).split(/: (.*)/s);
    return { name, value };
  });
}
