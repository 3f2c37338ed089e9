import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { compactVerify } from 'jose';
import { z } from 'zod';
import { ALGORITHM } from '../grant/claims.js';
import type { Grant } from '../grant/grant.js';
import type { KeyRing } from '../grant/keys.js';
import { openToken } from '../grant/verify.js';
import { closeOutPage, jwsOfPage } from './closeout-page.js';
import { type CloseOutRecord, closeOutSchema } from './closeout-record.js';
import { CLOSEOUT_TYPE, closeOutFile } from './closeout-sign.js';

/** What is wrong with a close-out, one sentence for a person. */
export interface CloseOutFinding {
  readonly fault:
    | 'not_a_closeout'
    | 'wrong_type'
    | 'unknown_key'
    | 'bad_signature'
    | 'unknown_format'
    | 'record_differs'
    | 'reformatted'
    | 'page_differs'
    | 'grant_not_signed'
    | 'grant_differs'
    | 'grant_missing'
    | 'audit_line_differs';
  readonly message: string;
}

export interface CloseOutCheck {
  /** Nothing was found. */
  readonly ok: boolean;
  /** What was signed, when the signature holds: believe this, and not what else the file says. */
  readonly record: CloseOutRecord | null;
  /** What holds, one sentence each. */
  readonly holds: readonly string[];
  readonly findings: readonly CloseOutFinding[];
}

const headerSchema = z.strictObject({ alg: z.literal(ALGORITHM), typ: z.string(), kid: z.string() });
/** RFC 7515, section 3.1. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const fileSchema = z.strictObject({ record: z.unknown(), jws: z.string().regex(COMPACT) });

/**
 * Verifies a close-out file, or its printable page, offline: who signed it, that the file says what was signed and nothing
 * else, and that the grants within it are signed too. Pure: text and keys in, findings out.
 * @param keys - the gateway's published keys, those of before among them
 */
export async function verifyCloseOut(text: string, keys: KeyRing): Promise<CloseOutCheck> {
  const jws = jwsOf(text);
  if (jws === null) return failed('not_a_closeout', 'This is no close-out record: it holds no signature.');
  const payload = await openedPayload(jws, keys);
  if (typeof payload !== 'string') return { ok: false, record: null, holds: [], findings: [payload] };
  const record = recordOf(payload);
  if (record === null) return failed('unknown_format', 'It is signed, but of a form that this version does not know.');
  const findings = [
    ...shownFindings(text, payload, jws, record),
    ...(await grantFindings(record, keys)),
    ...missingFindings(record),
    ...auditFindings(record),
  ];
  return { ok: findings.length === 0, record, holds: whatHolds(record, findings), findings };
}

function jwsOf(text: string): string | null {
  const ofPage = jwsOfPage(text);
  if (ofPage !== null) return COMPACT.test(ofPage) ? ofPage : null;
  const file = fileSchema.safeParse(parsed(text));
  return file.success ? file.data.jws : null;
}

/** The text that was signed, or why it is not believed. */
async function openedPayload(jws: string, keys: KeyRing): Promise<string | CloseOutFinding> {
  const [header = '', payload = '', signature = ''] = jws.split('.');
  const said = headerSchema.safeParse(parsed(decoded(header) ?? ''));
  if (!said.success || said.data.typ !== CLOSEOUT_TYPE)
    return finding('wrong_type', `What is signed here is no close-out (${CLOSEOUT_TYPE}).`);
  const key = keys.get(said.data.kid);
  if (key === undefined) {
    const message = `It names the key ${JSON.stringify(said.data.kid)}, which is not among those given.`;
    return finding('unknown_key', message);
  }
  const genuine = await compactVerify(jws, key, { algorithms: [ALGORITHM] }).then(
    () => true,
    () => false,
  );
  const text = decoded(payload);
  // Decoders forgive what stands in the last character's unused bits; one signature has one text here.
  const exact = Buffer.from(signature, 'base64url').toString('base64url') === signature;
  if (genuine && exact && text !== null) return text;
  return finding('bad_signature', 'The signature does not hold: this is not what was signed.');
}

/** Whether the file, or the page, says what was signed: to the byte. */
function shownFindings(text: string, payload: string, jws: string, record: CloseOutRecord): CloseOutFinding[] {
  if (jwsOfPage(text) !== null) {
    if (text === closeOutPage(record, jws)) return [];
    const message =
      'The page does not show what was signed, or was made by another version of Daypass: verify its JSON file instead.';
    return [finding('page_differs', message)];
  }
  if (text === closeOutFile(payload, jws)) return [];
  const file = fileSchema.safeParse(parsed(text));
  return file.success && isDeepStrictEqual(file.data.record, parsed(payload))
    ? [finding('reformatted', 'The file was written anew: take the bytes as the gateway gave them.')]
    : [finding('record_differs', 'The record in the file is not the one that was signed.')];
}

