import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server';
import { z } from 'zod';
import { DaypassError } from '../errors.js';
import { CEREMONY_LASTS } from './ceremonies.js';
import { digestOf } from './secret.js';

/*
 * WebAuthn (W3C, level 3) as this gateway wants it: passkeys that name their owner, made and used by a person whom the
 * authenticator has verified, at the gateway's own origin, without attestation.
 */

/** Loaded when the first passkey is asked for: the library takes longer than everything else that a gateway starts with. */
const library = () => import('@simplewebauthn/server');
const helpers = () => import('@simplewebauthn/server/helpers');

/** ES256, EdDSA, RS256 (RFC 9053, RFC 8812): what platforms and security keys have. */
const ALGORITHMS = [-7, -8, -257];

/** Where passkeys are valid: a host, and the origin of its pages. */
export interface Place {
  readonly rpId: string;
  /** `https://gw.example.com` */
  readonly origin: string;
}

/** A passkey as it is kept. */
export interface Credential {
  readonly credential: Buffer;
  /** COSE (RFC 9052). */
  readonly publicKey: Buffer;
  /** 0: the authenticator keeps none. */
  readonly counter: number;
}

const bytes = z.base64url().max(16_384);

/** A browser's answer to `navigator.credentials.create`; what else it says is not looked at. */
const registrationSchema = z.object({
  id: bytes.min(1),
  rawId: bytes,
  type: z.literal('public-key'),
  response: z.object({ clientDataJSON: bytes, attestationObject: bytes }),
});

/** A browser's answer to `navigator.credentials.get`. */
const assertionSchema = z.object({
  id: bytes.min(1),
  rawId: bytes,
  type: z.literal('public-key'),
  response: z.object({
    clientDataJSON: bytes,
    authenticatorData: bytes,
    signature: bytes,
    userHandle: bytes.nullish(),
  }),
});

export type Assertion = z.output<typeof assertionSchema>;

/** What the browser makes a passkey by. @param known - passkeys of theirs, of which an authenticator makes no second one */
export async function creationOptions(
  { rpId }: Pick<Place, 'rpId'>,
  person: { readonly subject: string; readonly name: string },
  challenge: string,
  known: readonly Buffer[],
): Promise<PublicKeyCredentialCreationOptionsJSON> {
  const { generateRegistrationOptions } = await library();
  return generateRegistrationOptions({
    rpName: 'Daypass',
    rpID: rpId,
    userID: new Uint8Array(handleOf(rpId, person.subject)),
    userName: person.subject,
    userDisplayName: person.name,
    challenge: new Uint8Array(Buffer.from(challenge, 'base64url')),
    timeout: CEREMONY_LASTS,
    attestationType: 'none',
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    excludeCredentials: known.map((id) => ({ id: id.toString('base64url') })),
    supportedAlgorithmIDs: ALGORITHMS,
  });
}

/** What the browser uses a passkey by: whichever the person chooses. */
export async function requestOptions(
  { rpId }: Pick<Place, 'rpId'>,
  challenge: string,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  const { generateAuthenticationOptions } = await library();
  return generateAuthenticationOptions({
    rpID: rpId,
    challenge: new Uint8Array(Buffer.from(challenge, 'base64url')),
    timeout: CEREMONY_LASTS,
    userVerification: 'required',
  });
}

/**
 * @param challenge - SHA-256 of the one it must answer
 * @throws DaypassError `passkey_refused`
 */
export async function verifyCreation({ rpId, origin }: Place, challenge: Buffer, answer: unknown): Promise<Credential> {
  const parsed = registrationSchema.safeParse(answer);
  if (!parsed.success) throw refused(parsed.error);
  const response: RegistrationResponseJSON = { ...parsed.data, clientExtensionResults: {} };
  const { verifyRegistrationResponse } = await library();
  try {
    await checkUnattested(response.response.attestationObject);
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      response,
      expectedChallenge: answers(challenge),
      expectedOrigin: origin,
      expectedRPID: rpId,
      requireUserVerification: true,
      supportedAlgorithmIDs: ALGORITHMS,
    });
    if (!verified) throw new Error('the attestation does not hold');
    const { id, publicKey, counter } = registrationInfo.credential;
    if (id !== response.id) throw new Error('the answer names another passkey than the authenticator');
    return { credential: Buffer.from(id, 'base64url'), publicKey: Buffer.from(publicKey), counter };
  } catch (cause) {
    throw refused(cause);
  }
}

/** @throws DaypassError `passkey_refused` for what is no answer at all */
export function readAssertion(answer: unknown): Assertion {
  const parsed = assertionSchema.safeParse(answer);
  if (!parsed.success) throw refused(parsed.error);
  return parsed.data;
}

/**
 * @param challenge - SHA-256 of the one it must answer
 * @returns the authenticator's counter; whether it went on is for the caller to judge, once the signature holds
 * @throws DaypassError `passkey_refused`
 */
export async function verifyAssertion(
  { rpId, origin }: Place,
  challenge: Buffer,
  { subject, publicKey }: { readonly subject: string; readonly publicKey: Buffer },
  { response: { userHandle, ...response }, ...answer }: Assertion,
): Promise<number> {
  const { verifyAuthenticationResponse } = await library();
  try {
    if (userHandle !== handleOf(rpId, subject).toString('base64url')) throw new Error('it names another person');
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response: { ...answer, response, clientExtensionResults: {} },
      expectedChallenge: answers(challenge),
      expectedOrigin: origin,
      expectedRPID: rpId,
      requireUserVerification: true,
      credential: { id: answer.id, publicKey: new Uint8Array(publicKey), counter: 0 },
    });
    if (!verified) throw new Error('the signature does not hold');
    return authenticationInfo.newCounter;
  } catch (cause) {
    throw refused(cause);
  }
}

/**
 * None is asked for. One with certificates is not even read: the library would follow the addresses of revocation lists in
 * them, which whoever sends it chooses.
 */
async function checkUnattested(attestationObject: string): Promise<void> {
  const { decodeAttestationObject } = await helpers();
  const attestation = decodeAttestationObject(new Uint8Array(Buffer.from(attestationObject, 'base64url')));
  const format = attestation.get('fmt');
  const itself = format === 'packed' && attestation.get('attStmt').get('x5c') === undefined;
  if (format !== 'none' && !itself) throw new Error(`it is attested (${format}), which nobody asked for`);
}

/** Throws itself: the library would put the challenge into its words. */
function answers(challenge: Buffer): (given: string) => boolean {
  return (given) => {
    if (digestOf(given).equals(challenge)) return true;
    throw new Error('it answers another challenge');
  };
}

/** What authenticators call a person by: 32 bytes that are nobody's name (WebAuthn section 14.6.1). */
function handleOf(rpId: string, subject: string): Buffer {
  return digestOf(`daypass passkeys of ${subject} at ${rpId}`);
}

function refused(cause: unknown): DaypassError {
  return new DaypassError('passkey_refused', 'The passkey was not accepted.', {
    cause,
    hint: 'Try again, in this browser, with a passkey of this gateway and a check of who you are (fingerprint, face, PIN).',
  });
}
