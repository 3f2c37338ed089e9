import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { CloseOuts } from '../../src/access/closeout.js';
import type { CloseOutRecord } from '../../src/access/closeout-record.js';
import { closeOutFile, signCloseOut } from '../../src/access/closeout-sign.js';
import { verifyCloseOut } from '../../src/access/closeout-verify.js';
import { AuditLog } from '../../src/audit/log.js';
import { keyRing } from '../../src/grant/keys.js';
import { mintToken } from '../../src/grant/mint.js';
import { operatorNamed } from '../../src/identity/actor.js';
import { rememberPolicies } from '../../src/recording/policies.js';
import { ASKED, serviceText, startAccess } from './fixture.js';

const OPS = operatorNamed('olga');

/** Two agreed to half an hour; renewed, and begun again with another handle. */
async function agreed(t: Test) {
  const access = await startAccess(t, { texts: [serviceText({ access: 'approvals: 2' })] });
  const { requests, as, clock, key, parts, policies } = access;
  await rememberPolicies(parts.pool, policies.all());
  const kim = await as('kim');
  const { id } = await requests.create(kim, ASKED);
  for (const by of ['ada', 'bob'])
    await requests.decide(await as(by), id, { outcome: 'approve', comment: 'fine', seconds: 1_800 });
  await requests.activate(kim, id);
  await requests.renew(kim, id, { seconds: 600, reason: 'not done' });
  clock.now += 5_000;
  await requests.activate(kim, id);
  const closeOuts = new CloseOuts({ pool: parts.pool, signingKey: key, ownerOf: () => 'group:leads', clock });
  const { record } = await closeOuts.make(OPS, id);
  const log = new AuditLog({ pool: parts.pool, key, keys: keyRing(key), clock });
  const verify = async (changed: CloseOutRecord, lines?: readonly string[]) => {
    const { jws } = await signCloseOut(changed, key);
    return verifyCloseOut(closeOutFile(JSON.stringify(changed), jws), keyRing(key), lines);
  };
  return { record, verify, log, key };
}

