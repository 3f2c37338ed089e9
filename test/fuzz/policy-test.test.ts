import fc from 'fast-check';
import t from 'tap';
import { decideSafely } from '../../src/gate/decide-safely.js';
import { httpProtocol } from '../../src/http/protocol.js';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

/* What `daypass policy test` says of a request is what comes of it. */

const ALLOW = [
  { route: 'GET /orders/:id<int>', query: { status: ['open', 'paid'] } },
  { route: 'GET /orders/:id', headers: { 'x-kind': { one_of: ['v', 'w'], optional: true } } },
  { route: 'POST /orders/:id', headers: { 'x-kind': 'v' }, body: '1KiB' },
  'SSE /events',
  'GET /packages/:name<path>',
  'DELETE /orders/**',
  { route: 'HEAD /**', query: { q: { type: 'int', optional: true } } },
];
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS');
const paths = [
  '/orders',
  '/orders/7',
  '/orders/07',
  '/orders/x',
  '/order%73/7',
  '/orders/7/x',
  '/packages/a%2fb',
  '/packages/a',
];
const path = fc.constantFrom(
  ...paths,
  '/events',
  '/',
  '/orders/%2e',
  '/orders//7',
  '/orders/7%2f8',
  '/orders/7;a',
  '/[id]',
);
const parameter = fc.constantFrom(
  'status=open',
  'status=paid',
  'Status=open',
  'q=1',
  'q=x',
  'q[]=1',
  '_method=PUT',
  '%zz',
);
const query = fc.array(parameter, { maxLength: 2 }).map((all) => (all.length === 0 ? '' : `?${all.join('&')}`));
const conditions = [
  'x-kind: v',
  'X-Kind:v',
  'x-kind:  w ',
  'x-kind: v\t',
  'x_kind: v',
  'x-kind: other',
  'connection: x-kind',
];
const header = fc.constantFrom(...conditions, 'accept: text/event-stream', 'accept: text/csv, text/event-stream;q=0.5');
const body = fc.constantFrom('', '', 'content-length: 3', 'content-length: 2000', 'transfer-encoding: chunked');

function bodyOf(framing: string): string {
  if (framing === 'transfer-encoding: chunked') return '3\r\nabc\r\n0\r\n\r\n';
  return 'x'.repeat(Number(/\d+/.exec(framing)?.[0] ?? 0));
}

t.test(`the gateway does what policy test says (FUZZ_SEED=${seed})`, async (t) => {
  const echo = await startEcho(t, (req, res) => {
    req.resume().once('end', () => res.setHeader('content-type', 'text/event-stream').end());
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ALLOW } } }, { mode: 'buffered' });
  const { handle } = gateway.issue('web', { forMs: 600_000 });
  const asked = fc.record({ method, path, query, headers: fc.array(header, { maxLength: 3 }), body });
  await fc.assert(
    fc.asyncProperty(asked, async ({ method, path, query, headers, body }) => {
      const lines = body === '' ? headers : [...headers, body];
      const head = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n`;
      const sent = `${method} ${path}${query} HTTP/1.1\r\n${head}${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
      const before = echo.requests.length;
      const answer = await raw(t, gateway.port, sent + bodyOf(body)).ended;
      const role = gateway.gate.live.registry.all()[0]?.role;
      const told = decideSafely(httpProtocol, role, httpProtocol.actionFromWords([method, path + query, ...lines]));
      const passed = echo.requests.length > before;
      const isSo = passed === (told.outcome === 'allow');
      const reason = /"reason":"(\w+)"/.exec(answer)?.[1];
      return isSo && (passed || method === 'HEAD' || reason === told.reason);
    }),
    { seed, numRuns: 400 },
  );
});
