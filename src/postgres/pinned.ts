import type { Session } from '../session/session.js';
import { type PostgresRole, postgresRole } from './role.js';

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
  // What a role that only reads may empty (judge.ts).
  if (name === 'search_path' && role.readOnly && /^(?:"")?$/.test(value)) return true;
  if (KEPT.has(name)) return (first.get(name) ?? value) === value;
  const pinned = PINNED[name];
  return pinned === undefined || pinned === value;
}

/**
 * A reported setting as the client is told it. Pure. Whose session it is, is the principal's business (psql's prompt shows
 * it); which account the gateway has there is not. Whether that is a superuser is said as it is: psql's prompt warns by it.
 */
export function asShown({ role, grant }: Pick<Session, 'role' | 'grant'>, name: string, value: string): string {
  const account = postgresRole(role).upstream.user;
  return name === 'session_authorization' && value === account ? grant.principal : value;
}
