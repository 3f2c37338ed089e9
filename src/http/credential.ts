import type { Header } from './action.js';
import { valuesOf } from './headers.js';

/** What a client presented: one credential or none; `null` when it contradicts itself. */
export type Credential = { readonly presented: string | null } | null;

/**
 * The handle of a request: `Authorization: Bearer <handle>` or `Daypass-Handle: <handle>`. Neither is ever forwarded.
 * @returns null when one stands twice or the two differ: nobody guesses which one was meant
 */
export function readCredential(headers: readonly Header[]): Credential {
  const bearers = valuesOf(headers, 'authorization').map((value) => /^bearer +(\S+) *$/i.exec(value)?.[1] ?? '');
  const handles = valuesOf(headers, 'daypass-handle').map((value) => value.trim());
  if (bearers.length > 1 || handles.length > 1) return null;
  const [bearer] = bearers;
  const [handle] = handles;
  // Another scheme beside a handle (Basic for the service itself) is not ours to forward, nor a second credential.
  if (handle !== undefined)
    return bearer === undefined || bearer === '' || bearer === handle ? { presented: handle } : null;
  return { presented: bearer ?? null };
}
