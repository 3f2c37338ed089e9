import { type CloseOutFinding, finding } from './closeout-finding.js';
import type { CloseOutLimits, CloseOutRecord } from './closeout-record.js';

type Request = CloseOutRecord['request'];
type Approval = CloseOutRecord['approvals'][number];
type Act = CloseOutRecord['acts'][number];

/** How much later an approval may be dated than what followed it, where nothing else says in which order they came, milliseconds. */
const APART = 5_000;

/** Whether as many agreed as had to, none of them partial, and whether no more was left than they left. Pure. */
export function agreedFindings(record: CloseOutRecord): CloseOutFinding[] {
  return [...partialFindings(record), ...allowedFindings(record), ...countFindings(record)];
}

/** What is allowed of a request: of each as its approvers left it. */
export function allowedSeconds({ allowedSeconds, seconds }: Request): number {
  return allowedSeconds ?? seconds;
}

/** The policy that an act was judged by, where the record has it. */
export function limitsAt({ policies }: CloseOutRecord, { detail }: Pick<Act, 'detail'>): CloseOutLimits | null {
  return policies.find(({ version }) => version === detail.policy)?.limits ?? null;
}

function partialFindings({ request, approvals }: CloseOutRecord): CloseOutFinding[] {
  const partial = [request.principal, ...(request.account === 'contractor' ? [request.sponsor] : [])];
  return approvals
    .filter(({ approver }) => partial.includes(approver))
    .map(({ approver }) =>
      finding(
        'approval_partial',
        `${approver} decided, who ${approver === request.principal ? 'asked' : 'answers for who asked'}.`,
      ),
    );
}

function allowedFindings({ request, approvals }: CloseOutRecord): CloseOutFinding[] {
  const agreed = approvals.filter(isAgreed);
  const roles = agreed.flatMap(({ role }) => role ?? []);
  const { allowedOnly: only, allowedRole } = request;
  const seconds = allowedSeconds(request);
  const longer = agreed.some((one) => one.seconds !== null && (seconds > one.seconds || one.seconds > request.seconds));
  const more = agreed.some((one) => one.only !== null && !(only?.every((rule) => one.only?.includes(rule)) ?? false));
  const other = allowedRole === null ? roles.some((role) => role !== request.role) : !roles.includes(allowedRole);
  const differs = (what: string) => finding('allowed_differs', `The request allows ${what} than its approvers left.`);
  return [
    ...(longer || seconds > request.seconds ? [differs('more time')] : []),
    ...(more ? [differs('other rules')] : []),
    ...(other ? [differs('another role')] : []),
  ];
}

/** Each time a handle was given, or the access went on, it took as many as the policy of that moment asked for. */
function countFindings(record: CloseOutRecord): CloseOutFinding[] {
  const { acts, grants, request } = record;
  const begun = acts.filter(({ act }) => act === 'activate');
  const [first] = grants;
  const unsaid = begun.length === 0 && first !== undefined;
  const assumed: Act[] = unsaid
    ? [{ act: 'activate', at: first.issuedAt, by: request.principal, reason: request.task, detail: {} }]
    : [];
  const renewed = acts.filter(({ act, detail }) => act === 'renew' && typeof detail.needed === 'number');
  return [...begun, ...assumed, ...renewed].flatMap((act) => countAt(record, act));
}

function countAt(record: CloseOutRecord, act: Act): CloseOutFinding[] {
  const { request, approvals } = record;
  const { detail } = act;
  const limits = limitsAt(record, act);
  const stated = typeof detail.needed === 'number' ? detail.needed : request.needed;
  const due = limits === null ? stated : neededBy(limits, request, detail.otherLane === true);
  const differs =
    due === stated
      ? []
      : [
          finding(
            'needed_differs',
            `At ${act.at} the policy asked for ${due} approvals, and ${stated} are said to be.`,
          ),
        ];
  // Other lanes were judged when the access began: another handle for it adds none.
  const needed = due - (detail.again === true && detail.otherLane === true ? 1 : 0);
  const counted = approvals.filter((one) => counts(record, one, act, limits)).map(({ approver }) => approver);
  const given = new Set(counted).size;
  if (given >= needed) return differs;
  const words = `At ${act.at} (${act.act}) it took ${needed} approvals, and ${given} count.`;
  return [...differs, finding('approvals_missing', words)];
}

/** As `approvalsNeeded`, from what the record says of the policy. */
function neededBy({ approvals, preApproved }: CloseOutLimits, { kind, role }: Request, otherLane: boolean): number {
  if (kind === 'break_glass') return 0;
  return (preApproved.includes(role) ? 0 : (approvals ?? 1)) + (otherLane ? 1 : 0);
}

/** An approval of who asked, of who answers for them, of another group or of later counts for nothing. */
function counts(
  { request, grants, acts }: CloseOutRecord,
  approval: Approval,
  act: Act,
  limits: CloseOutLimits | null,
): boolean {
  const answering = request.account === 'contractor' ? [request.sponsor, ...grants.map(({ sponsor }) => sponsor)] : [];
  if ([request.principal, ...answering].includes(approval.approver)) return false;
  if (limits !== null && limits.owner !== approval.owner) return false;
  return isAgreed(approval) && wasBefore(acts, approval, act);
}

/** Acts stand in the order in which they were done; clocks are set, and differ from gateway to gateway. */
function wasBefore(acts: readonly Act[], { approver, at }: Approval, act: Act): boolean {
  const told = acts.findIndex((one) => one.act === 'approve' && one.by === approver);
  if (told < 0) return Date.parse(at) <= Date.parse(act.at) + APART;
  return told < (acts.includes(act) ? acts.indexOf(act) : acts.length);
}

function isAgreed({ outcome }: Approval): boolean {
  return outcome === 'approve';
}
