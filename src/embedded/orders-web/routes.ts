import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Orders } from './orders.js';
import { homePage, listPage, messagePage, orderPage } from './pages.js';

/** Milliseconds that the slow endpoint waits at most. */
const SLOWEST = 600_000;

/** One request, taken apart. */
interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** A browser: answered with a page; everything else gets JSON. */
  readonly browser: boolean;
  readonly orders: Orders;
}

type Route = readonly [method: string, pattern: RegExp, run: (call: Call, id: number) => Promise<void>];

const ROUTES: readonly Route[] = [
  ['GET', /^\/$/, home],
  ['GET', /^\/healthz$/, async (call) => answer(call, 200, { status: 'ok' })],
  ['GET', /^\/orders(?:\.json)?$/, list],
  ['GET', /^\/orders\/slow$/, slow],
  ['GET', /^\/orders\/stream$/, stream],
  ['GET', /^\/orders\/(\d{1,15})(?:\.json)?$/, detail],
  ['POST', /^\/orders\/(\d{1,15})\/retry$/, retry],
  ['DELETE', /^\/orders\/(\d{1,15})$/, remove],
];

/** Answers one request that carries the token. */
export async function route(request: IncomingMessage, response: ServerResponse, orders: Orders): Promise<void> {
  const [path = '/', query = ''] = (request.url ?? '/').split(/\?(.*)/s);
  const browser = (request.headers.accept ?? '').includes('text/html') && !path.endsWith('.json');
  const call = { request, response, query: new URLSearchParams(query), browser, orders };
  request.resume(); // no route reads a body
  const here = ROUTES.filter(([, pattern]) => pattern.test(path));
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const found = here.find(([wanted]) => wanted === method);
  if (found) return found[2](call, Number(found[1].exec(path)?.[1]));
  if (here.length === 0) return refuse(call, 404, 'there is no such page');
  response.setHeader('allow', here.map(([wanted]) => wanted).join(', '));
  return refuse(call, 405, 'this method is not served here');
}

async function home(call: Call): Promise<void> {
  const counts = await call.orders.counts();
  answer(call, 200, { counts }, () => homePage(counts));
}

async function list(call: Call): Promise<void> {
  const status = call.query.get('status') ?? undefined;
  const page = Math.min(Math.max(1, Math.trunc(Number(call.query.get('page') ?? 1)) || 1), 10_000);
  const found = await call.orders.list(status, page);
  answer(call, 200, { page, orders: found }, () => listPage(found, status, page));
}

async function detail(call: Call, id: number): Promise<void> {
  const order = await call.orders.find(id);
  if (!order) return refuse(call, 404, `there is no order ${id}`);
  answer(call, 200, order, () => orderPage(order));
}

async function retry(call: Call, id: number): Promise<void> {
  if (!(await call.orders.retry(id))) return refuse(call, 404, `there is no order ${id}`);
  if (call.browser) {
    call.response.writeHead(303, { location: `/orders/${id}`, 'content-length': 0 }).end();
    return;
  }
  answer(call, 202, await call.orders.find(id));
}

async function remove(call: Call, id: number): Promise<void> {
  if (!(await call.orders.remove(id))) return refuse(call, 404, `there is no order ${id}`);
  call.response.writeHead(204).end();
}

/** Answers after `ms` milliseconds (2,000 unless told): something to be waiting for when access ends. */
async function slow(call: Call): Promise<void> {
  const ms = Math.min(Math.max(0, Math.trunc(Number(call.query.get('ms') ?? 2_000)) || 0), SLOWEST);
  if (await waited(call, ms)) answer(call, 200, { waited_ms: ms });
}

/** Server-sent events without end, one each `ms` milliseconds (1,000 unless told). */
async function stream(call: Call): Promise<void> {
  const { response } = call;
  const ms = Math.max(10, Math.trunc(Number(call.query.get('ms') ?? 1_000)) || 1_000);
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  if (call.request.method === 'HEAD') return void response.end();
  for (let number = 1; !response.destroyed; number += 1) {
    const data = JSON.stringify({ number, at: new Date().toISOString(), counts: await call.orders.counts() });
    response.write(`id: ${number}\nevent: orders\ndata: ${data}\n\n`);
    if (!(await waited(call, ms))) return;
  }
}

/** @returns false when the client went away meanwhile */
async function waited({ response }: Call, ms: number): Promise<boolean> {
  const gone = new AbortController();
  const onClose = () => gone.abort();
  response.once('close', onClose);
  try {
    await delay(ms, undefined, { signal: gone.signal });
    return !response.destroyed;
  } catch {
    return false;
  } finally {
    response.removeListener('close', onClose);
  }
}

/** A refusal or a fault, as a page or as JSON. */
export function refuse(call: Pick<Call, 'response' | 'browser'>, status: number, message: string): void {
  answer(call, status, { error: message }, () => messagePage(`Error ${status}`, message));
}

function answer(call: Pick<Call, 'response' | 'browser'>, status: number, value: unknown, html?: () => string): void {
  const asPage = call.browser && html !== undefined;
  const body = asPage ? html() : `${JSON.stringify(value)}\n`;
  const type = asPage ? 'text/html; charset=utf-8' : 'application/json';
  call.response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
