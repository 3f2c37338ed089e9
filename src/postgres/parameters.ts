import { type Decision, deny } from '../policy/decision.js';
import { refuseTimeout } from './limits.js';
import type { PostgresRole } from './role.js';

/** Start-up parameters a client may choose, by their lower-case names (PROTOCOLS.md, "Start and TLS", 6). */
const FREE: ReadonlySet<string> = new Set([
  'application_name',
  'datestyle',
  'timezone',
  'intervalstyle',
  'extra_float_digits',
  'bytea_output',
  'client_min_messages',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'geqo',
  'jit',
]);

/** What the client asked for, as it will stand in the upstream's start-up packet; or why not. */
export type StartupParameters =
  | { readonly ok: true; readonly parameters: Map<string, string> }
  | { readonly ok: false; readonly decision: Decision };

/**
 * Rebuilds the start-up packet from an allow-list: nothing a client chose is passed on unread (THREATS.md C20). What the
 * role pins stands in the packet itself, so that RESET and DISCARD restore it.
 */
export function startupParameters(asked: ReadonlyMap<string, string>, role: PostgresRole): StartupParameters {
  const wanted = new Map<string, string>();
  for (const [name, value] of asked) {
    if (name === 'user' || name === 'database') continue;
    if (name !== 'options') {
      wanted.set(name.toLowerCase(), value);
      continue;
    }
    const options = readOptions(value);
    if (options === null) return refused('options', 'cannot be read');
    for (const [option, setting] of options) wanted.set(option, setting);
  }
  const out = new Map<string, string>();
  for (const [name, value] of wanted) {
    const problem = role.any ? refusedForAnyone(name, value) : refusedForRole(name, value, role);
    if (problem !== null) return refused(name, problem);
    out.set(name, value);
  }
  if (role.statementTimeout !== null && !out.has('statement_timeout'))
    out.set('statement_timeout', String(role.statementTimeout));
  out.set('client_encoding', 'UTF8');
  if (!role.any) {
    out.set('standard_conforming_strings', 'on');
    out.set('search_path', role.searchPath.map((schema) => `"${schema.replaceAll('"', '""')}"`).join(', '));
    if (role.readOnly) out.set('default_transaction_read_only', 'on');
  }
  return { ok: true, parameters: out };
}

function refusedForAnyone(name: string, value: string): string | null {
  if (name === 'replication')
    return ['false', 'off', 'no', '0'].includes(value.toLowerCase()) ? null : 'replication is not offered';
  if (name === 'client_encoding') return isUtf8(value) ? null : 'only UTF8 is offered';
  return null;
}

function refusedForRole(name: string, value: string, role: PostgresRole): string | null {
  if (name === 'search_path') {
    const asked = value.split(',').map((schema) => schema.trim().replace(/^"(.*)"$/, '$1'));
    return asked.join() === role.searchPath.join() ? null : `the role's search path is ${role.searchPath.join(', ')}`;
  }
  if (name === 'standard_conforming_strings') return value === 'on' ? null : 'it stays on';
  if (name === 'statement_timeout') return refuseTimeout(value, role.statementTimeout);
  if (name === 'client_encoding' || name === 'replication') return refusedForAnyone(name, value);
  return FREE.has(name) ? null : 'this role may not set it';
}

function isUtf8(value: string): boolean {
  return /^'?(utf-?8|unicode|auto)'?$/i.test(value);
}

function refused(name: string, problem: string): StartupParameters {
  const shown = JSON.stringify(name.slice(0, 63));
  return {
    ok: false,
    decision: deny(
      'out_of_scope',
      'start-up parameters',
      `start-up parameter ${shown}: ${problem}`,
      'leave it out of the connection string',
    ),
  };
}

/**
 * Reads `-c name=value`, `-cname=value` and `--name=value`, with backslash escapes, as the server does (`pg_split_opts`).
 * @returns null for anything else
 */
function readOptions(text: string): Map<string, string> | null {
  const words = text.match(/(?:\\.|[^\s\\])+/gs)?.map((word) => word.replace(/\\(.)/gs, '$1')) ?? [];
  const out = new Map<string, string>();
  for (let i = 0; i < words.length; i += 1) {
    let word = words[i]!;
    if (word === '-c') word = words[++i] ?? '';
    else if (word.startsWith('--')) word = word.slice(2);
    else if (word.startsWith('-c')) word = word.slice(2);
    else return null;
    const equals = word.indexOf('=');
    if (equals < 1) return null;
    out.set(word.slice(0, equals).replaceAll('-', '_').toLowerCase(), word.slice(equals + 1));
  }
  return out;
}
