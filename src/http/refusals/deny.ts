import { createHash } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Decision } from '../../policy/decision.js';
import { CUTS, type CutReason, DENIALS, type DenialReason, type EndReason } from '../../policy/reason.js';
import { type Cut, endSurely } from '../../session/connection.js';
import type { Session } from '../../session/session.js';
import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import { BEARER_CHALLENGE, challengeFor } from '../credential.js';
import { trimmed } from '../headers/header-line.js';
import { valuesOf } from '../headers/headers.js';
import { readsStatus, wordStatus } from './kubernetes.js';

/** A refusal or an end, in the words a person can act on. */
export interface Refusal {
  readonly status: number;
  /** A denial's or a cut's reason, or what is wrong with the request itself. */
  readonly reason: string;
  readonly detail: string;
  readonly rule?: string;
  readonly hint?: string;
  readonly session?: string;
  /** When to ask again, seconds. */
  readonly retryAfter?: number;
  /** Where a person in a browser can do something about it, at this host. */
  readonly way?: { readonly href: string; readonly text: string };
  /** The methods that a 405 names. */
  readonly allow?: readonly string[];
}

/** A refusal as bytes of a body. */
export interface Wording {
  readonly type: string;
  readonly body: string;
}

/** The refusal that a decision asks for; 502 is all that is known when a rule yields none. */
export function refusalOf(decision: Decision, session?: string): Refusal {
  const { reason, rule, hint, retryAfter } = decision;
  const status = reason === null ? 403 : DENIALS[reason].status;
  const detail = decision.message;
  return {
    status,
    reason: reason ?? decision.outcome,
    detail,
    rule,
    hint,
    ...(session === undefined ? {} : { session }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
}

/** A refusal without a decision behind it. */
export function refusalFor(reason: DenialReason, detail: string, options: Partial<Refusal> = {}): Refusal {
  return { status: DENIALS[reason].status, reason, detail, ...options };
}

const CUT_STATUS: Readonly<Record<CutReason, number>> = {
  expired: 401,
  revoked: 401,
  unknown_grant: 401,
  suspended: 401,
  hours_over: 401,
  logged_out: 401,
  replaced: 401,
  policy_gone: 403,
  tripwire: 403,
  ended: 403,
  stale: 503,
  recorder_stalled: 503,
  shutdown: 503,
};

/** The refusal that tells a request under way that its session was cut. */
export function refusalOfCut({ reason, message, hint }: Cut, session: string): Refusal {
  return { status: CUT_STATUS[reason], reason, detail: message, hint, session };
}

/** The refusal of a request whose session ended between its admission and its decision. */
export function refusalOfEnd({ id, end }: Pick<Session, 'id' | 'end'>): Refusal {
  const reason = end?.reason ?? 'ended';
  const hint = 'ask again to learn whether you can come back';
  if (!isCut(reason)) return { status: 503, reason, detail: 'The session has just ended.', hint, session: id };
  const detail = `The session has just ended: ${CUTS[reason]}.`;
  return { status: CUT_STATUS[reason], reason, detail, hint, session: id };
}

function isCut(reason: EndReason): reason is CutReason {
  return reason in CUTS;
}

/** What is known of who is refused. */
export type Refused = Pick<ClientRequest, 'method' | 'target' | 'headers'>;

/** problem+json (RFC 9457), a page for whoever prefers HTML, or what Kubernetes' clients read. */
function wordRefusal(refusal: Refusal, refused: Refused | null): Wording {
  const { status, reason, detail, rule, hint, session } = refusal;
  if (refused !== null && prefersHtml(valuesOf(refused.headers, 'accept')[0]))
    return { type: 'text/html; charset=utf-8', body: page(refusal) };
  if (refused !== null && readsStatus(refused.headers))
    return wordStatus(refusal, hint ? `${sentence(detail)} ${sentence(hint)}` : sentence(detail), refused);
  const problem = {
    type: `urn:daypass:reason:${reason}`,
    title: title(refusal),
    status,
    detail,
    reason,
    rule,
    hint: hint || undefined,
    session,
  };
  return { type: 'application/problem+json', body: `${JSON.stringify(problem)}\n` };
}

/**
 * Whether `text/html` is asked for by name and before JSON, by weight (RFC 9110 section 12.5.1), then by place; tools that send a wildcard or
 * nothing get JSON.
 */
export function prefersHtml(accept: string | undefined): boolean {
  const ranges = (accept ?? '').toLowerCase().split(',').map(trimmed);
  const best = ranges
    .filter(
      (range) => /^(?:text\/html|application\/(?:problem\+)?json)[\t ]*(?:;|$)/.test(range) && weightOf(range) > 0,
    )
    .sort((one, other) => weightOf(other) - weightOf(one))[0]; // stable: of two that weigh the same the first stays so
  return best?.startsWith('text/') === true;
}

function weightOf(range: string): number {
  return Number(/;[\t ]*q=([\d.]*)/.exec(range)?.[1] ?? 1);
}

function title({ status, reason }: Refusal): string {
  return `${STATUS_CODES[status] ?? 'Refused'} (${reason})`;
}

/** The only style of the gateway's pages; their policies allow exactly it, by its hash. That of a refusal allows no script. */
export const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:12vh auto;padding:0 1.5rem;color:#1c2430;background:#f6f7f9}' +
  'main{background:#fff;border:1px solid #dde1e7;border-radius:10px;padding:2rem}' +
  'h1{font-size:1.35rem;margin:0 0 .5rem}p{margin:.5rem 0}.do{color:#374151}' +
  'dl{margin:1.5rem 0 0;font-size:.85rem;color:#5b6472;display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem}' +
  'dd{margin:0;font-family:ui-monospace,monospace;overflow-wrap:anywhere}' +
  'button{font:inherit;color:#fff;background:#1f4e9e;border:1px solid transparent;border-radius:6px;padding:.45rem 1rem;cursor:pointer}' +
  'button:hover{background:#173d7d}.no{background:#a3261d}.no:hover{background:#7d1c15}' +
  'button:focus-visible,a:focus-visible,textarea:focus-visible,select:focus-visible{outline:3px solid #1f4e9e;outline-offset:2px}' +
  'h2{font-size:1.05rem;margin:1.75rem 0 .25rem}ul{margin:.5rem 0;padding-left:1.25rem}li,.said{overflow-wrap:anywhere}' +
  'label{display:block;margin:.75rem 0 .25rem;font-weight:600}' +
  'textarea,select{font:inherit;color:inherit;background:#fff;width:100%;box-sizing:border-box;padding:.45rem;border:1px solid #6b7480;border-radius:6px}' +
  '.note{border-left:4px solid #b06000;background:#fdf6ec;padding:.5rem 1rem;margin:1rem 0}.wrong{border-color:#a3261d;background:#fdf1f0}' +
  'footer{margin-top:1rem;font-size:.8rem;color:#5b6472}' +
  '@media(max-width:30rem){body{margin:1rem auto;padding:0 .75rem}main{padding:1.25rem}dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}}';
export const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** A refusal for a person in a browser: what happened, what they can do, then the facts to quote when they ask. */
function page(refusal: Refusal): string {
  const facts = [
    ['Reason', refusal.reason],
    ['Rule', refusal.rule],
    ['Session', refusal.session],
  ];
  const list = facts
    .flatMap(([name, value]) => (value ? [`<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`] : []))
    .join('');
  const heading = escapeHtml(STATUS_CODES[refusal.status] ?? 'Refused');
  const hint = refusal.hint ? `<p class="do">${escapeHtml(sentence(refusal.hint))}</p>` : '';
  const way = refusal.way ? `<p><a href="${escapeHtml(refusal.way.href)}">${escapeHtml(refusal.way.text)}</a></p>` : '';
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>${refusal.status} ${heading}</title><style>${STYLE}</style></head><body><main>`,
    `<h1>${heading}</h1><p>${escapeHtml(sentence(refusal.detail))}</p>${hint}${way}<dl>${list}</dl></main>`,
    '<footer>Daypass: access for one task and a short time</footer></body></html>\n',
  ].join('');
}

/** Begins with a capital letter and ends with a full stop. */
function sentence(text: string): string {
  const ended = /[.!?]$/.test(text) ? text : `${text}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/**
 * What keeps a refusal apart from other pages. At a service's host its address may hold a hand-over code, which the service's own pages
 * shall not learn: `sandbox` makes it no page of their origin, whose service workers could list it.
 */
const APART = { policy: '; sandbox', headers: {} };
/**
 * At the gateway's own host: whoever opened it in a window learns no more of that than of a page, such as whether its visitor may open a
 * service. Browsers take no page that has both.
 */
const OWN_APART = { policy: '', headers: { 'cross-origin-opener-policy': 'same-origin' } };

/**
 * The headers of every refusal. `no-referrer` keeps its address out of `navigation.entries()`.
 * @param challenge - what a 401 asks for
 */
function ownHeaders(
  { status, retryAfter, allow }: Refusal,
  challenge = BEARER_CHALLENGE,
  apart: typeof APART | typeof OWN_APART = APART,
): Record<string, string> {
  return {
    'cache-control': 'no-store',
    'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'${apart.policy}`,
    ...apart.headers,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    ...(status === 401 ? { 'www-authenticate': challenge } : {}),
    ...(retryAfter !== undefined || status === 429 ? { 'retry-after': String(retryAfter ?? 1) } : {}),
    ...(allow === undefined ? {} : { allow: allow.join(', ') }),
  };
}

/**
 * Browsers ask for the icon of every page that they show, of a host that refused it, too: each would be a refusal in the record, and twenty
 * pages the alert of a burst of them. A browser asks once in so long.
 */
const ICON_KEPT = { 'cache-control': 'private, max-age=3600' };

function isIcon({ method, target }: Refused, { status }: Refusal): boolean {
  return status === 403 && method === 'GET' && target === '/favicon.ico';
}

/** Answers a request with a refusal. @param close - no other request may follow */
export function sendRefusal(res: ClientResponse, refusal: Refusal, close: boolean): void {
  const { head } = res.request;
  const { type, body } = wordRefusal(refusal, res.request);
  const { kind } = head.selected;
  const challenge = kind === 'service' ? challengeFor(head.headers) : BEARER_CHALLENGE;
  const kept = isIcon(res.request, refusal) ? ICON_KEPT : {};
  if (close) res.keepsAlive = false;
  res.send(
    refusal.status,
    { 'content-type': type, ...ownHeaders(refusal, challenge, kind === 'gateway' ? OWN_APART : APART), ...kept },
    body,
  );
}

/**
 * Answers on a bare socket, where there is no response object (upgrades, unreadable requests), and ends it.
 * @param refused - the request; null when there is none that could be read
 * @param more - headers
 */
export function sendRawRefusal(
  socket: Duplex,
  refused: Refused | null,
  refusal: Refusal,
  more: Readonly<Record<string, string>> = {},
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  socket.write(rawRefusal(refused, refusal, more));
  endSurely(socket);
}

/** A refusal as the bytes of a whole HTTP/1.1 response that closes its connection. */
export function rawRefusal(
  refused: Refused | null,
  refusal: Refusal,
  more: Readonly<Record<string, string>> = {},
): string {
  const { type, body } = wordRefusal(refusal, refused);
  const headers = {
    'content-type': type,
    'content-length': String(Buffer.byteLength(body)),
    ...ownHeaders(refusal),
    connection: 'close',
    date: new Date().toUTCString(),
    ...more,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? ''}\r\n${lines.join('')}\r\n${refused?.method === 'HEAD' ? '' : body}`;
}
