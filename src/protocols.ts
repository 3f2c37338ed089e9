import type { Protocol } from './gate/protocol.js';
import { httpProtocol } from './http/protocol.js';
import { postgresProtocol } from './postgres/protocol.js';
import { loadParser } from './postgres/sql/parser.js';

/**
 * The protocols this build serves. Nothing central knows more of them than this list: whoever holds one gives it the roles
 * and actions that it made itself, which types cannot say of a list of different ones.
 */
const protocols = [httpProtocol, postgresProtocol] as unknown as readonly Protocol[];

/** The protocols, ready to decide: the SQL parser is loaded first. */
export async function loadProtocols(): Promise<readonly Protocol[]> {
  await loadParser();
  return protocols;
}
