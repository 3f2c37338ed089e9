import type { Proof } from '../gate/credential.js';
import type { Grant } from '../grant/grant.js';
import { readScramVerifier } from '../grant/scram.js';
import { type Input, MOST_PASSWORD } from './input.js';
import { ScramError, ScramServer } from './scram-server.js';
import { saslContinue, saslFinal, saslMechanisms } from './wire/backend.js';
import { readSaslInitialResponse, readSaslResponse } from './wire/frontend.js';

/** How a client shows that it has a handle: by sending it, or by proving that it knows it. Or it was known before it came. */
export type Login =
  | { readonly kind: 'password'; readonly password: string }
  | { readonly kind: 'known' }
  | { readonly kind: 'scram'; readonly grantId: string; proof(binding: Buffer | null): Proof; end(): void };

/** Whom a user name says somebody is, and of which grant it is a proof that follows: `alice+<grant id>` (DETAILS.md, Grants). */
export function readUser(user: string): { readonly principal: string; readonly grantId: string | null } {
  const plus = user.lastIndexOf('+');
  if (plus === -1) return { principal: user, grantId: null };
  return { principal: user.slice(0, plus), grantId: user.slice(plus + 1) };
}

/**
 * The SCRAM-SHA-256 login of `user=alice+<grant id>`, for clients that refuse to send a password in clear (PROTOCOLS.md, 7).
 * The exchange waits for the grant's verifier, which only the gate can look up.
 */
export function scramLogin(input: Input, grantId: string): Login {
  let proven: { readonly verifier: string; readonly outcome: Promise<boolean> } | null = null;
  const holds = (grant: Grant, binding: Buffer | null): Promise<boolean> => {
    if (grant.scram === null) return Promise.resolve(false);
    // Asked again for the same verifier (the grant was renewed meanwhile), the one exchange still stands.
    if (proven === null) proven = { verifier: grant.scram, outcome: exchange(input, grant.scram, binding) };
    return proven.verifier === grant.scram ? proven.outcome : Promise.resolve(false);
  };
  return {
    kind: 'scram',
    grantId,
    proof: (binding) => ({ grantId, holds: (grant) => holds(grant, binding) }),
    end: () => void input.release(),
  };
}

/** @throws StartupRefused when the client leaves or breaks the protocol */
async function exchange(input: Input, verifierText: string, binding: Buffer | null): Promise<boolean> {
  const verifier = readScramVerifier(verifierText);
  if (verifier === null) return false;
  const { socket } = input;
  const server = new ScramServer(verifier, binding);
  try {
    socket.write(saslMechanisms(ScramServer.mechanisms(binding)));
    const { mechanism, data } = readSaslInitialResponse(await input.message('p', MOST_PASSWORD));
    socket.write(saslContinue(server.first(mechanism, data)));
    const answer = server.final(readSaslResponse(await input.message('p', MOST_PASSWORD)));
    input.expectNothing();
    socket.write(saslFinal(answer));
    return true;
  } catch (thrown) {
    if (thrown instanceof ScramError) return false;
    throw thrown;
  }
}
