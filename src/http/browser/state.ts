import { digestOf } from '../../identity/secret.js';
import { readTarget } from '../path.js';
import { cookiesBeginning, STATE_COOKIES } from './cookies.js';

/** What a browser keeps at a service's host while one of its tabs is handed over: a nonce, and where it wanted to go. */
export interface State {
  /** Of its cookie. */
  readonly name: string;
  /** SHA-256 of its nonce: what the code is made for. */
  readonly bind: Buffer;
  /** A path of this host with its query, normalised. */
  readonly target: string;
}

/** How long the way may take, seconds. */
export const STATE_LASTS = 120;
/** Longer targets are not kept: the head of a request has room for the states of some tabs at once. */
const LONGEST = 1_000;
/** What the states of all tabs may take in the head of a request, bytes. */
const ROOM = 6 * 1024;

/** A state as a cookie. What cannot be led back to becomes the first page. */
export function packState(nonce: string, target: string): { readonly name: string; readonly value: string } {
  const kept = target.length <= LONGEST ? safeTarget(target) : '/';
  return { name: nameFor(digestOf(nonce)), value: `${nonce}.${Buffer.from(kept, 'latin1').toString('base64url')}` };
}

/** The states that a browser holds, the oldest first (RFC 6265 section 5.4). @param cookies - values of its Cookie headers */
export function readStates(cookies: readonly string[]): readonly State[] {
  return [...cookiesBeginning(cookies, STATE_COOKIES)].flatMap(([name, value]) => unpackState(name, value) ?? []);
}

/** Names of the oldest of our cookies here that have to go before `more` bytes come. */
export function oldestStates(cookies: readonly string[], more: number): readonly string[] {
  const held = [...cookiesBeginning(cookies, STATE_COOKIES)];
  let room = ROOM - more;
  const kept = held.reverse().filter(([name, value]) => {
    room -= name.length + value.length;
    return room >= 0;
  });
  return held.filter((one) => !kept.includes(one)).map(([name]) => name);
}

function unpackState(name: string, value: string): State | null {
  const [, nonce, target] = /^([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]*)$/.exec(value) ?? [];
  if (nonce === undefined || target === undefined) return null;
  const bind = digestOf(nonce);
  if (name !== nameFor(bind)) return null;
  return { name, bind, target: safeTarget(Buffer.from(target, 'base64url').toString('latin1')) };
}

function nameFor(bind: Buffer): string {
  return `${STATE_COOKIES}-${bind.toString('base64url').slice(0, 8)}`;
}

/**
 * A target of this very host: an origin-form path that has one meaning (`//evil`, `/\evil` and absolute addresses have none
 * here), else the first page.
 */
export function safeTarget(text: string): string {
  const target = readTarget(text);
  return target.ok ? target.path + target.query : '/';
}
