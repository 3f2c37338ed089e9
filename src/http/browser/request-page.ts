import type { ApprovalView, RequestDetail } from '../../access/request.js';
import { STANDS } from '../../access/rows.js';
import type { Sheet } from '../../access/sheet.js';
import { wordSeconds } from '../../config/duration.js';
import { neutral } from '../../recording/neutral.js';
import { escapeHtml } from '../refusals/deny.js';
import { instant, plainInstant } from './instant.js';
import type { Page } from './pages.js';

/** What somebody wrote into a form. */
export interface Filled {
  readonly answer: string;
  readonly comment: string;
  readonly seconds: string;
}

/** What kept a decision from being made, and what to do. */
export interface Found {
  readonly status: number;
  readonly message: string;
  readonly hint: string | undefined;
}

export interface RequestPageParts {
  readonly sheet: Sheet;
  /** What makes its forms ours. */
  readonly token: string;
  readonly filled: Filled;
  readonly found: Found | null;
}

export const NOTHING: Filled = { answer: '', comment: '', seconds: '' };

/** A request for access, with the forms that decide about it for whoever may. Without a script. */
export function requestPage(parts: RequestPageParts): Page {
  const { sheet, found } = parts;
  const { request } = sheet;
  const title = `${neutral(request.principal)} asks for ${neutral(request.service)}`;
  const body = [
    found === null ? '' : wrong(found),
    `<h1>${escapeHtml(title)}</h1>`,
    `<p class="said">${said(request.task)}</p>`,
    standing(sheet),
    facts(sheet),
    rules(sheet),
    decisions(request.approvals),
    warnings(sheet.warnings),
    deciding(parts),
  ];
  return { title: `${found === null ? '' : 'Not decided: '}${title}`, body: body.join('') };
}

/** What people wrote: what is invisible in it is shown, and its direction stays its own. */
function said(text: string): string {
  return `<bdi>${escapeHtml(neutral(text))}</bdi>`;
}

/** For somebody whose login was over when they sent a form: what they wrote is shown, so that they need not think of it again. */
export function undecidedNote({ comment }: Filled): string {
  const wrote = comment === '' ? '' : `<p class="said">You wrote: ${said(comment)}</p>`;
  return `${wrong({ message: 'This browser is not logged in any more.', hint: 'Log in, and decide again.' })}${wrote}`;
}

function wrong({ message, hint }: Pick<Found, 'message' | 'hint'>): string {
  const mend = hint === undefined ? '' : `<p>${said(hint)}</p>`;
  return `<div class="note wrong" role="alert"><p><strong>Not decided.</strong> ${said(message)}</p>${mend}</div>`;
}

function standing({ request, owner }: Sheet): string {
  const { state, needed, given, decideBy, reviewDue, reviewedAt, id } = request;
  const words = `<p><strong>The request ${STANDS[state]}.</strong></p>`;
  if (state === 'pending')
    return `${words}<p>Approvals: ${given} of ${needed}, by ${said(owner)}. It lapses ${instant(decideBy)}.</p>`;
  if (reviewDue === null || reviewedAt !== null) return words;
  return `${words}<p>It is to be reviewed by ${instant(reviewDue)}: <code>daypass review ${escapeHtml(id)}</code></p>`;
}

const KINDS = {
  usual: 'by approval',
  pre_approved: 'a role that needs no approval',
  break_glass: 'an emergency: begun without an approval',
} as const;

function facts({ request, allowed, nda }: Sheet): string {
  const { principal, service, lane, kind, hours, sponsor, role, seconds, startsAt, endsAt, clock } = request;
  const begins =
    clock === 'start' ? instant(startsAt) : `at its first use, from ${instant(startsAt)} to ${instant(endsAt)}`;
  const until = clock === 'start' ? `, until ${instant(startsAt + allowed.seconds * 1000)}` : '';
  const list: readonly (readonly [string, string])[] = [
    ['person', said(principal)],
    ['service', `${said(service)}, lane ${escapeHtml(lane)}`],
    ['role', `${said(allowed.role)}${allowed.role === role ? '' : ` (asked for: ${said(role)})`}`],
    ['begins', begins],
    [
      'lasts',
      `${lasting(allowed.seconds)}${until}${allowed.seconds === seconds ? '' : ` (asked for: ${lasting(seconds)})`}`,
    ],
    ...(hours === null ? [] : [['hours', said(hours)] as const]),
    ['sponsor', sponsor === null ? 'nobody' : said(sponsor)],
    ['NDA', nda === null ? 'not asked for' : said(nda)],
    ['kind', KINDS[kind]],
    ['request', escapeHtml(request.id)],
  ];
  return `<dl>${list.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join('')}</dl>`;
}

