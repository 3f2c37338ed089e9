import { digestOf } from '../../identity/secret.js';
import { readServiceTarget } from '../rules/path.js';
import { cookiesBeginning, STATE_COOKIES } from './cookies.js';

/** What a browser keeps at a service's host while one of its tabs is handed over: a nonce, and where it wanted to go. */
export interface State {
  /** Names of its cookies. */
  readonly names: readonly string[];
  /** SHA-256 of its nonce: what the code is made for. */
  readonly bind: Buffer;
  /** A path of this host with its query, normalised. */
  readonly target: string;
}

/** How long the way may take, seconds. */
export const STATE_LASTS = 120;
/** Longer targets are not kept. */
const LONGEST = 1_000;
/** A target up to this length stands beside its nonce. */
const SHORT = 100;
/**
 * Longer ones have so many cookies for all tabs together. Tabs that are opened at the same moment do not see each other's
 * cookies: only by their names do they take no more than the head of a request has room for. A tab whose target another one's
 * has replaced comes in at the first page.
 */
const LONG_TARGETS = 6;
const LONG_TARGET = new RegExp(`^${STATE_COOKIES}-target-[0-${LONG_TARGETS - 1}]$`);
/** What the states of tabs that see each other's may take in the head of a request, bytes. */
const ROOM = 6 * 1024;

/** A cookie of ours, with what a Set-Cookie needs of it. */
interface Cookie {
  readonly name: string;
  readonly value: string;
}

/**
 * A state as cookies. What cannot be led back to becomes the first page.
 * @param turn - counts, so that long targets of some tabs at once have cookies of their own
 */
export function packState(nonce: string, target: string, turn: () => number): readonly Cookie[] {
  const kept = target.length <= LONGEST ? safeTarget(target) : '/';
  const name = nameFor(digestOf(nonce));
  const encoded = Buffer.from(kept, 'latin1').toString('base64url');
  if (kept.length <= SHORT) return [{ name, value: `${nonce}.${encoded}` }];
  const long = { name: `${STATE_COOKIES}-target-${turn() % LONG_TARGETS}`, value: `${ownPart(name)}.${encoded}` };
  return [{ name, value: `${nonce}.` }, long];
}

/** The states that a browser holds, the oldest first (RFC 6265 section 5.4). @param cookies - values of its Cookie headers */
export function readStates(cookies: readonly string[]): readonly State[] {
  const held = [...cookiesBeginning(cookies, STATE_COOKIES)].map(([name, value]): Cookie => ({ name, value }));
  const long = held.filter(({ name }) => LONG_TARGET.test(name));
  return held.flatMap((cookie) => unpackState(cookie, long) ?? []);
}

/**
 * Names of our cookies here that have to go before others come: the oldest, when there is no room for all, and those whose
 * place they take, since a cookie that is replaced stays as old as it was (RFC 6265 section 5.3).
 */
export function oldestStates(cookies: readonly string[], coming: readonly Cookie[]): readonly string[] {
  const held = [...cookiesBeginning(cookies, STATE_COOKIES)];
  let room = coming.reduce((left, { name, value }) => left - name.length - value.length, ROOM);
  const kept = held.reverse().filter(([name, value]) => {
    if (coming.some((one) => one.name === name)) return false;
    room -= name.length + value.length;
    return room >= 0;
  });
  return held.filter((one) => !kept.includes(one)).map(([name]) => name);
}

function unpackState({ name, value }: Cookie, long: readonly Cookie[]): State | null {
  const [, nonce, target] = /^([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]*)$/.exec(value) ?? [];
  if (nonce === undefined || target === undefined) return null;
  const bind = digestOf(nonce);
  if (name !== nameFor(bind)) return null;
  const beginning = `${ownPart(name)}.`;
  const apart = long.find((one) => one.value.startsWith(beginning));
  const encoded = apart === undefined ? target : apart.value.slice(beginning.length);
  const names = apart === undefined ? [name] : [name, apart.name];
  return { names, bind, target: safeTarget(Buffer.from(encoded, 'base64url').toString('latin1')) };
}

function nameFor(bind: Buffer): string {
  return `${STATE_COOKIES}-${bind.toString('base64url').slice(0, 8)}`;
}

/** What distinguishes a state's name from others'. */
function ownPart(name: string): string {
  return name.slice(-8);
}

/**
 * A target of this very host: an origin-form path that has one meaning (`//evil`, `/\evil` and absolute addresses have none
 * here), else the first page.
 */
export function safeTarget(text: string): string {
  const target = readServiceTarget(text);
  return target.ok ? target.path + target.query : '/';
}
