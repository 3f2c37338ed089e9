import t, { type Test } from 'tap';
import type { Header } from '../../src/http/action.js';
import { readsStatus } from '../../src/http/refusals/kubernetes.js';
import type { DenialReason } from '../../src/policy/reason.js';
import { startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';

const KUBECTL = 'kubectl/v1.37.2 (linux/amd64) kubernetes/8b1c8e1';
const ASKS = `Accept: application/json, */*\r\nUser-Agent: ${KUBECTL}\r\n`;
const OPENING = `User-Agent: ${KUBECTL}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n`;

const HTML = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

t.test('whoever is made of client-go is known by what it says of itself or asks for', async (t) => {
  const known: readonly Header[] = [
    ['User-Agent', KUBECTL],
    ['user-agent', 'kubectl/v0.0.0 (linux/amd64) kubernetes/$Format'],
    ['User-Agent', 'k9s/v0.50.6 (darwin/arm64) kubernetes/8b1c8e1/a-suffix'],
    ['User-Agent', 'Helm/4.0.1'],
    ['Accept', 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'],
    ['Accept', 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json'],
    ['Accept', 'application/vnd.kubernetes.protobuf,application/json'],
  ];
  for (const header of known) t.ok(readsStatus([header]), header.join(': '));
  const others: readonly Header[] = [
    ['User-Agent', 'curl/7.88.1'],
    [
      'User-Agent',
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
    ],
    ['User-Agent', 'OpenAPI-Generator/34.1.0/python'],
    ['User-Agent', 'a-helmet Helm/1'],
    ['User-Agent', 'kubernetes/1'],
    ['Accept', 'application/json, */*'],
    ['Accept', HTML],
    ['X-Note', KUBECTL],
  ];
  for (const header of others) t.notOk(readsStatus([header]), header.join(': '));
  t.notOk(readsStatus([]));
});

/** The head and the body of an answer. */
function parted(answer: string): readonly [string, string] {
  const at = answer.indexOf('\r\n\r\n');
  return [answer.slice(0, at), answer.slice(at + 4)];
}

/** What client-go makes of an answer: a `Status`, of this type alone. */
function statusIn(t: Test, answer: string, name: string) {
  const [head, body] = parted(answer);
  t.match(head, /^content-type: application\/json\r?$/im, name);
  t.equal(/^content-length: (\d+)\r?$/im.exec(head)?.[1], String(Buffer.byteLength(body, 'latin1')), name);
  return JSON.parse(body);
}

t.test("a refusal of kubectl is a Status of the API server's own form", async (t) => {
  const echo = await startEcho(t, (req, res) => {
    if (req.url === '/breaks') req.socket.destroy();
    else if (req.url === '/x') res.end('ok');
  });
  const refused = new Map<string, DenialReason>();
  const viewer = [
    ...['GET /x', 'GET /breaks', 'GET /silent'],
    { route: 'POST /small', body: '1KiB' },
    { route: 'GET /rare', rate: '1/h' },
  ];
  const services = { web: { url: echo.url, roles: { viewer } } };
  const upstreamLimits = { connect: 1_000, response: 300 };
  const gateway = await startGateway(t, services, { refused, upstreamLimits });
  const { handle } = gateway.issue('web');
  const asks = (line: string, more = ASKS, credential = handle, host = 'web.localhost') =>
    raw(
      t,
      gateway.port,
      `${line} HTTP/1.1\r\nHost: ${host}\r\nDaypass-Handle: ${credential}\r\n${more}${more === OPENING ? '' : 'Connection: close\r\n'}\r\n`,
    ).ended;

  t.test('with all that a person needs in its message, and what a program needs in its causes', async (t) => {
    const answer = await asks('DELETE /api/v1/namespaces/shop/pods/orders-0');
    const status = statusIn(t, answer, 'a denial');
    const [, session] = /session ([0-9a-f-]{36})\)$/.exec(status.message) ?? [];
    const what = 'DELETE /api/v1/namespaces/shop/pods/orders-0';
    t.same(status, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: `The role viewer does not allow ${what}. Ask group:web-leads for a role with ${what}. (Daypass: out_of_scope, session ${session})`,
      reason: 'Forbidden',
      details: { causes: [{ reason: 'out_of_scope', message: `no rule allows ${what}` }] },
      code: 403,
    });
    t.match(parted(answer)[0], /^cache-control: no-store\r?$/im);
  });

  t.test("with Kubernetes' own reason, whatever it is refused for", async (t) => {
    await asks('GET /rare');
    const big = `${ASKS}Content-Length: 2000\r\n`;
    const withBody = `${ASKS}Transfer-Encoding: chunked\r\n\r\nzz\r\n`;
    const cases: readonly (readonly [Promise<string>, number, string | undefined, string])[] = [
      [asks('GET //x'), 400, 'BadRequest', 'ambiguous_target'],
      [asks('POST /x', withBody), 400, 'BadRequest', 'bad_request'],
      [asks('GET /x', ASKS, 'dp_x'), 401, 'Unauthorized', 'malformed'],
      [asks('GET /secret'), 403, 'Forbidden', 'out_of_scope'],
      [asks('GET /x', ASKS, handle, 'localhost'), 404, 'NotFound', 'not_found'],
      [asks('CONNECT x:1'), 405, 'MethodNotAllowed', 'bad_request'],
      [asks('POST /small', big), 413, 'RequestEntityTooLarge', 'too_large'],
      [asks('GET /x', `${ASKS}Expect: tea\r\n`), 417, undefined, 'bad_request'],
      [asks('GET /x', ASKS, handle, 'nobody.localhost'), 421, undefined, 'unknown_service'],
      [asks('GET /rare'), 429, 'TooManyRequests', 'too_many'],
      [asks('GET /breaks'), 502, 'ServiceUnavailable', 'upstream_unavailable'],
      [asks('GET /silent'), 504, 'Timeout', 'upstream_unavailable'],
    ];
    for (const [asked, code, reason, ours] of cases) {
      const answer = await asked;
      const said = statusIn(t, answer, `${code}`);
      t.match(answer, new RegExp(`^HTTP/1\\.1 ${code} `));
      t.equal(said.code, code);
      t.equal(said.reason, reason, `${code}`);
      t.equal(said.details.causes[0].reason, ours, `${code}`);
      t.match(said.message, new RegExp(`^[A-Z].*\\(Daypass: ${ours}`), `${code}`);
      t.equal(/^www-authenticate: /im.test(answer), code === 401, `${code}: the challenge stays`);
      const [, after] = /^retry-after: (\d+)/im.exec(answer) ?? [];
      t.equal(after !== undefined, code === 429, `${code}: and when to ask again`);
      if (after !== undefined) t.equal(said.details.retryAfterSeconds, Number(after));
    }
    const gone = gateway.issue('web');
    refused.set(gone.id, 'store_unavailable');
    t.match(statusIn(t, await asks('GET /x', ASKS, gone.handle), '503'), { reason: 'ServiceUnavailable', code: 503 });
  });

  t.test('at the opening of a WebSocket, too', async (t) => {
    const message = /^The role viewer does not allow WS \/x\. /;
    t.match(statusIn(t, await asks('GET /x', OPENING), 'exec'), { message, reason: 'Forbidden', code: 403 });
    t.match(statusIn(t, await asks('GET /x', OPENING, 'dp_x'), 'exec'), { reason: 'Unauthorized', code: 401 });
    const old = OPENING.replace('Version: 13', 'Version: 8');
    t.match(statusIn(t, await asks('GET /x', old), 'exec'), { message: /version 13/, code: 426 });
  });

  t.test('and says of SPDY, by which it asks again, that it is not spoken', async (t) => {
    const spdy = `${ASKS}Connection: Upgrade, close\r\nUpgrade: SPDY/3.1\r\n`;
    const message =
      /^The role viewer does not allow POST \/exec\. .*\. SPDY is not spoken here: .* as WS\. \(Daypass: /;
    t.match(statusIn(t, await asks('POST /exec', spdy), 'exec'), { message, reason: 'Forbidden' });
    t.notMatch(await asks('POST /exec', spdy, 'dp_x'), /SPDY/, 'where another role would not help');
  });

  t.test('in text where client-go looks for none, since it would show "unknown"', async (t) => {
    for (const target of ['/api?timeout=32s', '/apis', '/version', '/openapi/v3', '/openapi/v2?x=/version']) {
      const [head, body] = parted(await asks(`GET ${target}`));
      t.match(head, /^HTTP\/1\.1 403 [\s\S]*^content-type: text\/plain; charset=utf-8\r?$/im, target);
      t.match(body, /^The role viewer does not allow GET \/.* \(Daypass: out_of_scope, session [0-9a-f-]{36}\)\n$/);
    }
    for (const target of ['/api/v1', '/apis/apps/v1', '/versions', '/y?/version'])
      t.match(statusIn(t, await asks(`GET ${target}`), target), { code: 403 }, target);
    t.match(
      statusIn(t, await asks('GET /api', ASKS, 'dp_x'), '/api'),
      { code: 401 },
      'a 401 has words of its own there',
    );
  });

  t.test('and nothing of it where somebody else asks', async (t) => {
    const [problem] = parted(await asks('GET /secret', 'Accept: application/json\r\nUser-Agent: curl/8\r\n'));
    t.match(problem, /^content-type: application\/problem\+json\r?$/im);
    const [html] = parted(await asks('GET /secret', `Accept: ${HTML}\r\nUser-Agent: ${KUBECTL}\r\n`));
    t.match(html, /^content-type: text\/html; charset=utf-8\r?$/im, 'a page for who wants one');
    const answer = await asks('HEAD /secret');
    t.match(answer, /^HTTP\/1\.1 403 [\s\S]*^content-length: [1-9]/im);
    t.equal(parted(answer)[1], '', 'HEAD has no body');
    t.match(parted(await asks('GET /x'))[1], /ok/, 'what is allowed is the same for all');
  });
});

t.test('what kubectl has under way when its session is cut says so', async (t) => {
  const echo = await startEcho(t, () => {});
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /x', 'WS /live'] } } });
  for (const [line, more] of [
    ['GET /x', ASKS],
    ['GET /live', OPENING],
  ] as const) {
    const { id, handle } = gateway.issue('web');
    const before = echo.requests.length;
    const head = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n${more}`;
    const client = raw(t, gateway.port, `${line} HTTP/1.1\r\n${head}\r\n`);
    await echo.request((seen) => echo.requests.indexOf(seen) >= before);
    for (const session of gateway.gate.live.registry.ofGrant(id)) session.cut('revoked');
    const said = statusIn(t, await client.ended, line);
    t.match(said, {
      message: /the grant was revoked.*\(Daypass: revoked, session /,
      reason: 'Unauthorized',
      code: 401,
    });
  }
});
