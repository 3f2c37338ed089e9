import { isDeepStrictEqual } from 'node:util';
import { GENESIS } from '../audit/chain.js';
import type { AuditFacts } from '../audit/entry.js';
import { factsOf } from '../audit/facts.js';
import { ACTS } from '../grant/record.js';
import { type CloseOutFinding, finding } from './closeout-finding.js';
import type { CloseOutRecord } from './closeout-record.js';

/** Something that the record says was done, and a line of the log must tell of. */
interface Said {
  /** `request.approve`. */
  readonly act: string;
  readonly target: string;
  readonly actor: string;
  /** What the line's detail says too. */
  readonly detail?: Readonly<Record<string, unknown>>;
  /** All that it says. */
  readonly whole?: Readonly<Record<string, unknown>>;
}

const DECISIONS: ReadonlySet<string> = new Set(['request.approve', 'request.refuse']);
/** Acts on a request that the log has under their own names. What others do to it by the way is told of there. */
const REQUEST_ACTS: ReadonlySet<string> = new Set(
  ['activate', 'renew', 'return', 'review'].map((act) => `request.${act}`),
);
/** What is judged anew when it is done. */
const JUDGED: ReadonlySet<string> = new Set(['activate', 'renew']);
const GRANT_ACTS: ReadonlySet<string> = new Set(ACTS.map((act) => `grant.${act}`));

/**
 * Whether the lines of the audit log stand in one chain, and tell of the request, of every approval and of every act in the
 * record, and of no others. Pure.
 */
export function auditedFindings(record: CloseOutRecord): CloseOutFinding[] {
  const chain = chainFindings(record.audit);
  if (chain.length > 0) return chain;
  const done = record.audit.lines.flatMap(({ entry }) => doneIn(entry));
  const among = (acts: ReadonlySet<string>) => done.filter(({ act }) => acts.has(act));
  return [
    ...heldTo([askedIn(record)], among(new Set(['request.create']))),
    ...heldTo(decisionsIn(record), among(DECISIONS)),
    ...heldTo(actsIn(record), among(REQUEST_ACTS)),
    ...heldTo(grantActsIn(record), among(GRANT_ACTS)),
  ];
}

/** The lines between those in the record are not in it: an export of the log shows the rest of the chain. */
function chainFindings({ lines, head }: CloseOutRecord['audit']): CloseOutFinding[] {
  return lines.flatMap(({ seq, entry, before, hash }, index) => {
    const former = lines[index - 1] ?? { seq: 0, hash: GENESIS.toString('hex') };
    const follows = seq > former.seq && (seq !== former.seq + 1 || before === former.hash);
    const isIn = head !== null && (seq < head.seq || (seq === head.seq && hash === head.hash));
    if (follows && isIn && factsOf(entry)?.seq === seq) return [];
    return [finding('audit_chain_broken', `Line ${seq} of the audit log does not belong where it stands.`)];
  });
}

function doneIn(entry: string): AuditFacts[] {
  const facts = factsOf(entry);
  return facts?.result === 'done' ? [facts] : [];
}

/** Each thing said has a line of its own, and each line is of a thing that was said. */
function heldTo(said: readonly Said[], lines: readonly AuditFacts[]): CloseOutFinding[] {
  const left = [...lines];
  const untold = said.filter((one) => {
    const at = left.findIndex((line) => tells(line, one));
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return [
    ...untold.map(({ act, actor }) =>
      finding('not_audited', `No line of the audit log tells of ${act} by ${actor} as the record has it.`),
    ),
    ...left.map(({ seq, act, actor }) =>
      finding('audited_missing', `Line ${seq} of the audit log tells of ${act} by ${actor}, which the record has not.`),
    ),
  ];
}

function tells(line: AuditFacts, { act, target, actor, detail = {}, whole }: Said): boolean {
  const told = line.act === act && line.target === target && line.actor === actor;
  if (whole !== undefined) return told && isDeepStrictEqual(line.detail, whole);
  return told && Object.entries(detail).every(([name, value]) => isDeepStrictEqual(line.detail?.[name], value));
}

function askedIn({ request }: CloseOutRecord): Said {
  const { id, principal, service, role, seconds, kind } = request;
  const detail = { service, role, seconds, kind };
  return { act: 'request.create', target: `request:${id}`, actor: principal, detail };
}

function decisionsIn({ request, approvals }: CloseOutRecord): Said[] {
  return approvals.map(({ approver, outcome, role, seconds, only }) => ({
    ...{ act: `request.${outcome}`, target: `request:${request.id}`, actor: approver },
    detail: outcome === 'approve' ? { role, seconds, only } : {},
  }));
}

function actsIn({ request, acts }: CloseOutRecord): Said[] {
  return acts
    .filter(({ act }) => REQUEST_ACTS.has(`request.${act}`))
    .map(({ act, by, detail }) => ({
      ...{ act: `request.${act}`, target: `request:${request.id}`, actor: by },
      // By which policy it was judged, and how many approvals it took, stands there too.
      ...(JUDGED.has(act) ? { whole: detail } : {}),
    }));
}

function grantActsIn({ grants }: CloseOutRecord): Said[] {
  return grants.flatMap(({ id, acts }) =>
    acts.map(({ act, by }) => ({ act: `grant.${act}`, target: `grant:${id}`, actor: by })),
  );
}
