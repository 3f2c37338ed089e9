import type { PostgresRole } from './policy.js';

/** What the start-up packet pins for every restricted role. */
const PINNED: Readonly<Record<string, string>> = { client_encoding: 'UTF8', standard_conforming_strings: 'on' };
/** What must stay as the server reported it first: whose rights apply, and what names mean. */
const KEPT: ReadonlySet<string> = new Set(['session_authorization', 'is_superuser', 'search_path']);

/**
 * Whether a setting that the server reports (ParameterStatus) is as the role needs it. Pure.
 * @param first - what the server reported before the session began
 */
export function isAsPinned(
  role: PostgresRole,
  first: ReadonlyMap<string, string>,
  name: string,
  value: string,
): boolean {
  if (role.any) return true;
  if (name === 'default_transaction_read_only') return !role.readOnly || value === 'on';
  if (KEPT.has(name)) return (first.get(name) ?? value) === value;
  const pinned = PINNED[name];
  return pinned === undefined || pinned === value;
}
