import type { Admission } from '../gate/admission.js';
import type { Carried } from '../gate/carried.js';
import type { Proof } from '../gate/credential.js';
import type { Gate } from '../gate/gate.js';
import type { BrowserAccess } from '../identity/browser-access.js';
import type { DenialReason } from '../policy/reason.js';
import type { Header } from './action.js';
import { cookiesNamed, SESSION_COOKIE } from './browser/cookies.js';
import { foreignRequest, foreignSocket, isForm, isNavigation, isOfOwnPage } from './browser/foreign.js';
import type { Credential } from './credential.js';
import type { Head } from './head.js';
import { valuesOf } from './headers/headers.js';
import type { Selected } from './headers/host.js';
import { type Refusal, refusalFor, refusalOf } from './refusals/deny.js';
import type { Faults } from './refusals/faults.js';
import { HttpUpstream } from './service/target.js';

/** Who is let in to what; never thrown, always answered. */
export type Entry =
  | { readonly ok: true; readonly admission: Admission }
  | {
      readonly ok: false;
      readonly refusal: Refusal;
      /** A person goes to a page: they may be led to the gateway's host, to come back with a session. */
      readonly mayLogIn?: true;
    };

/** What letting in takes. */
export interface EntryParts {
  readonly gate: Gate;
  readonly access: BrowserAccess;
  readonly scheme: 'http' | 'https';
  readonly faults: Faults;
}

/** Who asks. `method` is `WS` for the opening of a WebSocket. */
export interface Asking {
  readonly method: string;
  readonly head: Head;
  readonly client: string;
  /** Given in a tunnel: who it is is known. */
  readonly carried?: Carried | undefined;
}

type Entered = Extract<Entry, { ok: true }>;
type Service = Extract<Selected, { kind: 'service' }>;

/**
 * Admits a request to the service its Host selects. Answers without waiting when its session is live already, which is the
 * way of every request but the first.
 */
export function enter(parts: EntryParts, selected: Selected, asking: Asking): Entry | Promise<Entry> {
  const { gate } = parts;
  const { head, client } = asking;
  const away = (service: string, reason: DenialReason) =>
    gate.turnedAway({ service, credential: null, client }, { reason, rule: 'admission' });
  if (selected.kind !== 'service') {
    if (selected.kind === 'unknown') away(selected.host, 'unknown_service');
    if (selected.kind === 'invalid') parts.faults.tell({ client, ...INVALID_HOST });
    return { ok: false, refusal: refusalOfHost(selected) };
  }
  if (asking.carried !== undefined) return inTunnel(parts, selected, asking, asking.carried);
  const credential = credentialOf(gate, selected, head);
  if (credential === null) {
    away(selected.name, 'malformed');
    return { ok: false, refusal: TWO_HANDLES };
  }
  const { presented, isAmbient } = credential;
  if (presented !== null) {
    const foreign = isAmbient ? foreignUnlessTool(asking, `${parts.scheme}://${selected.host}`) : null;
    return foreign === null
      ? byHandle(gate, selected, presented, asking)
      : refuseForeign(parts, selected, client, foreign);
  }
  const cookies = cookiesNamed(valuesOf(head.headers, 'cookie'), SESSION_COOKIE);
  return cookies.length === 0 ? strangers(parts, selected, asking) : byCookie(parts, selected, asking, cookies);
}

/** A service whose policy passes on the client's own `Authorization` has it; it says nothing to us then. */
function credentialOf(gate: Gate, { name }: Service, head: Head): Credential {
  if (!head.hasForeignAuthorization) return head.credential;
  const upstream = gate.upstreamOf(name);
  return upstream instanceof HttpUpstream && head.passes(upstream) ? head.credentialBeside : head.credential;
}

/** The very headers that let somebody in do so again, as long as what they opened lives. */
function byHandle(gate: Gate, selected: Service, handle: string, { head, client }: Asking): Entry | Promise<Entry> {
  if (head.admission?.session.isLive()) return { ok: true, admission: head.admission };
  const entry = admit(gate, selected, handle, client);
  if (!(entry instanceof Promise)) head.admission = entry.admission;
  return entry;
}

/**
 * Whatever reaches the local port is let in, also what any page makes a browser of that machine ask for: as with a cookie, whose
 * idea it was comes first. Tools say nothing of that.
 */