function rules({ allowed, rules, request }: Sheet): string {
  const heading = `<h2>What ${said(allowed.role)} allows on ${said(request.service)}</h2>`;
  if (rules.length === 0) return `${heading}<p>Nothing: there is no such role now.</p>`;
  return `${heading}<ul>${rules.map((rule) => `<li><code>${said(rule)}</code></li>`).join('')}</ul>`;
}

function decisions(approvals: readonly ApprovalView[]): string {
  if (approvals.length === 0) return '';
  const rows = approvals.map((one) => {
    const left = [
      ...(one.role === null ? [] : [`role ${said(one.role)}`]),
      ...(one.seconds === null ? [] : [lasting(one.seconds)]),
      ...(one.only === null ? [] : [`${one.only.length} of its rules`]),
    ];
    const to = left.length === 0 ? '' : ` to less (${left.join(', ')})`;
    const verb = one.outcome === 'approve' ? `agreed${to}` : 'refused';
    return `<li>${said(one.approver)} ${verb}, ${instant(one.at)}: ${said(one.comment)}</li>`;
  });
  return `<h2>Decisions</h2><ul>${rows.join('')}</ul>`;
}

function warnings(list: readonly string[]): string {
  if (list.length === 0) return '';
  const rows = list.map((one) => `<li>${said(one)}</li>`).join('');
  return `<div class="note"><h2>Before you agree</h2><ul>${rows}</ul></div>`;
}

function deciding(parts: RequestPageParts): string {
  const { request, hindrance } = parts.sheet;
  if (request.state !== 'pending') return '';
  if (hindrance !== null) return `<h2>Your decision</h2><p>${said(hindrance)}</p>`;
  return approveForm(parts) + refuseForm(parts);
}

function approveForm(parts: RequestPageParts): string {
  const { sheet, filled } = parts;
  const { request, allowed } = sheet;
  const comment = filled.answer === 'approve' ? filled.comment : '';
  return form(parts, {
    name: 'approve',
    heading: 'Approve',
    fields:
      `<label for="seconds">For how long</label><select id="seconds" name="seconds">${durations(request, allowed.seconds, filled.seconds)}</select>` +
      `<label for="comment">What you agree to, in one sentence</label>${textarea('comment', comment)}`,
    button: '<button name="answer" value="approve">Approve</button>',
    more: `<p>To leave a narrower role or fewer rules: <code>daypass approve ${escapeHtml(request.id)} --role … --only …</code></p>`,
  });
}

function refuseForm(parts: RequestPageParts): string {
  const reason = parts.filled.answer === 'refuse' ? parts.filled.comment : '';
  return form(parts, {
    name: 'refuse',
    heading: 'Refuse',
    fields: `<label for="reason">Why, in one sentence: whoever asked is told</label>${textarea('reason', reason)}`,
    button: '<button class="no" name="answer" value="refuse">Refuse</button>',
    more: '',
  });
}

interface Form {
  readonly name: string;
  readonly heading: string;
  readonly fields: string;
  readonly button: string;
  readonly more: string;
}

function form({ sheet, token }: RequestPageParts, { name, heading, fields, button, more }: Form): string {
  return (
    `<h2 id="${name}">${heading}</h2><form method="post" action="/requests/${escapeHtml(sheet.request.id)}" aria-labelledby="${name}">` +
    `<input type="hidden" name="token" value="${escapeHtml(token)}">${fields}<p>${button}</p></form>${more}`
  );
}

function textarea(id: string, text: string): string {
  return `<textarea id="${id}" name="comment" rows="2" maxlength="500" required>${escapeHtml(text)}</textarea>`;
}

/** What an approver may shorten it to, seconds. */
const SHORTER = [900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 172_800, 345_600, 604_800, 1_209_600];

function durations({ startsAt, clock }: RequestDetail, most: number, chosen: string): string {
  const words = (seconds: number) =>
    `${lasting(seconds)}${clock === 'start' ? `, until ${plainInstant(startsAt + seconds * 1000)}` : ''}`;
  const whole = `<option value="">${words(most)}</option>`;
  const shorter = SHORTER.filter((seconds) => seconds < most).toReversed();
  return whole + shorter.map((one) => option(String(one), `shorter: ${words(one)}`, chosen)).join('');
}

function option(value: string, words: string, chosen: string): string {
  return `<option value="${value}"${value === chosen ? ' selected' : ''}>${words}</option>`;
}

const DAY = 86_400;

function lasting(seconds: number): string {
  return seconds >= DAY && seconds % DAY === 0 ? `${seconds / DAY}d` : wordSeconds(seconds);
}
