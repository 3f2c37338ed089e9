import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { compactVerify } from 'jose';
import { z } from 'zod';
import { ALGORITHM } from '../grant/claims.js';
import type { Grant } from '../grant/grant.js';
import type { KeyRing } from '../grant/keys.js';
import { openToken } from '../grant/verify.js';
import { readJson } from '../json.js';
import { agreedFindings } from './closeout-agreed.js';
import { auditedFindings } from './closeout-audited.js';
import { exportFindings } from './closeout-export.js';
import { type CloseOutFinding, finding } from './closeout-finding.js';
import { closeOutPage, jwsOfPage } from './closeout-page.js';
import { type CloseOutRecord, closeOutSchema } from './closeout-record.js';
import { CLOSEOUT_TYPE, closeOutFile } from './closeout-sign.js';
import { type Tokens, termFindings } from './closeout-terms.js';

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
 * else, that the grants within it are signed too, that they follow from the request and its approvals, and that the audit log
 * tells of each of these.
 * @param keys - the gateway's published keys, those of before among them
 * @param log - the lines of an export of the audit log, where there is one: the record's are held to it
 */
export async function verifyCloseOut(
  text: string,
  keys: KeyRing,
  log?: AsyncIterable<string> | Iterable<string>,
): Promise<CloseOutCheck> {
  const jws = jwsOf(text);
  if (jws === null) return failed('not_a_closeout', 'This is no close-out record: it holds no signature.');
  const payload = await openedPayload(jws, keys);
  if (typeof payload !== 'string') return { ok: false, record: null, holds: [], findings: [payload] };
  const record = recordOf(payload);
  if (record === null) return failed('unknown_format', 'It is signed, but of a form that this version does not know.');
  const tokens = await openedTokens(record, keys);
  const parts = [
    ...shownFindings(text, payload, jws, record),
    ...grantFindings(record, tokens),
    ...missingFindings(record),
    ...auditFindings(record),
  ];
  // What follows from parts that are not what they say follows from nothing.
  const whole =
    parts.length > 0 ? [] : [...agreedFindings(record), ...termFindings(record, tokens), ...auditedFindings(record)];
  const findings = [...parts, ...whole, ...(log === undefined ? [] : await exportFindings(record, log, keys))];
  const holds = whatHolds(record, findings, { followed: parts.length === 0, exported: log !== undefined });
  return { ok: findings.length === 0, record, holds, findings };
}

/** What a file, or a page, says: for showing alone, since it proves nothing. */
export function recordIn(text: string): CloseOutRecord | null {
  return recordOf(decoded(jwsOf(text)?.split('.')[1] ?? '') ?? '');
}

function jwsOf(text: string): string | null {
  const ofPage = jwsOfPage(text);
  if (ofPage !== null) return COMPACT.test(ofPage) ? ofPage : null;
  const file = fileSchema.safeParse(readJson(text));
  return file.success ? file.data.jws : null;
}

/** The text that was signed, or why it is not believed. */
async function openedPayload(jws: string, keys: KeyRing): Promise<string | CloseOutFinding> {
  const [header = '', payload = '', signature = ''] = jws.split('.');
  const said = headerSchema.safeParse(readJson(decoded(header) ?? ''));
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
  const file = fileSchema.safeParse(readJson(text));
  return file.success && isDeepStrictEqual(file.data.record, readJson(payload))
    ? [finding('reformatted', 'The file was written anew: take the bytes as the gateway gave them.')]
    : [finding('record_differs', 'The record in the file is not the one that was signed.')];
}

function tokensOf({ token, acts }: CloseOutRecord['grants'][number]): ReadonlySet<string> {
  return new Set([token, ...acts.flatMap((act) => act.token ?? [])]);
}

async function openedTokens({ grants }: CloseOutRecord, keys: KeyRing): Promise<Tokens> {
  const opened = new Map<string, Grant>();
  for (const token of grants.flatMap((grant) => [...tokensOf(grant)])) {
    const signed = await openToken(token, keys);
    if (signed !== null) opened.set(token, signed);
  }
  return opened;
}

