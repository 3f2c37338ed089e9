import type { ServicePolicy } from '../config/protocol.js';
import type { Decision } from '../policy/decision.js';
import { decide, type PostgresAction } from './decide.js';
import { type PostgresRole, postgresRole } from './role.js';

/**
 * A refusal with what its reader can do about it: which role of the service would allow the action, and whom to ask for
 * a grant with it. A role knows only itself; the service knows its neighbours and its owner. Pure.
 */
export function advise(decision: Decision, action: PostgresAction, service: ServicePolicy): Decision {
  if (decision.reason !== 'out_of_scope' && decision.reason !== 'unknown_effect') return decision;
  const roles = [...service.roles.values()].map(postgresRole);
  // The least that will do: the roles in their order, those that may do anything last.
  const would = roles.toSorted((a, b) => Number(a.any) - Number(b.any)).find((role) => wouldAllow(role, action));
  if (would) return { ...decision, hint: `ask ${service.owner} for a grant with the role ${would.name}` };
  const own = decision.hint === '' ? '' : `${decision.hint}; `;
  return { ...decision, hint: `${own}no role of ${service.name} allows it: ask ${service.owner}` };
}

/** What cannot be decided is no advice. */
function wouldAllow(role: PostgresRole, action: PostgresAction): boolean {
  try {
    return decide(role, action).outcome === 'allow';
  } catch {
    return false;
  }
}
