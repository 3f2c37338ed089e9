import { createHash, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type BrowserContext, type Browser as Chromium, chromium, type Page } from 'playwright-core';
import type { Test } from 'tap';
import { WebSocketServer } from 'ws';
import { selfSigned } from '../../support/certificate.js';
import { startGateway, type TestGateway } from '../../support/gateway.js';
import { listen } from '../gateway.js';
import { linkFor, webPolicy } from './fixture.js';

const PROGRAM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
/** Why tests with a real browser are left out; false when they are not. */
export const skip = PROGRAM === undefined ? 'Chromium is not installed' : false;

/** A name as companies have them: what stands beside and above it is the same site to browsers. */
export const DOMAIN = 'gw.example.test';
/** Who logs in. */
const ALICE = 'alice';

/** A service with pages, a form that posts, a stream of events and a WebSocket; what reached it, and with which cookies. */
export async function startPages(t: Test, answer: (req: IncomingMessage, res: ServerResponse) => void = page) {
  const seen: string[] = [];
  const cookies: string[] = [];
  const server = createServer((req, res) => {
    if (req.url !== '/favicon.ico') seen.push(`${req.method} ${req.url}`);
    cookies.push(req.headers.cookie ?? '');
    // In the gateway's name, too: it must not get through.
    res.setHeader('set-cookie', ['mine=1; Path=/', '__Host-daypass=tossed; Path=/; Secure']);
    answer(req, res);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    seen.push('WS');
    socket.send('hello');
  });
  return { seen, cookies, url: `http://127.0.0.1:${await listen(t, server)}` };
}

/** A service worker that tells which windows of its origin are open, and where they are. */
const LISTING_WORKER = `self.onmessage = async ({ source }) => {
  const windows = await clients.matchAll({ includeUncontrolled: true, type: 'all' });
  source.postMessage(windows.map(({ url }) => url));
};`;

function page(req: IncomingMessage, res: ServerResponse): void {
  if (req.url === '/events') {
    res.setHeader('content-type', 'text/event-stream');
    res.write('retry: 50\ndata: first\n\n');
    return;
  }
  if (req.url === '/app/worker.js') {
    res.setHeader('content-type', 'text/javascript');
    res.end(LISTING_WORKER);
    return;
  }
  res.setHeader('content-type', 'text/html');
  res.end(`<title>${req.method} ${req.url}</title><form method="post" action="/done"><button>Go</button></form>`);
}

/** A gateway over TLS with the services x and y, grants for both, and how a browser comes to trust it. */
export async function startOverTls(t: Test) {
  const { cert, key } = await selfSigned(DOMAIN, `*.${DOMAIN}`, '*.example.test');
  const settings = 'tls: { cert: { file: cert.pem }, key: { file: key.pem } }\ndrain: 0s';
  const [x, y] = [await startPages(t), await startPages(t)];
  const services = {
    x: webPolicy(x.url, 'x').replace('"POST /**"', '"POST /done", "POST /posted"'),
    y: webPolicy(y.url, 'y'),
  };
  const files = { 'cert.pem': cert, 'key.pem': key };
  const gateway = await startGateway(t, { services, domain: DOMAIN, settings, files });
  const grants = { x: await gateway.issue({ service: 'x' }), y: await gateway.issue({ service: 'y' }) };
  const at = (name: string) => `https://${name}${DOMAIN}:${gateway.ports.http}`;
  const origins = { home: at(''), x: at('x.'), y: at('y.') };
  // Trusted as any certificate is: where errors are waved through, browsers leave out what only a good connection may do.
  const pin = createHash('sha256').update(publicKeyOf(cert)).digest('base64');
  return {
    gateway,
    grants,
    origins,
    x,
    y,
    tls: { cert, key },
    trusting: `--ignore-certificate-errors-spki-list=${pin}`,
  };
}

function publicKeyOf(cert: string): Buffer {
  return new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' });
}

export async function launch(t: Test, ...more: readonly string[]): Promise<Chromium> {
  const browser = await chromium.launch({ executablePath: PROGRAM ?? '', args: argsWith(more) });
  t.teardown(() => browser.close());
  return browser;
}

/** A browser with a profile, as people have one: what windows without a trace leave out is there. */
export async function launchProfile(t: Test, ...more: readonly string[]): Promise<BrowserContext> {
  const profile = await mkdtemp('/tmp/dp-chromium-');
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: PROGRAM ?? '',
    args: argsWith(more),
  });
  t.teardown(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  });
  return context;
}

function argsWith(more: readonly string[]): string[] {
  return ['--no-sandbox', '--host-resolver-rules=MAP *.example.test 127.0.0.1', ...more];
}

/** Logs a browser in by a link, as a person does. */
export async function logIn(page: Page, gateway: TestGateway, home: string, principal = ALICE): Promise<void> {
  await page.goto(`${home}/login#${await linkFor(gateway, principal)}`);
  await page.click('button');
  await page.waitForURL(`${home}/`);
}

/** What a page's script is answered: of what kind it is, or that it failed. */
export function fetchFrom(page: Page, url: string, init: object = {}): Promise<string> {
  return page.evaluate(
    async ([url, init]) => {
      try {
        return String((await fetch(url, { credentials: 'include', ...init })).type);
      } catch {
        return 'failed';
      }
    },
    [url, init] as const,
  );
}

/** How the opening of a page's WebSocket ends. */
export function socketFrom(page: Page, url: string): Promise<string> {
  return page.evaluate(
    (url) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve('open');
        socket.onclose = ({ code, reason }) => resolve(`${code} ${reason}`);
      }),
    url,
  );
}
