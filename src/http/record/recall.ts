import type { Recalled, Recaller } from '../../gate/protocol.js';
import type { RecordedEvent } from '../../recording/event.js';
import type { Header, HttpAction, RequestAction } from '../action.js';
import { canonical } from '../headers/headers.js';
import type { HttpRole } from '../rules/decide.js';
import { readServiceTarget } from '../rules/path.js';
import { folded } from '../rules/query.js';
import { fitsRoute, looksAtCookies } from '../rules/rule.js';
import { MessageFacts } from './message-facts.js';

/** What stands in a record where something was cut out. */
const HIDDEN = /\[redacted\]|dp_[0-9A-Za-z]{22}_?\[/;
const FRAMES = ['text', 'binary', 'ping', 'pong', 'close'] as const;

/** How many sockets are known at a time: more than may be open at once. */
const MOST_SOCKETS = 1_000;

/** A request, and the names of what of it is not known. */
interface Opening {
  readonly action: RequestAction;
  readonly hidden: Hidden;
}

interface Hidden {
  /** Query parameters, as `folded` reads them. */
  readonly query: ReadonlySet<string>;
  /** Headers by their canonical names. */
  readonly headers: ReadonlySet<string>;
}

/** Reads recorded requests, and recorded WebSocket messages by the request that opened their socket. */
export class HttpRecaller implements Recaller<HttpRole, HttpAction> {
  /** By the sequence number of their openings; the oldest are forgotten. */
  readonly #sockets = new Map<number, Opening>();
  /** By path: the last one there. Older records do not say of which socket a message is. */
  readonly #lastAt = new Map<string, Opening>();

  recall(event: RecordedEvent): Recalled<HttpRole, HttpAction> {
    const { seq, facts, payload } = event;
    if (facts.verb === 'message') return this.#message(event);
    const [, method = '', raw = ''] = /^(\S+) (.*)$/s.exec(payload?.text ?? '') ?? [];
    if (method !== facts.verb) return { ok: false, why: 'the record does not hold the request' };
    const target = readServiceTarget(raw);
    if (HIDDEN.test(target.ok ? target.path : raw)) return { ok: false, why: 'part of the path was redacted' };
    const headers = headersOf(payload?.headers);
    const client = String(facts.from ?? '');
    const action: RequestAction = { kind: 'request', method, target, rawTarget: raw, client, headers, injected: [] };
    const hidden = { query: hiddenQuery(target.ok ? target.query : ''), headers: hiddenHeaders(headers) };
    if (method === 'WS' && target.ok) this.#keep(seq, target.path, { action, hidden });
    return { ok: true, action, needsHidden: (role) => looksAt(role, action, hidden) };
  }

  #keep(seq: number, path: string, opening: Opening): void {
    this.#lastAt.set(path, opening);
    this.#sockets.set(seq, opening);
    const [oldest] = this.#sockets.keys();
    if (this.#sockets.size > MOST_SOCKETS && oldest !== undefined) this.#sockets.delete(oldest);
  }

  #message({ facts }: RecordedEvent): Recalled<HttpRole, HttpAction> {
    const path = facts.on?.[0] ?? '';
    const opening = facts.of === undefined ? this.#lastAt.get(path) : this.#sockets.get(facts.of);
    const frame = FRAMES.find((one) => one === facts.frame);
    if (opening === undefined || frame === undefined)
      return { ok: false, why: 'the record does not tell which socket the message was for' };
    const action: HttpAction = {
      kind: 'message',
      opening: opening.action,
      facts: new MessageFacts(path, facts.of),
      frame,
      data: Buffer.alloc(0),
    };
    return { ok: true, action, needsHidden: (role) => looksAt(role, opening.action, opening.hidden) };
  }
}

function headersOf(lines: unknown): Header[] {
  if (!Array.isArray(lines)) return [];
  return lines.map((line): Header => {
    const text = String(line);
    const colon = text.indexOf(': ');
    return colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 2)];
  });
}

function hiddenHeaders(headers: readonly Header[]): ReadonlySet<string> {
  return new Set(headers.filter(([, value]) => HIDDEN.test(value)).map(([name]) => canonical(name)));
}

function hiddenQuery(query: string): ReadonlySet<string> {
  const parts = query
    .slice(1)
    .split('&')
    .filter((part) => HIDDEN.test(part));
  return new Set(parts.map((part) => folded(unescaped(part.split('=')[0] ?? ''))));
}

function unescaped(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    return name;
  }
}

/** Whether a rule for this very path asks for what is hidden. */
function looksAt(role: HttpRole, action: RequestAction, { query, headers }: Hidden): boolean {
  if (query.size === 0 && headers.size === 0) return false;
  return role.rules.some((rule) => {
    const asks =
      rule.query.some(({ name }) => query.has(folded(name))) ||
      rule.headers.some(({ name }) => headers.has(name)) ||
      (looksAtCookies(rule) && headers.has('cookie'));
    return asks && fitsRoute(rule, action);
  });
}