async function grantFindings({ request, grants }: CloseOutRecord, keys: KeyRing): Promise<CloseOutFinding[]> {
  const findings: CloseOutFinding[] = [];
  for (const grant of grants) {
    for (const token of new Set([grant.token, ...grant.acts.flatMap(({ token }) => token ?? [])])) {
      const signed = await openToken(token, keys);
      if (signed === null) {
        findings.push(finding('grant_not_signed', `A token of grant ${grant.id} is not signed by a key given.`));
      } else if (signed.id !== grant.id || signed.principal !== grant.principal || signed.service !== grant.service) {
        findings.push(finding('grant_differs', `A token of grant ${grant.id} is that of another grant.`));
      } else if ((signed.request ?? request.id) !== request.id) {
        findings.push(finding('grant_differs', `Grant ${grant.id} comes from another request.`));
      } else if (token === grant.token && saidOf(signed) !== saidOf(grant)) {
        findings.push(
          finding('grant_differs', `Grant ${grant.id} was signed with another role, sponsor or other times.`),
        );
      } else if (signed.request !== null && !isAsked(signed, request)) {
        findings.push(
          finding('grant_differs', `Grant ${grant.id} was signed for something else than the request says.`),
        );
      }
    }
  }
  return findings;
}

/** What the acts tell of grants, the record must have. */
function missingFindings({ grants, acts }: CloseOutRecord): CloseOutFinding[] {
  const known = new Set<unknown>(grants.map(({ id }) => id));
  const named = acts.flatMap(({ detail }) => [detail.grant, detail.former]).filter((id) => typeof id === 'string');
  return [...new Set(named)]
    .filter((id) => !known.has(id))
    .map((id) => finding('grant_missing', `An act names the grant ${id}, which is not in the record.`));
}

/** Whether a grant is what the request says was agreed; rules that the policy had no more when it was made are not in it. */
function isAsked({ role, reason, window, nda, only }: Grant, request: CloseOutRecord['request']): boolean {
  const { allowedOnly } = request;
  const rules = allowedOnly === null ? only === null : only?.every((text) => allowedOnly.includes(text)) === true;
  const same = role === (request.allowedRole ?? request.role) && reason === request.task;
  return same && window === request.hours && nda === request.nda && rules;
}

interface Said {
  readonly role: string;
  readonly sponsor: string;
  readonly issuedAt: number | string;
  readonly notBefore: number | string;
  readonly expiresAt: number | string;
  readonly renewals: number;
}

function saidOf({ role, sponsor, issuedAt, notBefore, expiresAt, renewals }: Said): string {
  const times = [issuedAt, notBefore, expiresAt].map((at) => new Date(at).getTime());
  return JSON.stringify([role, sponsor, renewals, ...times]);
}

function auditFindings({ audit }: CloseOutRecord): CloseOutFinding[] {
  return audit.lines.flatMap(({ seq, entry, before, hash }) => {
    const digest = createHash('sha256').update(Buffer.from(before, 'hex')).update(entry).digest('hex');
    if (digest === hash) return [];
    return [finding('audit_line_differs', `Line ${seq} of the audit log does not have the hash that stands there.`)];
  });
}

function whatHolds(record: CloseOutRecord, findings: readonly CloseOutFinding[]): string[] {
  const lacks = (...faults: CloseOutFinding['fault'][]) => !findings.some(({ fault }) => faults.includes(fault));
  const { grants, audit } = record;
  return [
    'the record was signed by a key given',
    ...(lacks('record_differs', 'reformatted', 'page_differs') ? ['the file says what was signed, to the byte'] : []),
    ...(lacks('grant_not_signed', 'grant_differs', 'grant_missing')
      ? [`its grants are signed too (${grants.length})`]
      : []),
    ...(lacks('audit_line_differs') ? [`its lines of the audit log have their hashes (${audit.lines.length})`] : []),
  ];
}

function recordOf(payload: string): CloseOutRecord | null {
  return closeOutSchema.safeParse(parsed(payload)).data ?? null;
}

/** The text of a base64url part; null for bytes that are no UTF-8. */
function decoded(part: string): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(part, 'base64url'));
  } catch {
    return null;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function finding(fault: CloseOutFinding['fault'], message: string): CloseOutFinding {
  return { fault, message };
}

function failed(fault: CloseOutFinding['fault'], message: string): CloseOutCheck {
  return { ok: false, record: null, holds: [], findings: [finding(fault, message)] };
}
