import { createHash } from 'node:crypto';
import { neutral } from '../recording/neutral.js';
import type { CloseOutRecord } from './closeout-record.js';

/** The page's only style, allowed by its hash; the signed text is for machines and is not printed. */
const STYLE =
  'body{font:14px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1.5rem;color:#1c2430}' +
  'h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid #dde1e7}' +
  'dl{display:grid;grid-template-columns:10rem 1fr;gap:.15rem 1rem;margin:0}dt{color:#5b6472}dd{margin:0}' +
  'dd,td,pre{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%;font-size:12px}' +
  'th,td{text-align:left;vertical-align:top;padding:.2rem .4rem;border-bottom:1px solid #eceff3}' +
  'tr{break-inside:avoid}pre{white-space:pre-wrap;font-size:10px}.open{color:#8a4b00}' +
  '@media screen{section{overflow-x:auto}}@media(max-width:30rem){dl{grid-template-columns:1fr}}' +
  '@media print{details{display:none}body{margin:0;max-width:none}}';
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');
const CSP = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'`;

const OPENING = '<!doctype html><html lang="en">';
const BEFORE_JWS = '<pre id="jws">';
const AFTER_JWS = '</pre></details></body></html>\n';

/**
 * A signed record as one printable page: no script, nothing loaded, every recorded text escaped, what would steer or hide made
 * visible (THREATS.md D25, B3). It holds the signature, and is made of the record alone, so that verifying makes it again and
 * compares: a page that shows anything else is found.
 */
export function closeOutPage(record: CloseOutRecord, jws: string): string {
  return [
    `${OPENING}<head><meta charset="utf-8"><meta http-equiv="content-security-policy" content="${CSP}">`,
    '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">',
    `<title>Close-out ${record.request.id}</title><style>${STYLE}</style></head><body>`,
    ...[heading(record), request(record), approvals(record), nda(record), grants(record), sessions(record)],
    ...[denials(record), alerts(record), audit(record), policies(record)],
    '<details><summary>Signature</summary><p>Verify this page with <code>daypass closeout verify</code>.</p>',
    `${BEFORE_JWS}${jws}${AFTER_JWS}`,
  ].join('');
}

/** The signature that a page holds; null for what is no page. */
export function jwsOfPage(text: string): string | null {
  if (!text.startsWith(OPENING)) return null;
  return text.slice(text.lastIndexOf(BEFORE_JWS) + BEFORE_JWS.length).replace(AFTER_JWS, '');
}

function heading({ request, state, open, made }: CloseOutRecord): string {
  const waits = open.map((why) => `<p class="open">${shown(why)}</p>`).join('');
  return (
    `<h1>${state === 'final' ? 'Close-out' : 'Interim record'} of ${shown(request.principal)} at ${shown(request.service)}</h1>` +
    `<p>Made ${shown(made.at)} by ${shown(made.by)}. All times are UTC.</p>${waits}`
  );
}

function request({ request, acts }: CloseOutRecord): string {
  const { allowedRole, allowedSeconds, allowedOnly } = request;
  return section(
    'Request',
    facts([
      ['Request', request.id],
      ['Task', request.task],
      ['Person', request.account === undefined ? request.principal : `${request.principal} (${request.account})`],
      ['Service', `${request.service} (${request.lane}), owner ${request.owner}`],
      ['Role', request.role],
      ['Kind', request.kind],
      ['Period', `${request.startsAt} to ${request.endsAt}, ${request.seconds} s (clock: ${request.clock})`],
      ['Hours', request.hours],
      ['Sponsor', request.sponsor],
      ['State', request.state],
      ['Approvals needed', request.needed],
      ['Narrowed role', allowedRole],
      ['Narrowed to', allowedSeconds === null ? null : `${allowedSeconds} s`],
      ['Only rules', allowedOnly?.join(' | ')],
      ['Activated', request.activatedAt],
      ['Over', request.overAt],
      ['Review due', request.reviewDue],
      ['Reviewed', request.reviewedAt && `${request.reviewedAt} by ${request.reviewedBy}: ${request.review}`],
      ['Asked', request.createdAt],
      ['To be decided by', request.decideBy],
      ['Decided', request.decidedAt],
      ['Policy', request.policyVersion],
    ]) +
      table(
        ['At', 'Act', 'By', 'Reason', 'Detail'],
        acts.map(({ at, act, by, reason, detail }) => [at, act, by, reason, JSON.stringify(detail)]),
      ),
  );
}

function approvals({ approvals }: CloseOutRecord): string {
  const rows = approvals.map(({ at, approver, outcome, comment, owner, role, seconds, only }) => [
    ...[at, approver, outcome, comment, owner],
    [role, seconds === null ? null : `${seconds} s`, only?.join(' | ')].filter(Boolean).join('; '),
  ]);
  return section('Approvals', table(['At', 'By', 'Outcome', 'Comment', 'As', 'Narrowed to'], rows));
}

