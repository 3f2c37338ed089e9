import t from 'tap';
import { prefersHtml } from '../../src/http/refusals/deny.js';
import type { CutReason, DenialReason } from '../../src/policy/reason.js';
import { startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';

const OPENING =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** What is asked, and the rest of its head: a request, and the opening of a WebSocket. */
const ASKED = [
  ['GET /x', ''],
  ['GET /live', OPENING],
] as const;

const DENIED: readonly (readonly [DenialReason, number])[] = [
  ['unknown_grant', 401],
  ['not_yet', 401],
  ['expired', 401],
  ['revoked', 401],
  ['suspended', 401],
  ['outside_hours', 401],
  ['wrong_principal', 403],
  ['store_unavailable', 503],
  ['recorder_unavailable', 503],
];

t.test('a grant that lets nobody in is refused with its reason, is counted and told of once', async (t) => {
  const echo = await startEcho(t);
  const refused = new Map<string, DenialReason>();
  const services = { web: { url: echo.url, roles: { viewer: ['GET /x', 'WS /live'] } } };
  const gateway = await startGateway(t, services, { refused });
  const told = () => gateway.lines.filter((line) => JSON.parse(line).level >= 40);
  const counted = async () =>
    (await gateway.metrics.registry.metrics()).match(/admissions_total\{.*"refused".*/g) ?? [];
  const sum = async () => (await counted()).reduce((all, line) => all + Number(/(\d+)$/.exec(line)?.[1]), 0);
  for (const [reason, status] of DENIED) {
    for (const [line, rest] of ASKED) {
      const { id, handle } = gateway.issue('web');
      refused.set(id, reason);
      const [lines, counts] = [told().length, await sum()];
      const head = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n${rest || 'Connection: close\r\n'}`;
      const answer = await raw(t, gateway.port, `${line} HTTP/1.1\r\n${head}\r\n`).ended;
      const words = `${reason}: ${line}`;
      t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*"reason":"${reason}"`), words);
      t.match(answer, /^cache-control: no-store/im, words);
      t.equal(/^www-authenticate:/im.test(answer), status === 401, words);
      t.equal(await sum(), counts + 1, `${words}: one count`);
      t.match(
        told()
          .slice(lines)
          .map((one) => JSON.parse(one)),
        [{ reason, rule: /./ }],
        `${words}: one line`,
      );
    }
  }
  t.equal(echo.requests.length, 0, 'the service hears nothing of them');
});

t.test('a page is for who prefers HTML by weight, then by place', (t) => {
  const pages = [
    'text/html',
    'Text/HTML;level=1',
    'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
    'text/html, image/gif, *; q=.2, */*; q=.2',
    'text/html, application/json',
    'application/json;q=0.5, text/html',
    'application/json;q=0, text/html;q=0.1',
  ];
  const problems = [
    '',
    '*/*',
    'text/*',
    'text/html;q=0',
    'text/html; Q=0.0',
    'text/html;q=x',
    'text/html;q=0.1, application/json',
    'application/problem+json, text/html',
    'application/json, text/html',
    'application/json;q=0.5, text/html;q=0.5',
    'text/htmlx',
  ];
  for (const accept of pages) t.ok(prefersHtml(accept), accept);
  for (const accept of problems) t.notOk(prefersHtml(accept), accept);
  t.end();
});

const CUT: readonly (readonly [CutReason, number])[] = [
  ['expired', 401],
  ['revoked', 401],
  ['unknown_grant', 401],
  ['suspended', 401],
  ['hours_over', 401],
  ['logged_out', 401],
  ['replaced', 401],
  ['policy_gone', 403],
  ['tripwire', 403],
  ['ended', 403],
  ['stale', 503],
  ['recorder_stalled', 503],
  ['shutdown', 503],
];

t.test('whatever is under way when its session is cut is told why, and its connection ends', async (t) => {
  const echo = await startEcho(t, () => {});
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /x', 'WS /live'] } } });
  for (const [reason, status] of CUT) {
    for (const [line, rest] of ASKED) {
      const { id, handle } = gateway.issue('web');
      const before = echo.requests.length;
      const head = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n${rest}`;
      const client = raw(t, gateway.port, `${line} HTTP/1.1\r\n${head}\r\n`);
      await echo.request((seen) => echo.requests.indexOf(seen) >= before);
      for (const session of gateway.gate.live.registry.ofGrant(id)) session.cut(reason);
      const answer = await client.ended;
      const words = `${reason}: ${line}`;
      t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*"reason":"${reason}"`), words);
      t.match(answer, /^connection: close/im, words);
      t.match(answer, /^cache-control: no-store/im, words);
      t.equal(/^www-authenticate:/im.test(answer), status === 401, words);
      const [sent = '', body = ''] = answer.split('\r\n\r\n');
      t.equal(/^content-length: (\d+)/im.exec(sent)?.[1], String(Buffer.byteLength(body, 'latin1')), words);
    }
  }
});
