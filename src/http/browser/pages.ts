import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { escapeHtml, STYLE, STYLE_HASH } from '../deny.js';

/** A page of the gateway's own. Its forms lead to its own host alone. */
interface Page {
  readonly title: string;
  /** HTML; whatever is not ours in it is escaped. */
  readonly body: string;
  readonly script?: string;
  /** Where a form of it leads besides this host: an origin. */
  readonly leadsTo?: string;
}

/**
 * Moves the code out of the address line into the form. It is sent on the person's word, never by itself: whoever follows a
 * link that somebody else made sees that they are about to log in, and previews of links use none up.
 */
const LOGIN_SCRIPT =
  "document.querySelector('input').value=location.hash.slice(1);history.replaceState(null,'','/login');";

/** The page that a login link opens. */
export const LOGIN_PAGE: Page = {
  title: 'Log in',
  body:
    '<h1>Log in to Daypass</h1><p>You were given a link that logs this browser in, once, within ten minutes.</p>' +
    '<form method="post" action="/login"><input type="hidden" name="code"><p><button>Log in</button></p></form>',
  script: LOGIN_SCRIPT,
};

/**
 * The gateway's own page for somebody who is not logged in.
 * @param directory - whether a company account logs in
 * @param target - where to go afterwards
 */
export function welcomePage(directory: boolean, target: string): Page {
  const link = directory
    ? `<p>${directoryLink(target)}</p><p>Without one, ask`
    : '<p>To use a web service in the browser, ask';
  return {
    title: 'Daypass',
    body: `<h1>Not logged in</h1><p>This is a Daypass gateway.</p>${link} your sponsor or an operator for a login link, and open it in this browser.</p>`,
  };
}

/** For a login that another site began, or nobody knows who: it takes a person to go on. */
export function directoryPage(target: string): Page {
  return { title: 'Log in', body: `<h1>Log in to Daypass</h1><p>${directoryLink(target)}</p>` };
}

/** A link and no form: what a form leads to may not lead on to another host (CSP `form-action`). */
function directoryLink(target: string): string {
  const to = target === '/' ? '' : `?to=${encodeURIComponent(target)}`;
  return `<a href="/login/oidc${escapeHtml(to)}">Log in with your company account</a>`;
}

/** After a logout of somebody who came by the directory, where they are logged in still. */
export function loggedOutPage(elsewhere: string): Page {
  return {
    title: 'Logged out',
    body:
      '<h1>Logged out of Daypass everywhere</h1><p>Your company account may still be logged in.</p>' +
      `<p><a href="${escapeHtml(elsewhere)}">Log out of your company account, too</a></p><p><a href="/">Back to Daypass</a></p>`,
  };
}

/** What a person is asked when a command line wants to act for them. */
export interface ToolQuestion {
  readonly principal: string;
  readonly client: string;
  readonly until: string;
  readonly port: string;
  readonly challenge: string;
  readonly state: string;
  readonly token: string;
}

/** The page on which a person lets a command line in. */
export function toolPage({ principal, until, ...form }: ToolQuestion): Page {
  const fields = Object.entries(form).map(
    ([name, value]) => `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`,
  );
  return {
    title: 'Log in a command line',
    leadsTo: `http://127.0.0.1:${form.port}`,
    body:
      `<h1>Let a command line act as ${escapeHtml(principal)}?</h1>` +
      '<p>Say yes only if you have just run <code>daypass login</code> yourself, on this machine.</p>' +
      `<dl><dt>account</dt><dd>${escapeHtml(principal)}</dd><dt>machine</dt><dd>${escapeHtml(form.client)}, as it calls itself</dd>` +
      `<dt>until</dt><dd>${escapeHtml(until)}, or until you log out everywhere</dd></dl>` +
      `<form method="post" action="/login/tool">${fields.join('')}<p><button name="answer" value="yes">Yes, let it in</button> ` +
      '<button name="answer" value="no">No</button></p></form>',
  };
}

/** A grant as the page lists it. */
export interface Listed {
  readonly service: string;
  readonly role: string;
  readonly until: string;
  /** Where its service opens. */
  readonly href: string;
}

/** The gateway's own page for somebody who is logged in: what they may open, and the way out. */
export function homePage(principal: string, grants: readonly Listed[]): Page {
  const rows = grants.map(
    ({ service, role, until, href }) =>
      `<p><a href="${escapeHtml(href)}">${escapeHtml(service)}</a> as ${escapeHtml(role)}, until ${escapeHtml(until)}</p>`,
  );
  const list = rows.length > 0 ? rows.join('') : '<p>You have no access to a web service at the moment.</p>';
  return {
    title: 'Daypass',
    body:
      `<h1>Logged in as ${escapeHtml(principal)}</h1>${list}` +
      '<form method="post" action="/logout"><p><button>Log out everywhere</button></p></form>',
  };
}

/** Answers with a page. As for the others that send: null, nothing is left to be said. */
export function sendPage(res: ServerResponse, page: Page, cookies: readonly string[] = []): null {
  const { title, body, script, leadsTo = '' } = page;
  const html = [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>${title}</title><style>${STYLE}</style></head><body><main>${body}</main>`,
    `${script === undefined ? '' : `<script>${script}</script>`}</body></html>\n`,
  ].join('');
  const scripts = script === undefined ? '' : `script-src 'sha256-${hashOf(script)}'; `;
  res.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(html),
    'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; ${scripts}form-action ${`'self' ${leadsTo}`.trim()}; frame-ancestors 'none'; base-uri 'none'`,
    ...QUIET,
    ...(cookies.length === 0 ? {} : { 'set-cookie': [...cookies] }),
  });
  res.end(html);
  return null;
}

/**
 * For every answer on the way of a login. `same-origin`, not `no-referrer`: under that one browsers would send forms with
 * `Origin: null`.
 */
const QUIET = {
  'cache-control': 'no-store',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
};

/** Leads a browser on. What stands in the address it leaves is told to nobody. */
export function sendOn(res: ServerResponse, location: string, cookies: readonly string[] = []): null {
  res.writeHead(303, {
    location,
    'content-length': 0,
    ...QUIET,
    'referrer-policy': 'no-referrer',
    ...(cookies.length === 0 ? {} : { 'set-cookie': [...cookies] }),
  });
  res.end();
  return null;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
