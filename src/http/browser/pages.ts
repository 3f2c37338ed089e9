import { createHash } from 'node:crypto';
import type { ClientResponse, OwnHeaders } from '../client/response.js';
import { BEARER_CHALLENGE } from '../credential.js';
import { escapeHtml, STYLE, STYLE_HASH } from '../refusals/deny.js';
import { INVITE_SCRIPT, PASSKEY_SCRIPT } from './passkey-script.js';
import { FORGET } from './place.js';

/** A page of the gateway's own. Its forms lead to its own host alone. */
export interface Page {
  /** Plain text. */
  readonly title: string;
  /** HTML; whatever is not ours in it is escaped. */
  readonly body: string;
  readonly script?: string;
  /** Where a form of it leads besides this host: an origin. */
  readonly leadsTo?: string;
}

/** Where a page's script says what came of it: read aloud when it changes. */
const STATUS = '<p role="status"></p>';
const NO_SCRIPT = '<noscript><p>This page needs JavaScript in this browser.</p></noscript>';

/** @param to - where it leads on, a path of ours */
function passkeyButton(to: string): string {
  return `<p><button type="button" id="use" data-to="${escapeHtml(to)}">Log in with a passkey</button></p>${STATUS}${NO_SCRIPT}`;
}

/**
 * Moves the code out of the address line into the form. It is sent on the person's word, never by itself: whoever follows a
 * link that somebody else made sees that they are about to log in, and previews of links use none up.
 */
const LOGIN_SCRIPT =
  "const code=location.hash.slice(1);document.querySelector('input').value=code;history.replaceState(null,'','/login');" +
  "document.querySelector('#link').hidden=code==='';document.querySelector('#passkey').hidden=code!=='';";

/** The page that a login link opens; without a link's code it is for passkeys. */
export const LOGIN_PAGE: Page = {
  title: 'Log in',
  body:
    '<h1>Log in to Daypass</h1>' +
    '<div id="link"><p>You were given a link that logs this browser in, once, within ten minutes.</p>' +
    '<form method="post" action="/login"><input type="hidden" name="code"><p><button>Log in</button></p></form></div>' +
    `<div id="passkey">${passkeyButton('/')}</div>`,
  script: LOGIN_SCRIPT + PASSKEY_SCRIPT,
};

/** The page that an invitation opens. */
export const INVITE_PAGE: Page = {
  title: 'Your invitation',
  body:
    '<h1>Your invitation</h1><div id="invited" hidden><p id="who"></p><p id="until"></p>' +
    '<p>You log in with a passkey: your device keeps it, and unlocks it by fingerprint, face or PIN. There is no password.</p>' +
    `<p><button type="button" id="create">Create passkey</button></p></div>${STATUS}${NO_SCRIPT}`,
  script: INVITE_SCRIPT,
};

/**
 * The gateway's own page for somebody who is not logged in.
 * @param directory - whether a company account logs in
 * @param target - where to go afterwards
 * @param leadsTo - what is there, in words of ours: no more than its address says
 */