function inTunnel(parts: EntryParts, selected: Service, asking: Asking, carried: Carried): Entry | Promise<Entry> {
  const { gate } = parts;
  const { client, head } = asking;
  const credential = credentialOf(gate, selected, head);
  const foreign = foreignUnlessTool(asking, `http://${selected.host}`);
  if (foreign !== null) return refuseForeign(parts, selected, client, foreign);
  if (credential === null || credential.presented !== null) {
    gate.turnedAway({ service: selected.name, credential: null, client }, { reason: 'malformed', rule: 'admission' });
    return { ok: false, refusal: TWO_CREDENTIALS };
  }
  const entering = admit(gate, selected, carried.proof, client, 'tunnel');
  const began = (entry: Entry) => {
    if (entry.ok) carried.began(entry.admission.session);
    return entry;
  };
  return entering instanceof Promise ? entering.then(began) : began(entering);
}

/** Why a request is refused that a browser may have made for a page of another site; tools say nothing of where it comes from. */
function foreignUnlessTool({ method, head: { headers } }: Asking, own: string): string | null {
  const isTool = ['origin', 'sec-fetch-site'].every((name) => valuesOf(headers, name).length === 0);
  if (isTool) return null;
  return foreignTo(own, method, headers);
}

function foreignTo(own: string, method: string, headers: readonly Header[]): string | null {
  return method === 'WS' ? foreignSocket(headers, own) : foreignRequest(method, headers, own);
}

function refuseForeign(parts: EntryParts, selected: Service, client: string, why: string): Entry {
  return refuseTold(parts, selected, client, foreignRefusal(why));
}

/** A refusal that the gate does not hear of. */
function refuseTold({ faults, gate }: EntryParts, { name }: Service, client: string, refusal: Refusal): Entry {
  const { status, reason, rule = '' } = refusal;
  faults.tell({ service: known(gate, name), client, status, reason, rule });
  return { ok: false, refusal };
}

function admit(
  gate: Gate,
  { name }: Service,
  credential: string | Proof | null,
  client: string,
  via?: 'tunnel',
): Entered | Promise<Entry> {
  const live = credential === null ? null : gate.admitted(name, credential, client);
  if (live !== null) return { ok: true, admission: live };
  return gate
    .admit({ protocol: 'http', service: name, credential, client, shared: true, ...(via && { via }) })
    .then((answer): Entry => (answer.ok ? answer : { ok: false, refusal: refusalOf(answer.decision) }));
}

/** Neither a handle nor a cookie. A browser throws the cookie away when its time is over: a page that stayed open asks without it. */
function strangers(parts: EntryParts, selected: Service, asking: Asking): Entry | Promise<Entry> {
  const { gate, scheme } = parts;
  const { method, head, client } = asking;
  if (!gate.serves(selected.name, 'http')) return admit(gate, selected, null, client);
  if (isNavigation(method, head.headers)) return { ok: false, refusal: NOT_LOGGED_IN, mayLogIn: true };
  if (isOfOwnPage(head.headers, `${scheme}://${selected.host}`)) return loggedOut(parts, selected, asking);
  if (isForm(method, head.headers)) return withoutLogin(parts, selected, client, SENT_FROM_ELSEWHERE);
  return admit(gate, selected, null, client);
}

/** A page of the service asks for something, whose login is over. */
function loggedOut(parts: EntryParts, selected: Service, { method, client }: Asking): Entry {
  return withoutLogin(parts, selected, client, method === 'POST' ? LOGGED_OUT_AMID : NOT_LOGGED_IN);
}

function withoutLogin(
  { gate }: EntryParts,
  { name }: Service,
  client: string,
  refusal: Refusal,
  reason: DenialReason = 'malformed',
): Entry {
  gate.turnedAway({ service: name, credential: null, client }, { reason, rule: 'login' });
  return { ok: false, refusal };
}