t.test('what was given must follow from what was agreed, and the audit log must tell of it', async (t) => {
  const { record, verify } = await agreed(t);
  const { request, approvals, acts, grants, policies, audit } = record;
  t.match(await verify(record), { ok: true, findings: [] });
  t.match(record.policies, [{ limits: { approvals: 2, maxDurationSeconds: 14_400, maxTotalSeconds: 21_600 } }]);
  const approvedBy = (approver: string) => approvals.map((one, index) => (index === 1 ? { ...one, approver } : one));
  const approving = (change: object) => approvals.map((one) => ({ ...one, ...change }));
  const ofAct = (name: string, change: object) =>
    acts.map((one) => (one.act === name ? { ...one, detail: { ...one.detail, ...change } } : one));
  const allowing = (change: object) =>
    policies.map((one) => ({ ...one, limits: one.limits && { ...one.limits, ...change } }));
  const without = (words: RegExp) => ({ ...audit, lines: audit.lines.filter(({ entry }) => !words.test(entry)) });
  const lies: readonly (readonly [string, Partial<CloseOutRecord>, string])[] = [
    ['an approval less', { approvals: approvals.slice(1) }, 'approvals_missing'],
    ['an approval less, of which the log tells', { approvals: approvals.slice(1) }, 'audited_missing'],
    ['the same twice', { approvals: approvedBy('ada') }, 'approvals_missing'],
    ['one of who asked', { approvals: approvedBy('kim') }, 'approval_partial'],
    ['one of who answers for them', { approvals: approvedBy('sam') }, 'approval_partial'],
    [
      'one of who answers for them by now',
      { request: { ...request, sponsor: 'zoe' }, approvals: approvedBy('sam') },
      'approvals_missing',
    ],
    ['one of somebody else', { approvals: approvedBy('eve') }, 'not_audited'],
    [
      'one of another group',
      { approvals: approvals.map((one) => ({ ...one, owner: 'group:other' })) },
      'approvals_missing',
    ],
    [
      'one that was given later',
      { acts: acts.toSorted((one) => (one.act === 'approve' ? 1 : -1)) },
      'approvals_missing',
    ],
    ['a refusal', { approvals: approvals.map((one) => ({ ...one, outcome: 'refuse' })) }, 'approvals_missing'],
    ['another policy than the log tells', { acts: ofAct('activate', { policy: 'unknown', needed: 0 }) }, 'not_audited'],
    ['fewer that were needed', { acts: ofAct('activate', { needed: 1 }) }, 'needed_differs'],
    ['more time than was left', { request: { ...request, allowedSeconds: null } }, 'allowed_differs'],
    ['more time than was asked for', { request: { ...request, allowedSeconds: 7_200 } }, 'allowed_differs'],
    [
      'more time than was asked for, of which no approver says anything',
      { request: { ...request, allowedSeconds: 7_200 }, approvals: approving({ seconds: null }) },
      'allowed_differs',
    ],
    ['approvers who left more than was asked for', { approvals: approving({ seconds: 7_200 }) }, 'allowed_differs'],
    ['rules that approvers left', { approvals: approving({ only: ['GET /orders'] }) }, 'allowed_differs'],
    ['another role that approvers left', { approvals: approving({ role: 'other' }) }, 'allowed_differs'],
    ['a role that no approver left', { request: { ...request, allowedRole: request.role } }, 'allowed_differs'],
    [
      'no activation, and nobody who agreed',
      { acts: acts.filter(({ act }) => act === 'approve'), approvals: [] },
      'approvals_missing',
    ],
    ['an emergency, which needs nobody', { request: { ...request, kind: 'break_glass' } }, 'needed_differs'],
    ['a role that needs nobody', { policies: allowing({ preApproved: [request.role] }) }, 'needed_differs'],
    [
      'nobody, where the policy says no number',
      { policies: allowing({ approvals: null }), acts: ofAct('activate', { needed: 1 }), approvals: [] },
      'approvals_missing',
    ],
    ['a longer time than was asked for', { request: { ...request, seconds: 7_200 } }, 'not_audited'],
    [
      'another role than was asked for',
      { request: { ...request, role: 'other', allowedRole: request.role } },
      'not_audited',
    ],
    ['approvers who left something else', { approvals: approving({ seconds: 1_900 }) }, 'not_audited'],
    ['a renewal that needed more', { acts: ofAct('renew', { needed: 3 }) }, 'needed_differs'],
    ['another lane at the same time', { acts: ofAct('activate', { otherLane: true }) }, 'needed_differs'],
    ['a shorter time that was left', { request: { ...request, allowedSeconds: 1_700 } }, 'grant_exceeds'],
    ['a renewal longer than was left', { request: { ...request, allowedSeconds: 500 } }, 'renewal_exceeds'],
    ['a shorter time in the policy', { policies: allowing({ maxDurationSeconds: 500 }) }, 'grant_exceeds'],
    ['no renewal in the policy', { policies: allowing({ maxRenewals: 0 }) }, 'renewal_exceeds'],
    ['less in all in the policy', { policies: allowing({ maxTotalSeconds: 2_000 }) }, 'renewal_exceeds'],
    ['another number in the policy', { policies: allowing({ approvals: 3 }) }, 'approvals_missing'],
    [
      'a later beginning',
      { request: { ...request, startsAt: record.made.at.replace('2026', '2027') } },
      'grant_exceeds',
    ],
    ['another task than is audited', { request: { ...request, kind: 'pre_approved' } }, 'not_audited'],
    ['no line of an approval', { audit: without(/request\.approve.*bob|bob.*request\.approve/) }, 'not_audited'],
    ['no line of a grant', { audit: without(/grant\.issue/) }, 'not_audited'],
    ['an activation that is not told', { acts: acts.filter(({ act }) => act !== 'activate') }, 'audited_missing'],
    ['lines in another order', { audit: { ...audit, lines: audit.lines.toReversed() } }, 'audit_chain_broken'],
    [
      'lines behind the end',
      { audit: { ...audit, head: audit.lines[0] ? { seq: 1, hash: audit.lines[0].hash } : null } },
      'audit_chain_broken',
    ],
    [
      'no renewal among the acts of a grant',
      { grants: grants.map((one) => ({ ...one, acts: one.acts.filter(({ act }) => act !== 'renew') })) },
      'audited_missing',
    ],
  ];
  for (const [name, change, fault] of lies) {
    const { findings } = await verify({ ...record, ...change });
    t.ok(
      findings.some((one) => one.fault === fault),
      `${name}: ${findings.map((one) => one.fault).join()}`,
    );
  }
  const again = { ...record, acts: ofAct('activate', { otherLane: true, again: true, needed: 3 }) };
  const { findings } = await verify(again);
  t.notOk(
    findings.some(({ fault }) => fault === 'approvals_missing'),
    'other lanes were judged when the access began',
  );
});

