import { CompactSign } from 'jose';
import { ALGORITHM } from '../grant/claims.js';
import type { SigningKey } from '../grant/keys.js';
import type { CloseOutRecord } from './closeout-record.js';

/** Neither a grant's type nor an assertion's: none can be taken for another, though one key signs them all. */
export const CLOSEOUT_TYPE = 'daypass-closeout+jwt';

/** A record and its signature. */
export interface SignedCloseOut {
  readonly record: CloseOutRecord;
  /** Compact JWS (RFC 7515) whose payload is the record's very bytes in the file. */
  readonly jws: string;
}

/** Signs a record with the key that signs grants. */
export async function signCloseOut(record: CloseOutRecord, key: SigningKey): Promise<SignedCloseOut> {
  const jws = await new CompactSign(new TextEncoder().encode(JSON.stringify(record)))
    .setProtectedHeader({ alg: ALGORITHM, typ: CLOSEOUT_TYPE, kid: key.kid })
    .sign(key.privateKey);
  return { record, jws };
}

/**
 * The file of a signed record. It is put together from the payload's text and never written anew from its values: one record
 * has one file, so any other byte is a change.
 * @param payload - the record's JSON text, as it was signed
 */
export function closeOutFile(payload: string, jws: string): string {
  return `{"record":${payload},"jws":"${jws}"}\n`;
}
