import { decodeJwt } from 'jose';
import type { PolicySource } from './policy.js';
import type { Transaction } from './transact.js';

/** What a grant allows and what was used of it, in the texts of its role's rules. */
export interface Usage {
  readonly granted: readonly string[];
  readonly used: readonly string[];
  readonly sessions: number;
}

/** `wider`: less was used than is granted. */
export type Standing = 'unused' | 'used' | 'wider';

export function standingOf({ granted, used, sessions }: Usage): Standing {
  if (sessions === 0) return 'unused';
  return used.length < granted.length ? 'wider' : 'used';
}

/** Grants of one subject: a request's former ones too, since a new handle makes a new grant. */
const GRANTS = `
  select $2::text as id union select detail ->> 'grant' from request_acts where request_id = $1 and act = 'activate'`;
const SESSIONS = `
  select count(*)::int as sessions from sessions
  where grant_id in (${GRANTS}) and end_reason is distinct from 'refused'`;
const RULES = `
  select distinct unnest(i.rules) as rule from sessions s join block_index i on i.session_id = s.id
  where s.grant_id in (${GRANTS})`;

/**
 * What was granted against what the record says decided. The index lags a second behind the record.
 * @param request - null for a grant that no request made
 */
export async function usageOf(
  ask: Transaction['ask'],
  policies: Pick<PolicySource, 'get'>,
  { request, grant }: { readonly request: string | null; readonly grant: string },
): Promise<Usage> {
  const [row] = await ask('select service, role, token from grants where id = $1', [grant]);
  const [counted] = await ask(SESSIONS, [request, grant]);
  const rules = (await ask(RULES, [request, grant])).map(({ rule }) => String(rule));
  const role = String(row?.role);
  const all = policies.get(String(row?.service))?.rulesOf(role) ?? [];
  const only = onlyOf(String(row?.token));
  const granted = only === null ? all : all.filter((text) => only.includes(text));
  const used = granted.filter((text) => rules.some((named) => names(named, role, text)));
  return { granted, used, sessions: Number(counted?.sessions ?? 0) };
}

/** Whether a decision names a rule: alone, or behind its role among others. Where a rule says `any`, none is told apart. */
function names(named: string, role: string, text: string): boolean {
  if (named === `${role}: any`) return true;
  const rest = named.startsWith(`${role}: `) ? named.slice(role.length + 2) : named;
  return named === text || `; ${rest}; `.includes(`; ${text}; `);
}

/** A token that cannot be read narrows nothing: this informs, and decides nothing. */
function onlyOf(token: string): readonly string[] | null {
  try {
    const { only } = decodeJwt(token);
    return Array.isArray(only) ? only.map(String) : null;
  } catch {
    return null;
  }
}
