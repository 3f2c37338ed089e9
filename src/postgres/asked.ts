import type { Carried } from '../gate/carried.js';
import type { Credential } from '../gate/credential.js';
import type { AdmitRequest } from '../gate/gate.js';
import { refused } from './input.js';
import { type Login, readUser } from './login.js';

/** What a client asks the gate for, and what with. */
export type Asked = Pick<AdmitRequest, 'service' | 'credential' | 'principal' | 'via'>;

/**
 * A client that comes to the port names its service, and shows a handle.
 * @param binding - what a SCRAM proof must be bound to (RFC 5929); null without TLS of ours
 */
export function askedAtPort(parameters: ReadonlyMap<string, string>, login: Login, binding: Buffer | null): Asked {
  const user = parameters.get('user') ?? '';
  const service = parameters.get('database') || user;
  return { service, credential: credentialOf(login, binding), principal: readUser(user).principal };
}

function credentialOf(login: Login, binding: Buffer | null): Credential {
  if (login.kind === 'known') return null;
  return login.kind === 'password' ? login.password : login.proof(binding);
}

/**
 * In a tunnel the person and the service are settled. A client that asks for another database has taken one port for
 * another: what it would run is meant for elsewhere.
 * @throws StartupRefused
 */
export function askedInTunnel(parameters: ReadonlyMap<string, string>, { service, proof, principal }: Carried): Asked {
  const database = parameters.get('database') || service;
  if (database === service) return { service, credential: proof, principal, via: 'tunnel' };
  const leads = `this connection leads to ${service}, and to no other database`;
  throw refused('3D000', leads, `connect with dbname=${service}`, 'the database of the tunnel');
}
