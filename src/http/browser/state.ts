import { readTarget } from '../path.js';

/** What a browser keeps at a service's host while it is handed over: a nonce, and where it wanted to go. */
export interface State {
  readonly nonce: string;
  /** A path of this host with its query, normalised. */
  readonly target: string;
}

/** How long the way may take, seconds. */
export const STATE_LASTS = 120;
/** Longer targets are not kept: a cookie has 4096 bytes at most. */
const LONGEST = 2_000;

/** As the cookie's value. What cannot be led back to becomes the first page. */
export function packState(nonce: string, target: string): string {
  const kept = target.length <= LONGEST ? safeTarget(target) : '/';
  return `${nonce}.${Buffer.from(kept, 'latin1').toString('base64url')}`;
}

/** Reads the cookie; null when it is none of ours. */
export function unpackState(value: string): State | null {
  const [, nonce, target] = /^([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]*)$/.exec(value) ?? [];
  if (nonce === undefined || target === undefined) return null;
  return { nonce, target: safeTarget(Buffer.from(target, 'base64url').toString('latin1')) };
}

/**
 * A target of this very host: an origin-form path that has one meaning (`//evil`, `/\evil` and absolute addresses have none
 * here), else the first page.
 */
function safeTarget(text: string): string {
  const target = readTarget(text);
  return target.ok ? target.path + target.query : '/';
}