function nda({ nda }: CloseOutRecord): string {
  if (nda === null) return section('NDA', '<p>None was asked for.</p>');
  const { acknowledged } = nda;
  const ended = nda.endedAt === null ? null : `${nda.endedAt} by ${nda.endedBy}`;
  return section(
    'NDA',
    facts([
      ['NDA', nda.id],
      ['Title', nda.title],
      ['Party', nda.party],
      ['SHA-256 of its text', nda.textSha256],
      ['Valid', `signed ${nda.signedOn}, until ${nda.validUntil}`],
      ['Registered', `${nda.registeredAt} by ${nda.registeredBy}`],
      ['Taken back', ended],
      [
        'Acknowledged',
        acknowledged === null ? 'no' : `${acknowledged.at} by ${acknowledged.by} (text ${acknowledged.textSha256})`,
      ],
    ]),
  );
}

function grants({ grants }: CloseOutRecord): string {
  const parts = grants.map(
    (grant) =>
      facts([
        ['Grant', grant.id],
        ['Access', `${grant.principal} to ${grant.service} as ${grant.role}, sponsor ${grant.sponsor}`],
        ['Period', `${grant.notBefore} to ${grant.expiresAt}, renewed ${grant.renewals} times`],
        ['Issued', grant.issuedAt],
        ['Suspended', grant.suspendedAt],
        ['Ended early', grant.revokedAt],
        ['Token', grant.token],
      ]) +
      table(
        ['At', 'Act', 'By', 'Reason', 'Token'],
        grant.acts.map(({ at, act, by, reason, token }) => [
          ...[at, act, by, reason],
          token === null ? '' : token === grant.token ? 'as above' : token,
        ]),
      ),
  );
  return section('Grants', parts.join('') || NONE);
}

function sessions({ sessions, totals }: CloseOutRecord): string {
  const rows = sessions.map((one) => [
    ...[one.id, one.grant, one.from, one.to ?? 'live', one.endReason],
    ...[one.dueAt === null ? null : `due ${one.dueAt}, cut ${one.cutAt}, ${one.bytesAfterDue} bytes after`],
    ...[`${one.client} (${one.protocol}, ${one.mode}, gateway ${one.gateway}, policy ${one.policyVersion})`],
    ...[one.actions, one.rows, one.bytesIn, one.bytesOut, tally(one.denials)],
    `${one.lastSeq} ${one.head}${one.unreadable ? ' (a part cannot be read)' : ''}`,
  ]);
  const columns = [
    'Session',
    'Grant',
    'From',
    'To',
    'End',
    'Cut',
    'Client',
    'Actions',
    'Rows',
    'Bytes in',
    'Bytes out',
  ];
  const sums = `${totals.sessions} sessions, ${totals.actions} actions, ${totals.rows} rows, ${totals.bytesIn} bytes in, ${totals.bytesOut} bytes out.`;
  return section('Sessions', `<p>${shown(sums)}</p>${table([...columns, 'Denials', 'Last event, chain'], rows)}`);
}

function denials({ denials }: CloseOutRecord): string {
  const { total, byReason, listed, more } = denials;
  const rows = listed.map(({ at, session, seq, verb, on, reason, rule }) => [
    ...[at, session, seq, verb, on.join(' '), reason, rule],
  ]);
  const said = `${total} denials. ${tally(byReason)}${more === 0 ? '' : ` The last ${more} are not listed.`}`;
  const columns = ['At', 'Session', 'Event', 'Action', 'On', 'Reason', 'Rule'];
  return section('Denials', `<p>${shown(said)}</p>${total === 0 ? '' : table(columns, rows)}`);
}

function alerts({ alerts }: CloseOutRecord): string {
  const rows = alerts.map(({ id, at, kind, grant, session, acknowledgedAt, acknowledgedBy, detail }) => [
    ...[at, kind, id, grant, session, JSON.stringify(detail)],
    acknowledgedAt === null ? 'no' : `${acknowledgedAt} by ${acknowledgedBy}`,
  ]);
  return section('Alerts', table(['At', 'Kind', 'Alert', 'Grant', 'Session', 'Detail', 'Acknowledged'], rows));
}

function audit({ audit: { lines, head } }: CloseOutRecord): string {
  const end = head === null ? 'The log had no line.' : `The log ended with line ${head.seq}, ${head.hash}.`;
  const rows = lines.map(({ seq, entry, before, hash }) => [seq, entry, before, hash]);
  return section('Audit log', `<p>${shown(end)}</p>${table(['Line', 'Entry', 'Hash before', 'Hash'], rows)}`);
}

function policies({ policies }: CloseOutRecord): string {
  const rows = policies.map(({ version, firstSeen, limits }) => [version, firstSeen, limits && JSON.stringify(limits)]);
  return section('Policies', table(['Version', 'First seen', 'Approvals and limits'], rows));
}

const NONE = '<p>None.</p>';

function section(title: string, html: string): string {
  return `<section><h2>${title}</h2>${html}</section>`;
}

type Cell = string | number | null | undefined;

function facts(pairs: readonly (readonly [string, Cell])[]): string {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined);
  return `<dl>${told.map(([name, value]) => `<dt>${name}</dt><dd>${shown(value)}</dd>`).join('')}</dl>`;
}

function table(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return NONE;
  const head = columns.map((column) => `<th>${column}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${shown(cell)}</td>`).join('')}</tr>`).join('');
  return `<table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`;
}

function tally(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([reason, count]) => `${reason}: ${count}`)
    .join(', ');
}

/** The only way of a text onto the page. */
function shown(value: Cell): string {
  return neutral(String(value ?? '')).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
