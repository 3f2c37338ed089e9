import { browserOf, loginOf } from '../../api/ground.js';
import type { TestGateway } from '../../support/gateway.js';
import { type Answered, NAVIGATION, TestBrowser, webPolicy } from './fixture.js';

export const TASK = 'Find out why order 4711 was charged twice';

/** Makes `web` a service that can be asked for. */
export function askable(gateway: TestGateway, access = 'approvals: 1'): Promise<void> {
  return gateway.policy('web', `${webPolicy('http://127.0.0.1:1')}access: { ${access} }\n`);
}

/** Asks for `web` by the API; answers the request's id. */
export async function askedBy(gateway: TestGateway, subject: string, more: object = {}): Promise<string> {
  const ask = browserOf(gateway, await loginOf(gateway, subject));
  const made = await ask('POST', '/requests', { service: 'web', task: TASK, seconds: 7_200, ...more });
  if (made.status !== 201) throw new Error(made.text);
  return String(made.body.id);
}

/** Somebody's browser at the pages of requests. */
export interface Visitor {
  /** The secret of their login. */
  readonly secret: string;
  look(path: string): Promise<Answered>;
  /** Sends a form, as the browser would unless `headers` say otherwise. */
  send(path: string, form: Form, headers?: Readonly<Record<string, string>>): Promise<Answered>;
  /** Opens the page and sends one of its forms. */
  decide(id: string, form: Readonly<Record<string, string>>): Promise<Answered>;
}

export type Form = Readonly<Record<string, string>> | Iterable<readonly [string, string]>;

export async function visitorOf(gateway: TestGateway, subject: string): Promise<Visitor> {
  const browser = new TestBrowser(gateway.ports.http);
  const cookie = await loginOf(gateway, subject);
  const own = { ...NAVIGATION, cookie };
  const look = (path: string) => browser.ask('localhost', path, { headers: own });
  const send: Visitor['send'] = (path, form, headers = {}) => {
    const body = new URLSearchParams(pairsOf(form)).toString();
    const posted = {
      ...{ ...own, 'sec-fetch-site': 'same-origin', origin: `http://localhost:${gateway.ports.http}` },
      ...{ 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(Buffer.byteLength(body)) },
    };
    const kept = Object.entries({ ...posted, ...headers }).filter(([, value]) => value !== '');
    return browser.ask('localhost', path, { method: 'POST', headers: Object.fromEntries(kept), body });
  };
  const decide: Visitor['decide'] = async (id, form) => {
    const path = `/requests/${id}`;
    return send(path, { token: tokenIn((await look(path)).body), ...form });
  };
  return { secret: cookie.slice(cookie.indexOf('=') + 1), look, send, decide };
}

function pairsOf(form: Form): [string, string][] {
  const pairs = Symbol.iterator in form ? [...form] : Object.entries(form);
  return pairs.map(([name, value]) => [name, value]);
}

/** What makes a form of a page the page's own. */
export function tokenIn(html: string): string {
  return /name="token" value="([^"]+)"/.exec(html)?.[1] ?? '';
}
