import type { Session } from '../session/session.js';
import { type PostgresRole, postgresRole } from './role.js';

/** What the start-up packet pins for every restricted role. */
const PINNED: Readonly<Record<string, string>> = { client_encoding: 'UTF8', standard_conforming_strings: 'on' };
/** What must stay as the server reported it first: whose rights apply. */
const KEPT: ReadonlySet<string> = new Set(['session_authorization', 'is_superuser']);

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
  if (name === 'search_path') {
    // What a role that only reads may empty (judge.ts).
    const mayBeEmpty = role.readOnly && /^(?:"")?$/.test(value);
    return mayBeEmpty || unquoted(first.get(name) ?? value) === unquoted(value);
  }
  if (KEPT.has(name)) return (first.get(name) ?? value) === value;
  const pinned = PINNED[name];
  return pinned === undefined || pinned === value;
}

/** Whether a name means the same with quotes, without them, and as an item of a list. */
export function isPlainName(name: string): boolean {
  return /^[a-z_][a-z0-9_]*$/.test(name);
}

/** A plain name is said with quotes as the session begins, and without them when a client has said it again (judge.ts). */
function unquoted(value: string): string {
  const inner = value.slice(1, -1);
  return value === `"${inner}"` && isPlainName(inner) ? inner : value;
}

/**
 * A reported setting as the client is told it. Pure. Whose session it is, is the principal's business (psql's prompt shows
 * it); which account the gateway has there is not. Whether that is a superuser is said as it is: psql's prompt warns by it.
 */
export function asShown({ role, grant }: Pick<Session, 'role' | 'grant'>, name: string, value: string): string {
  const account = postgresRole(role).upstream.user;
  return name === 'session_authorization' && value === account ? grant.principal : value;
}
