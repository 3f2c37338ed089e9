import type { Grant } from '../grant/grant.js';
import { allowedSeconds, limitsAt } from './closeout-agreed.js';
import { type CloseOutFinding, finding } from './closeout-finding.js';
import type { CloseOutLimits, CloseOutRecord } from './closeout-record.js';

type Held = CloseOutRecord['grants'][number];
type Act = CloseOutRecord['acts'][number];

/** The signed grants within a record, by their tokens. */
export type Tokens = ReadonlyMap<string, Grant>;

const DAY = 86_400_000;
const SECOND = 1_000;

/** Whether each grant began and lasted as was agreed, and each renewal stayed within its limits. Pure. */
export function termFindings(record: CloseOutRecord, tokens: Tokens): CloseOutFinding[] {
  return record.grants.flatMap((grant) => {
    const signed = grant.acts.flatMap(({ act, token }) => {
      const opened = token === null ? undefined : tokens.get(token);
      return opened === undefined ? [] : [{ act, opened }];
    });
    const [first, ...later] = signed;
    if (first === undefined) return [];
    const begun =
      first.act === 'replace'
        ? replacedFindings(record, grant, first.opened, tokens)
        : beginFindings(record, grant, first.opened);
    const renewed = later.flatMap(({ opened }, index) =>
      renewalFindings(record, grant, (signed[index] ?? first).opened, opened),
    );
    return [...begun, ...renewed];
  });
}

function beginFindings(record: CloseOutRecord, { id }: Held, { notBefore, expiresAt }: Grant): CloseOutFinding[] {
  const { request } = record;
  const allowed = allowedSeconds(request) * SECOND;
  const [from, until] = [Date.parse(request.startsAt), Date.parse(request.endsAt)];
  const limits = limitsAt(record, activationOf(record, id) ?? { detail: {} });
  const exceeds = (what: string) => finding('grant_exceeds', `Grant ${id} ${what}.`);
  const isLate = request.clock === 'first_use' ? notBefore > until : expiresAt > from + allowed;
  return [
    // Grants begin with whole seconds.
    ...(notBefore + SECOND <= from ? [exceeds('begins before what was asked for')] : []),
    ...(expiresAt - notBefore > allowed ? [exceeds('lasts longer than was agreed')] : []),
    ...(isLate ? [exceeds('lies behind the time that was agreed')] : []),
    ...(expiresAt - notBefore > longest(limits, request.kind) ? [exceeds('lasts longer than the policy allows')] : []),
    ...(expiresAt > endOfNda(record) ? [exceeds('lasts longer than the NDA')] : []),
  ];
}

/** Another handle for the same access: what was signed before, under a new id. */
function replacedFindings(record: CloseOutRecord, { id }: Held, now: Grant, tokens: Tokens): CloseOutFinding[] {
  const former = record.grants.find((one) => one.id === activationOf(record, id)?.detail.former);
  const before = former === undefined ? undefined : tokens.get(former.token);
  const same =
    before !== undefined &&
    [before.notBefore, before.expiresAt, before.renewals].join() ===
      [now.notBefore, now.expiresAt, now.renewals].join();
  return same ? [] : [finding('renewal_differs', `Grant ${id} is not what the one before it was.`)];
}

function renewalFindings(record: CloseOutRecord, { id }: Held, before: Grant, now: Grant): CloseOutFinding[] {
  if (now.renewals !== before.renewals + 1 || now.notBefore !== before.notBefore || now.expiresAt <= before.expiresAt)
    return [finding('renewal_differs', `A renewal of grant ${id} is not of the token before it.`)];
  const ends = new Date(now.expiresAt).toISOString();
  const act = record.acts.find(
    ({ act, detail }) => act === 'renew' && detail.grant === id && detail.expiresAt === ends,
  );
  // An operator's own: nobody agreed to a time that it could exceed.
  if (act === undefined) return [];
  const { request } = record;
  const [seconds, allowed] = [(now.expiresAt - before.expiresAt) / SECOND, allowedSeconds(request)];
  const limits = limitsAt(record, act);
  const total = limits?.maxTotalSeconds ?? Number.POSITIVE_INFINITY;
  const exceeds = (what: string) => finding('renewal_exceeds', `The renewal of grant ${id} until ${ends} ${what}.`);
  return [
    ...(allowed < request.seconds && seconds > allowed ? [exceeds('is longer than was agreed at a time')] : []),
    ...(seconds * SECOND > longest(limits, request.kind)
      ? [exceeds('is longer than the policy allows at a time')]
      : []),
    ...(now.renewals > (limits?.maxRenewals ?? now.renewals) ? [exceeds('is one more than the policy allows')] : []),
    ...(now.expiresAt - now.notBefore > total * SECOND ? [exceeds('makes it last longer than the policy allows')] : []),
    ...(now.expiresAt > endOfNda(record) ? [exceeds('is longer than the NDA')] : []),
  ];
}

function activationOf({ acts }: CloseOutRecord, grant: string): Act | undefined {
  return acts.find(({ act, detail }) => act === 'activate' && detail.grant === grant);
}

/** At a time, milliseconds; without an end where the record does not say. */
function longest(limits: CloseOutLimits | null, kind: string): number {
  if (limits === null) return Number.POSITIVE_INFINITY;
  const emergency = kind === 'break_glass' ? (limits.breakGlassSeconds ?? 0) : limits.maxDurationSeconds;
  return Math.min(emergency, limits.maxDurationSeconds) * SECOND;
}

/** An NDA is valid until the end of its last day, UTC. */
function endOfNda({ nda }: CloseOutRecord): number {
  return nda === null ? Number.POSITIVE_INFINITY : Date.parse(nda.validUntil) + DAY;
}
