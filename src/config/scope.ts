import type { ProtocolConfig, ServicePolicy } from './protocol.js';

/**
 * What a policy says of its roles' rules, by the words of its protocol. A narrowing can name only rules that the role has:
 * whatever else it says allows nothing.
 */
export function scopeOf(
  protocol: Pick<ProtocolConfig, 'rulesOf' | 'narrow' | 'looser'>,
  roles: ReadonlyMap<string, unknown>,
): Pick<ServicePolicy, 'rulesOf' | 'roleFor' | 'looser'> {
  return {
    rulesOf: (name) => (roles.has(name) ? protocol.rulesOf(roles.get(name)) : []),
    roleFor: (name, only) => {
      if (only === null || !roles.has(name)) return roles.get(name);
      const role = roles.get(name);
      const has = new Set(protocol.rulesOf(role));
      return protocol.narrow(role, new Set(only.filter((text) => has.has(text))));
    },
    looser: (name, than) => {
      if (!roles.has(name) || !roles.has(than)) return ['the role itself'];
      return protocol.looser(roles.get(name), roles.get(than));
    },
  };
}