function grantFindings({ request, grants }: CloseOutRecord, tokens: Tokens): CloseOutFinding[] {
  return grants.flatMap((grant) =>
    [...tokensOf(grant)].flatMap((token) => {
      const signed = tokens.get(token);
      if (signed === undefined)
        return [finding('grant_not_signed', `A token of grant ${grant.id} is not signed by a key given.`)];
      const differs = differenceOf(grant, token, signed, request);
      return differs === null ? [] : [finding('grant_differs', differs)];
    }),
  );
}

/** How a signed token differs from what the record says of its grant; null where it does not. */
function differenceOf(
  grant: CloseOutRecord['grants'][number],
  token: string,
  signed: Grant,
  request: CloseOutRecord['request'],
): string | null {
  const { id } = grant;
  if (signed.id !== id || signed.principal !== grant.principal || signed.service !== grant.service)
    return `A token of grant ${id} is that of another grant.`;
  if (signed.request === null) return `Grant ${id} comes from no request.`;
  if (signed.request !== request.id) return `Grant ${id} comes from another request.`;
  if (token === grant.token && saidOf(signed) !== saidOf(grant))
    return `Grant ${id} was signed with another role, sponsor or other times.`;
  if (!isAsked(signed, request)) return `Grant ${id} was signed for something else than the request says.`;
  return null;
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
function isAsked(signed: Grant, request: CloseOutRecord['request']): boolean {
  const { role, reason, window, nda, only } = signed;
  const { allowedOnly } = request;
  const rules = allowedOnly === null ? only === null : only?.every((text) => allowedOnly.includes(text)) === true;
  const same = role === (request.allowedRole ?? request.role) && reason === request.task;
  const whose = signed.principal === request.principal && signed.service === request.service;
  return same && whose && window === request.hours && nda === request.nda && rules;
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

function whatHolds(
  record: CloseOutRecord,
  findings: readonly CloseOutFinding[],
  looked: { readonly followed: boolean; readonly exported: boolean },
): string[] {
  const lacks = (...faults: CloseOutFinding['fault'][]) => !findings.some(({ fault }) => faults.includes(fault));
  const { grants, audit, approvals } = record;
  const agreed = lacks('approval_partial', 'approvals_missing', 'needed_differs', 'allowed_differs');
  const within = lacks('grant_exceeds', 'renewal_exceeds', 'renewal_differs');
  const told = lacks('audit_chain_broken', 'not_audited', 'audited_missing');
  return [
    'the record was signed by a key given',
    ...(lacks('record_differs', 'reformatted', 'page_differs') ? ['the file says what was signed, to the byte'] : []),
    ...(lacks('grant_not_signed', 'grant_differs', 'grant_missing')
      ? [`its grants are signed too (${grants.length})`]
      : []),
    ...(lacks('audit_line_differs') ? [`its lines of the audit log have their hashes (${audit.lines.length})`] : []),
    ...(looked.followed && agreed ? [`as many agreed as had to, nobody for themselves (${approvals.length})`] : []),
    ...(looked.followed && within ? ['grants and renewals are within what was agreed'] : []),
    ...(looked.followed && told
      ? ['the audit log tells of the request, its approvals and acts, and of no others']
      : []),
    ...(looked.exported && lacks('export_differs') ? ['its lines are those of the exported audit log'] : []),
  ];
}

function recordOf(payload: string): CloseOutRecord | null {
  return closeOutSchema.safeParse(readJson(payload)).data ?? null;
}

/** The text of a base64url part; null for bytes that are no UTF-8. */
function decoded(part: string): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(part, 'base64url'));
  } catch {
    return null;
  }
}

function failed(fault: CloseOutFinding['fault'], message: string): CloseOutCheck {
  return { ok: false, record: null, holds: [], findings: [finding(fault, message)] };
}