t.test('a grant lasts, goes on and is replaced as was agreed, by what was signed', async (t) => {
  const { record, verify, key } = await agreed(t);
  const { request, acts, policies } = record;
  const [grant] = record.grants;
  const [issued, renewed] = grant?.acts ?? [];
  if (grant === undefined || typeof issued?.token !== 'string' || typeof renewed?.token !== 'string')
    throw new Error('not renewed');
  const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
  const [first, second] = [claimsOf(issued.token), claimsOf(renewed.token)];
  const at = (seconds: number) => new Date(seconds * 1_000).toISOString();
  const told = async (changed: Partial<CloseOutRecord>) =>
    (await verify({ ...record, ...changed })).findings.map(({ message }) => message).join(' ');
  /** The renewal was another one, and the record says so. */
  const renewal = async (change: object) => {
    const claims = { ...second, ...change };
    const token = await mintToken(claims, key);
    const [, ...others] = record.grants;
    const now = { ...grant, acts: [issued, { ...renewed, token }] };
    const ended = acts.map((one) =>
      one.act === 'renew' ? { ...one, detail: { ...one.detail, expiresAt: at(claims.exp) } } : one,
    );
    return { grants: [now, ...others], acts: ended };
  };
  for (const change of [{ rnw: 2 }, { nbf: first.nbf + 1 }, { exp: first.exp }])
    t.match(await told(await renewal(change)), /is not of the token before it/, JSON.stringify(change));
  const allowing = (change: object) =>
    policies.map((one) => ({ ...one, limits: one.limits && { ...one.limits, ...change } }));
  const long = await renewal({ exp: first.exp + 14_401 });
  t.match(await told(long), /is longer than the policy allows at a time/);
  t.notMatch(await told(await renewal({ exp: first.exp + 1_800 })), /is longer than/);

  const hourAgo = at(first.nbf - 3_600);
  const late = { request: { ...request, startsAt: hourAgo } };
  t.match(await told(late), /lies behind the time that was agreed/);
  const byUse = { request: { ...request, startsAt: hourAgo, clock: 'first_use' } };
  t.notMatch(await told(byUse), /that was agreed/, 'it began when it was used');
  t.match(await told({ request: { ...byUse.request, endsAt: hourAgo } }), /lies behind the time that was agreed/);
  t.match(await told({ request: { ...byUse.request, allowedSeconds: 1_799 } }), /lasts longer than was agreed/);

  const emergency = { ...request, kind: 'break_glass' };
  const most = (breakGlassSeconds: number | null) => ({
    request: emergency,
    policies: allowing({ breakGlassSeconds, maxDurationSeconds: 1_800 }),
  });
  t.match(await told(most(1_799)), /lasts longer than the policy allows/);
  t.match(await told(most(null)), /lasts longer than the policy allows/, 'there are none');
  t.notMatch(await told(most(100_000)), /lasts longer than the policy allows/);
  t.match(
    await told({ ...most(100_000), policies: allowing({ breakGlassSeconds: 100_000, maxDurationSeconds: 1_799 }) }),
    /lasts longer/,
  );

  const nda = {
    ...{ id: request.id, party: 'x', title: 'x', textSha256: 'x', signedOn: '2026-01-01', validUntil: '2026-01-01' },
    ...{ registeredAt: hourAgo, registeredBy: 'x', endedAt: null, endedBy: null, acknowledged: null },
  };
  t.match(await told({ nda }), /lasts longer than the NDA[\s\S]*is longer than the NDA/);
  const lastDay = at(second.exp).slice(0, 10);
  t.notMatch(await told({ nda: { ...nda, validUntil: lastDay } }), /the NDA/, 'it is valid to the end of its last day');

  const replaced = /is not what the one before it was/;
  const detailed = (change: object) =>
    acts.map((one) => (one.act === 'activate' ? { ...one, detail: { ...one.detail, ...change } } : one));
  t.match(await told({ acts: detailed({ former: undefined }) }), replaced);
  const before = { token: issued.token, expiresAt: at(first.exp), renewals: 0, acts: [issued] };
  t.match(await told({ grants: record.grants.with(0, { ...grant, ...before }) }), replaced);
});

/** Lines of the audit log as if they had been written otherwise. */
function rechained(
  { lines, head }: CloseOutRecord['audit'],
  change: (entry: string) => string,
): CloseOutRecord['audit'] {
  const made: CloseOutRecord['audit']['lines'] = [];
  for (const line of lines) {
    const last = made.at(-1);
    const before = last?.seq === line.seq - 1 ? last.hash : line.before;
    const entry = change(line.entry);
    const hash = createHash('sha256').update(Buffer.from(before, 'hex')).update(entry).digest('hex');
    made.push({ ...line, entry, before, hash });
  }
  const last = made.at(-1);
  return {
    lines: made,
    head: last !== undefined && head?.seq === last.seq ? { seq: last.seq, hash: last.hash } : head,
  };
}