/** A cookie comes along with whatever any page makes a browser ask: first of all, whose idea the request was. */
function byCookie(
  parts: EntryParts,
  selected: Service,
  asking: Asking,
  [cookie = '', ...more]: readonly string[],
): Entry | Promise<Entry> {
  const { method, client } = asking;
  if (more.length > 0) return refuseTold(parts, selected, client, TWO_COOKIES);
  const foreign = foreignTo(`${parts.scheme}://${selected.host}`, method, asking.head.headers);
  if (foreign !== null) return refuseForeign(parts, selected, client, foreign);
  const browser = findBrowser(parts, cookie, selected.name);
  if (browser instanceof Promise) return browser.then((found) => admitBrowser(parts, selected, asking, found));
  return admitBrowser(parts, selected, asking, browser);
}

/** Undefined when the ledger does not answer. */
function findBrowser({ access }: EntryParts, cookie: string, service: string) {
  const found = access.browsers.find(cookie, service);
  return found instanceof Promise ? found.catch(() => undefined) : found;
}

function admitBrowser(
  parts: EntryParts,
  selected: Service,
  asking: Asking,
  browser: Proof | null | undefined,
): Entry | Promise<Entry> {
  const { gate } = parts;
  const { method, client } = asking;
  const { headers } = asking.head;
  if (browser === undefined) return withoutLogin(parts, selected, client, NOT_NOW, 'store_unavailable');
  const again = isNavigation(method, headers) && gate.serves(selected.name, 'http');
  if (browser === null && again) return { ok: false, refusal: NOT_LOGGED_IN, mayLogIn: true };
  if (browser === null) return loggedOut(parts, selected, asking);
  const entry = admit(gate, selected, browser, client);
  if (!(entry instanceof Promise)) return entry;
  // The grant of this session is over: there may be a newer one.
  return entry.then((it) => (!it.ok && again && it.refusal.status === 401 ? { ...it, mayLogIn: true } : it));
}

function known(gate: Gate, service: string): string {
  return gate.serves(service, 'http') ? service : '';
}

const NOT_LOGGED_IN = refusalFor('malformed', 'You are not logged in here.', {
  hint: 'open a page of this service in the browser, or send the handle of your grant in Authorization: Bearer',
});

/** For whoever filled in a form meanwhile. */
const LOGGED_OUT_AMID = refusalFor(
  'malformed',
  'You are not logged in here any more. What you sent did not reach the service.',
  {
    hint: 'open a page of this service in another tab and log in; then send it again',
  },
);

/** Browsers keep the login to themselves there (`SameSite`): for whoever comes back from a provider that posts (SAML). */
const SENT_FROM_ELSEWHERE = refusalFor(
  'malformed',
  'A page of another site had your browser send this, without your login. It did not reach the service.',
  { hint: 'open the service itself' },
);

const TWO_HANDLES = refusalFor('malformed', 'The request presents more than one credential.', {
  hint: 'send one; an Authorization of your own for the service passes where its policy says pass_authorization: true',
});

const TWO_CREDENTIALS = refusalFor('malformed', 'This tunnel is admitted already.', {
  hint: 'send no handle and no Authorization here',
});

const NOT_NOW = refusalFor('store_unavailable', 'Logins cannot be checked at the moment.', {
  hint: 'try again in a moment',
});

const TWO_COOKIES: Refusal = {
  status: 400,
  reason: 'bad_request',
  detail: `The request has more than one cookie ${SESSION_COOKIE}.`,
  rule: 'one login',
  hint: 'delete the cookies of this site, and open it again',
};

function foreignRefusal(why: string): Refusal {
  return {
    status: 403,
    reason: 'foreign_origin',
    detail: `Daypass refused what another site asked for with your login: ${why}.`,
    rule: 'a login counts for pages of its own host',
    hint: 'open the service itself; tools send the handle in Authorization: Bearer',
  };
}

const INVALID_HOST = {
  status: 400,
  reason: 'bad_request',
  detail: 'The Host of this request is not understood.',
  rule: 'one Host',
};

function refusalOfHost(selected: Exclude<Selected, { kind: 'service' }>): Refusal {
  if (selected.kind === 'invalid') return INVALID_HOST;
  if (selected.kind === 'unknown') {
    return refusalFor('unknown_service', 'There is no service of this name here.', {
      hint: 'check the host name of the address',
    });
  }
  return {
    status: 404,
    reason: 'not_found',
    detail: 'This is a Daypass gateway. Services are reached at <service>.<this host>.',
    hint: 'use the address you were given with your handle',
  };
}