export function welcomePage(directory: boolean, target: string, leadsTo?: string): Page {
  const company = directory ? `<p>${directoryLink(target)}</p>` : '';
  return {
    title: 'Daypass',
    body:
      `<h1>Not logged in</h1><p>This is a Daypass gateway. To ${escapeHtml(leadsTo ?? 'use a web service in the browser')}, log in.</p>` +
      `${company}${passkeyButton(target)}<p>${directory ? 'Without either' : 'Without one'}, ask your sponsor for an invitation, or an operator for a login ` +
      'link, and open it in this browser.</p>',
    script: PASSKEY_SCRIPT,
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

/** What a person is asked whose browser sends more cookies than there is room for. */
export const FORGET_PAGE: Page = {
  title: 'Delete cookies',
  body:
    '<h1>Delete your cookies here?</h1>' +
    '<p>Your browser may be keeping more cookies for this gateway than it can send. If pages say 431, delete them.</p>' +
    '<p>That logs you out: here, of all services, and in most browsers of other sites of the same domain, too.</p>' +
    `<form method="post" action="${FORGET}"><p><button>Delete the cookies</button></p></form>`,
};

export const FORGOTTEN_PAGE: Page = {
  title: 'Cookies deleted',
  body:
    '<h1>The cookies were deleted</h1><p><a href="/">Begin again</a></p>' +
    '<p>If pages still say 431, delete the cookies of the domain above this one, and of the service, in the settings of your browser.</p>',
};

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
  /** Where its service opens; null where that is not in a browser. */
  readonly href: string | null;
}

/**
 * The gateway's own page for somebody who is logged in: what they have access to, and the way out.
 * @param hasPasskeys - whether they log in with passkeys, and may look after them
 */
export function homePage(principal: string, grants: readonly Listed[], hasPasskeys: boolean): Page {
  const rows = grants.map(({ service, role, until, href }) => {
    const name = escapeHtml(service);
    const held = `as ${escapeHtml(role)}, until ${escapeHtml(until)}`;
    return href === null
      ? `<p>${name} ${held}: <code>daypass connect ${name}</code></p>`
      : `<p><a href="${escapeHtml(href)}">${name}</a> ${held}</p>`;
  });
  const list = rows.length > 0 ? rows.join('') : '<p>You have no access to a service at the moment.</p>';
  const passkeys = hasPasskeys ? '<p><a href="/passkeys">Your passkeys</a></p>' : '';
  return {
    title: 'Daypass',
    body:
      `<h1>Logged in as ${escapeHtml(principal)}</h1>${list}${passkeys}` +
      '<form method="post" action="/logout"><p><button>Log out everywhere</button></p></form>',
  };
}

/** A passkey as the page lists it; times as people read them. */
export interface ListedPasskey {
  readonly id: string;
  readonly created: string;
  readonly used: string | null;
}

/** Somebody's passkeys. @param fresh - whether they logged in with one just now, and may change them */
export function passkeysPage(passkeys: readonly ListedPasskey[], fresh: boolean): Page {
  const removable = fresh && passkeys.length > 1;
  const rows = passkeys.map(({ id, created, used }) => {
    const words = `made ${created}, ${used === null ? 'not used yet' : `last used ${used}`}`;
    const remove = `<button type="button" data-remove="${id}" aria-label="Remove the passkey ${words}">Remove</button>`;
    return `<p>${words} ${removable ? remove : ''}</p>`;
  });
  const add = `<p><button type="button" id="add">Add a passkey</button></p>${STATUS}${NO_SCRIPT}`;
  const again = `<p>To add or remove one, log in with a passkey again.</p>${passkeyButton('/passkeys')}`;
  const body = `<h1>Your passkeys</h1>${rows.join('')}${fresh ? add : again}<p><a href="/">Back</a></p>`;
  return { title: 'Your passkeys', body, script: PASSKEY_SCRIPT };
}

/** Answers with a page. As for the others that send: null, nothing is left to be said. */
export function sendPage(
  res: ClientResponse,
  page: Page,
  cookies: readonly string[] = [],
  status = 200,
  more: OwnHeaders = {},
): null {
  const { title, body, script, leadsTo = '' } = page;
  const html = [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><main>${body}</main>`,
    `${script === undefined ? '' : `<script>${script}</script>`}</body></html>\n`,
  ].join('');
  const scripts = script === undefined ? '' : `script-src 'sha256-${hashOf(script)}'; connect-src 'self'; `;
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; ${scripts}form-action ${`'self' ${leadsTo}`.trim()}; frame-ancestors 'none'; base-uri 'none'`,
  };
  const challenge = status === 401 ? { 'www-authenticate': BEARER_CHALLENGE } : {};
  res.send(status, { ...headers, ...challenge, ...QUIET, ...setting(cookies), ...more }, html);
  return null;
}

function setting(cookies: readonly string[]): OwnHeaders {
  return cookies.length === 0 ? {} : { 'set-cookie': cookies };
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
export function sendOn(res: ClientResponse, location: string, cookies: readonly string[] = []): null {
  res.send(303, { location, ...QUIET, 'referrer-policy': 'no-referrer', ...setting(cookies) });
  return null;
}

/** Answers a script of ours. */
export function sendJson(res: ClientResponse, body: object, cookies: readonly string[] = []): null {
  res.send(200, { 'content-type': 'application/json', ...QUIET, ...setting(cookies) }, `${JSON.stringify(body)}\n`);
  return null;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