t.test('the audit log tells of what the record says, of each by its own line, and of nothing else', async (t) => {
  const { record, verify } = await agreed(t);
  const { audit, acts } = record;
  const { lines } = audit;
  const told = async (changed: Partial<CloseOutRecord>) =>
    (await verify({ ...record, ...changed })).findings.map(({ message }) => message).join(' ');
  const writing = (act: string, change: object) => ({
    audit: rechained(audit, (entry) => {
      const facts = JSON.parse(entry);
      return facts.act === act ? JSON.stringify({ ...facts, ...change }) : entry;
    }),
  });
  t.match(await told(writing('request.activate', { act: 'request.return' })), /tells of request\.return by kim, which/);
  t.match(await told(writing('request.activate', { act: 'request.review' })), /tells of request\.review by kim, which/);
  t.match(await told(writing('request.approve', { act: 'request.refuse' })), /tells of request\.refuse by ada, which/);
  t.match(await told(writing('request.approve', { result: 'refused' })), /No line .* tells of request\.approve by ada/);
  t.match(await told(writing('request.approve', { target: 'request:another' })), /No line .* of request\.approve/);
  t.match(await told({ acts: acts.filter(({ act }) => act !== 'renew') }), /tells of request\.renew by kim, which/);
  const renewed = acts.map((one) => (one.act === 'renew' ? { ...one, detail: { ...one.detail, seconds: 1 } } : one));
  t.match(await told({ acts: renewed }), /No line .* tells of request\.renew/);

  const at = lines.findIndex(({ seq }, index) => index > 0 && lines[index - 1]?.seq === seq - 1);
  const [line, last] = [lines[at], lines.at(-1)];
  if (line === undefined || last === undefined) throw new Error('no line behind another');
  const before = '00'.repeat(32);
  const hash = createHash('sha256').update(Buffer.from(before, 'hex')).update(line.entry).digest('hex');
  const broken = new RegExp(`Line ${line.seq} of the audit log does not belong where it stands`);
  t.match(await told({ audit: { ...audit, lines: lines.with(at, { ...line, before, hash }) } }), broken);
  t.match(await told({ audit: { ...audit, head: null } }), broken, 'behind a log without lines');
  const end = { seq: last.seq, hash: before };
  t.match(await told({ audit: { ...audit, head: end } }), /does not belong/, 'the log ended with another line');
  const moved = { lines: lines.with(-1, { ...last, seq: last.seq + 1 }), head: { seq: last.seq + 2, hash: before } };
  t.match(await told({ audit: moved }), /does not belong/, 'it says another number itself');
});

t.test('a record of the form before is verified by what it says', async (t) => {
  const { record, verify } = await agreed(t);
  const { account: _, ...request } = record.request;
  const policies = record.policies.map(({ version, firstSeen }) => ({ version, firstSeen }));
  const acts = record.acts.map((one) => {
    const { needed: _, otherLane: __, policy: ___, ...detail } = one.detail;
    return { ...one, detail };
  });
  const audit = rechained(record.audit, (entry) =>
    entry.replace(
      /, "(?:needed|policy|otherLane)": (?:"[^"]*"|\w+)|"(?:needed|policy|otherLane)": (?:"[^"]*"|\w+), /g,
      '',
    ),
  );
  const former: CloseOutRecord = { ...record, format: 'daypass/closeout/v1', request, policies, acts, audit };
  t.match(await verify(former), { ok: true, findings: [] });
  const less = await verify({ ...former, approvals: former.approvals.slice(1) });
  t.ok(less.findings.some(({ fault }) => fault === 'approvals_missing'));
});

t.test('the lines of a record are held to an export of the audit log', async (t) => {
  const { record, verify, log } = await agreed(t);
  const lines: string[] = [];
  for await (const line of log.lines()) lines.push(line.trimEnd());
  const check = await verify(record, lines);
  t.match(check, { ok: true, findings: [] });
  t.ok(check.holds.some((what) => what.includes('exported')));
  const fault = async (changed: CloseOutRecord, given: readonly string[]) =>
    (await verify(changed, given)).findings.map((one) => one.fault);
  t.match(await fault(record, lines.slice(1)), ['export_differs']);
  t.match(await fault(record, lines.slice(0, -1)), ['export_differs'], 'one that does not end with a head');
  const [first] = record.audit.lines;
  if (first === undefined) throw new Error('no line');
  const ended: CloseOutRecord = {
    ...record,
    audit: { ...record.audit, head: { seq: lines.length + 5, hash: first.hash } },
  };
  const older = (await verify(ended, lines)).findings.filter((one) => one.fault === 'export_differs');
  t.match(
    older,
    [{ message: /is not in the export, which ends with line \d+: take one that is newer/ }],
    'an older export',
  );
  const entry = first.entry.replace('failed', 'feiled');
  const hash = createHash('sha256').update(Buffer.from(first.before, 'hex')).update(entry).digest('hex');
  const written = { ...record.audit, lines: [{ ...first, entry, hash }, ...record.audit.lines.slice(1)] };
  const anew = await fault({ ...record, audit: written }, lines);
  t.ok(anew.includes('export_differs'), 'a line that was written anew');
});
