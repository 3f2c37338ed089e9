import { request } from 'node:http';
import type { Test } from 'tap';
import { linkFor, SAME_ORIGIN, startBrowsing, TestBrowser } from '../http/browser/fixture.js';
import type { GatewayOptions, TestGateway } from '../support/gateway.js';

/** Whoever there is in these tests, by what they are to the services `web` and `shop`. */
const PEOPLE: readonly (readonly [subject: string, groups: string, more?: string])[] = [
  ['olga', 'platform'], // operator
  ['rita', 'security'], // reviewer
  ['lee', 'leads'], // owner
  ['dana', 'staff'], // sponsor
  ['alice', '', 'contractor'],
  ['bob', '', 'contractor'],
];

export const DUTIES = 'duties: { operator: [group:platform], reviewer: [group:security] }\ndrain: 0s';

/** An answer of the API. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Empty when the answer is no JSON object. */
  readonly body: Record<string, unknown>;
}

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
}

/** A gateway with people who may log in, and the API at its own host. */
export async function startWithPeople(t: Test, options: Partial<GatewayOptions> = {}) {
  const { gateway } = await startBrowsing(t, { settings: DUTIES, ...options });
  await addPeople(gateway);
  const ask = (asked: Asked) => askApi(gateway.ports.http, asked);
  const login = (subject: string) => loginOf(gateway, subject);
  return { gateway, ask, login, as: async (subject: string) => browserOf(gateway, await login(subject)) };
}

export async function addPeople({ ledger }: Pick<TestGateway, 'ledger'>): Promise<void> {
  for (const [subject, groups, kind = 'employee'] of PEOPLE) {
    const contractor = kind === 'contractor';
    await ledger.query(
      `insert into daypass.people (subject, kind, source, name, groups, sponsor, ends_at, created_at, created_by)
       values ('${subject}', '${kind}', 'local', '${subject}', '{${groups}}', ${contractor ? "'dana'" : 'null'},
         ${contractor ? "now() + interval '90 days'" : 'null'}, now(), 'ops')`,
    );
  }
}

/** Logs somebody in with a browser; answers the Cookie header of the gateway's host. */
export async function loginOf(gateway: TestGateway, subject: string): Promise<string> {
  const browser = new TestBrowser(gateway.ports.http);
  await browser.logIn(await linkFor(gateway, subject));
  return browser.cookies('localhost');
}

/** What a page of the gateway's own would send for somebody. */
export function browserOf({ ports }: TestGateway, cookie: string) {
  const page = { ...SAME_ORIGIN, origin: `http://localhost:${ports.http}`, 'daypass-csrf': '1', cookie };
  return (method: string, path: string, body?: unknown, more: Asked['headers'] = {}) =>
    askApi(ports.http, {
      method,
      path: `/api/v1${path}`,
      headers: { ...page, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...more },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
}

/** One request on a connection of its own, as it is given. */
export function askApi(port: number, { method = 'GET', path, host = 'localhost', headers = {}, body }: Asked) {
  return new Promise<Answer>((resolve, reject) => {
    const sent = { host: `${host}:${port}`, ...headers };
    const req = request({ host: '127.0.0.1', port, method, path, agent: false, headers: sent }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      res.once('error', reject);
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text, body: jsonOf(text) }));
    });
    req.once('error', reject);
    req.end(body);
  });
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    const read: unknown = JSON.parse(text);
    return typeof read === 'object' && read !== null ? { ...read } : {};
  } catch {
    return {};
  }
}
