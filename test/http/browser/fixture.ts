import { createServer, type IncomingMessage, request } from 'node:http';
import type { Test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { type GatewayOptions, patiently, startGateway as startWhole, type TestGateway } from '../../support/gateway.js';
import { listen } from '../gateway.js';

/** What a page navigation of a browser looks like. */
export const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-site': 'none',
};

/** What a page's own script sends along. */
export const SAME_ORIGIN = { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'sec-fetch-site': 'same-origin' };

export interface Answered {
  readonly status: number;
  readonly location: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A service that answers with what it was sent, and talks over WebSocket; `seen` are the targets it got. The first `/slow` has no answer. */
export async function startService(t: Test, setCookies: readonly string[] = []) {
  const seen: string[] = [];
  const server = createServer((req, res) => {
    seen.push(`${req.method} ${req.url}`);
    if (req.url === '/slow' && seen.filter((one) => one === 'GET /slow').length === 1) return;
    if (setCookies.length > 0) res.setHeader('set-cookie', [...setCookies]);
    res.setHeader('clear-site-data', '"cookies"');
    res.setHeader('nel', '{"report_to":"a","max_age":86400,"success_fraction":1}');
    res.end(JSON.stringify(req.headers));
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket, req) => socket.send(JSON.stringify(req.headers)));
  return { seen, url: `http://127.0.0.1:${await listen(t, server)}` };
}

export function webPolicy(url: string, name = 'web'): string {
  return `
service: ${name}
protocol: http
lane: production
owner: group:leads
upstream: { url: "${url}" }
roles:
  viewer: { allow: ["GET /**", "POST /**", "WS /live"] }
grants: { max_duration: 8h, max_renewals: 2 }
recording: { mode: strict }
`;
}

/** A whole gateway with two services, `web` and `shop`, that are one server. */
export async function startBrowsing(
  t: Test,
  options: Partial<GatewayOptions> & { setCookies?: readonly string[] } = {},
) {
  const service = await startService(t, options.setCookies);
  const services = { web: webPolicy(service.url), shop: webPolicy(service.url, 'shop') };
  const gateway = await startWhole(t, { ...options, services });
  return { gateway, service, browser: () => new TestBrowser(gateway.ports.http) };
}

/** Makes a login link as the operator would; answers its code. */
export async function linkFor(gateway: Pick<TestGateway, 'operator'>, principal = 'alice'): Promise<string> {
  const asked = { principal, reason: 'a test', by: 'ops' };
  const { body } = await patiently(() => gateway.operator('POST', '/v1/login-links', asked));
  return String(body.url).split('#')[1] ?? '';
}

/** As much of a browser as the gateway sees: it keeps cookies per host, and goes where it is told. */
export class TestBrowser {
  readonly port: number;
  readonly jars = new Map<string, Map<string, string>>();

  constructor(port: number) {
    this.port = port;
  }

  /** The cookies of a host, as it would send them. */
  cookies(host: string): string {
    return [...(this.jars.get(host) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  /** One request; redirects are not followed. A header `cookie` is sent in place of the kept ones. */
  async ask(
    host: string,
    path: string,
    { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Answered> {
    const cookie = this.cookies(host);
    const sent = { host: `${host}:${this.port}`, ...(cookie === '' ? {} : { cookie }), ...headers };
    const answer = await new Promise<Answered>((resolve, reject) => {
      const req = request({ port: this.port, host: '127.0.0.1', path, method, headers: sent, agent: false }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        const { statusCode: status = 0, headers } = res;
        res.on('end', () => resolve({ status, location: headers.location ?? '', headers, body: text }));
      });
      req.once('error', reject);
      req.end(body);
    });
    this.#keep(host, answer.headers['set-cookie'] ?? []);
    return answer;
  }

  /** Goes to a page and follows redirects, each one as a navigation; answers the last answer and every address. */
  async visit(host: string, path: string): Promise<Answered & { way: string[] }> {
    const way = [`http://${host}:${this.port}${path}`];
    for (;;) {
      const { hostname, pathname, search } = new URL(way.at(-1) ?? '');
      const answer = await this.ask(hostname, pathname + search, { headers: NAVIGATION });
      if (answer.status !== 303) return { ...answer, way };
      way.push(new URL(answer.location, way.at(-1)).href);
      if (way.length > 10) throw new Error(`no end: ${way.join(' → ')}`);
    }
  }

  /** Uses a login link's code. */
  logIn(code: string): Promise<Answered> {
    const headers = {
      ...{ ...NAVIGATION, 'sec-fetch-site': 'same-origin', origin: `http://localhost:${this.port}` },
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(code.length + 5),
    };
    return this.ask('localhost', '/login', { method: 'POST', headers, body: `code=${code}` });
  }

  logOut(): Promise<Answered> {
    const headers = { ...NAVIGATION, 'sec-fetch-site': 'same-origin', origin: `http://localhost:${this.port}` };
    return this.ask('localhost', '/logout', { method: 'POST', headers });
  }

  /** Opens a WebSocket with the host's cookies. */
  socket(host: string, path: string, origin: string | undefined, more: Record<string, string> = {}): WebSocket {
    const headers = { host: `${host}:${this.port}`, cookie: this.cookies(host), ...more };
    return new WebSocket(`ws://127.0.0.1:${this.port}${path}`, {
      headers: origin === undefined ? headers : { ...headers, origin },
    });
  }

  #keep(host: string, set: readonly string[]): void {
    const jar = this.jars.get(host) ?? new Map<string, string>();
    this.jars.set(host, jar);
    for (const text of set) {
      const [, name = '', value = ''] = /^([^=;]*)=([^;]*)/.exec(text) ?? [];
      if (/max-age=0/i.test(text)) jar.delete(name);
      else jar.set(name, value);
    }
  }
}

/** The status with which a WebSocket was refused; 101 when it opened. */
export function openingOf(t: Test, socket: WebSocket): Promise<number> {
  t.teardown(() => socket.terminate());
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(101));
    socket.once('unexpected-response', (_req, res) => resolve(res.statusCode ?? 0));
    socket.once('error', reject);
  });
}
