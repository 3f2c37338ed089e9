import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { waitUntil } from '../support/wait.js';
import { startEcho } from './echo.js';
import { raw, startGateway, type TestGateway } from './gateway.js';
import { bareService } from './raw-service.js';

/** What a client sends, `@` for the lines that say whose it is; what it must be answered, told and counted. */
interface Case {
  readonly sent: string;
  readonly status: number;
  readonly reason: string;
  /** A later request that is refused, after one that is not. */
  readonly after?: string;
}

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const to = (host: string, line: string) => `${line} HTTP/1.1\r\nHost: ${host}.localhost\r\nDaypass-Handle: #\r\n`;

const CASES: readonly Case[] = [
  { sent: 'nonsense\r\n\r\n', status: 400, reason: 'bad_request' },
  { sent: 'GET /x HTTP/1.1\r\nDaypass-Handle: #\r\n\r\n', status: 400, reason: 'bad_request' },
  { sent: 'GET /x HTTP/1.1\r\nHost: a b\r\n\r\n', status: 400, reason: 'bad_request' },
  { sent: 'GET /x HTTP/1.1\r\nHost: web.localhost\r\nHost: web.localhost\r\n\r\n', status: 400, reason: 'bad_request' },
  { sent: 'GET //x HTTP/1.1\r\n@\r\n', status: 400, reason: 'ambiguous_target' },
  { sent: 'GET /x?h=# HTTP/1.1\r\n@\r\n', status: 400, reason: 'bad_request' },
  { sent: 'POST /x HTTP/1.1\r\n@Content-Length: 1\r\nContent-Length: 1\r\n\r\na', status: 400, reason: 'bad_request' },
  {
    sent: 'POST /x HTTP/1.1\r\n@Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    status: 400,
    reason: 'bad_request',
  },
  { sent: 'POST /x HTTP/1.1\r\n@Transfer-Encoding: pigeons\r\n\r\ncoo', status: 400, reason: 'bad_request' },
  { sent: 'POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\nzz\r\n', status: 400, reason: 'bad_request' },
  { sent: `GET /live HTTP/1.1\r\n@${UPGRADE}\r\n`, status: 426, reason: 'bad_request' },
  { sent: `POST /live HTTP/1.1\r\n@${UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n`, status: 400, reason: 'bad_request' },
  {
    sent: `GET /live HTTP/1.1\r\n@${UPGRADE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, a\r\n\r\n`,
    status: 400,
    reason: 'bad_request',
  },
  {
    sent: 'GET /live HTTP/1.1\r\n@Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n',
    status: 400,
    reason: 'bad_request',
  },
  { sent: 'GET /live HTTP/1.1\r\n@Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n', status: 403, reason: 'out_of_scope' },
  { sent: 'GET /x HTTP/1.1\r\nHost: web.localhost\r\n\r\n', status: 401, reason: 'malformed' },
  { sent: 'GET /x HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: dp_x\r\n\r\n', status: 401, reason: 'malformed' },
  {
    sent: 'GET /x HTTP/1.1\r\nHost: web.localhost\r\nCookie: __Host-daypass=x\r\n\r\n',
    status: 401,
    reason: 'malformed',
  },
  { sent: 'GET /x HTTP/1.1\r\n@Daypass-Handle: dp_y\r\n\r\n', status: 401, reason: 'malformed' },
  { sent: 'GET /secret HTTP/1.1\r\n@\r\n', status: 403, reason: 'out_of_scope' },
  { sent: 'GET /sw.js HTTP/1.1\r\n@Service-Worker: script\r\n\r\n', status: 403, reason: 'out_of_scope' },
  {
    sent: 'POST /x HTTP/1.1\r\nHost: web.localhost\r\nCookie: __Host-daypass=x\r\nOrigin: http://evil.test\r\n\r\n',
    status: 403,
    reason: 'foreign_origin',
  },
  {
    sent: `${to('web', 'GET /secret')}${UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n`,
    status: 403,
    reason: 'out_of_scope',
  },
  { sent: 'GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n', status: 404, reason: 'not_found' },
  { sent: 'GET /.daypass/x HTTP/1.1\r\n@\r\n', status: 404, reason: 'not_found' },
  { sent: 'CONNECT x:1 HTTP/1.1\r\n@\r\n', status: 405, reason: 'bad_request' },
  { sent: 'GET /x HTTP/1.1\r\nHo', status: 408, reason: 'bad_request' },
  { sent: 'POST /small HTTP/1.1\r\n@Content-Length: 2000\r\n\r\n', status: 413, reason: 'too_large' },
  {
    sent: `POST /small HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n500\r\n${'x'.repeat(0x500)}\r\n`,
    status: 413,
    reason: 'too_large',
  },
  {
    sent: `POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n1;${'e'.repeat(20_000)}\r\n`,
    status: 413,
    reason: 'too_large',
  },
  { sent: 'GET /x HTTP/1.1\r\n@Expect: 100-continue, tea\r\n\r\n', status: 417, reason: 'bad_request' },
  { sent: 'GET /x HTTP/1.1\r\n@Expect: tea\r\n\r\n', status: 417, reason: 'bad_request' },
  {
    sent: `GET /live HTTP/1.1\r\n@${UPGRADE}Sec-WebSocket-Version: 13\r\nExpect: tea\r\n\r\n`,
    status: 417,
    reason: 'bad_request',
  },
  { sent: 'GET /x HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n', status: 421, reason: 'unknown_service' },
  { sent: 'GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\n', status: 421, reason: 'unknown_service' },
  { sent: 'GET /rare HTTP/1.1\r\n@\r\n', after: 'GET /rare HTTP/1.1\r\n@\r\n', status: 429, reason: 'too_many' },
  { sent: `GET /x HTTP/1.1\r\n@x: ${'y'.repeat(20_000)}\r\n\r\n`, status: 431, reason: 'too_large' },
  { sent: `GET /x HTTP/1.1\r\n@${'a:b\r\n'.repeat(300)}\r\n`, status: 431, reason: 'too_large' },
  { sent: `${to('down', 'GET /x')}\r\n`, status: 502, reason: 'upstream_unavailable' },
  { sent: 'GET /breaks HTTP/1.1\r\n@\r\n', status: 502, reason: 'upstream_unavailable' },
  { sent: 'GET /events HTTP/1.1\r\n@Accept: text/event-stream\r\n\r\n', status: 502, reason: 'upstream_unavailable' },
  {
    sent: `${to('down', 'GET /live')}${UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n`,
    status: 502,
    reason: 'upstream_unavailable',
  },
  { sent: 'GET /silent HTTP/1.1\r\n@\r\n', status: 504, reason: 'upstream_unavailable' },
  {
    sent: `${to('web', 'GET /live')}${UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n`,
    status: 504,
    reason: 'upstream_unavailable',
  },
];

/** Everything that counts a refusal, wherever it was made. */
const REFUSALS = [
  /^daypass_admissions_total\{.*outcome="refused".*\} (\d+)$/gm,
  /^daypass_decisions_total\{.*outcome="deny".*\} (\d+)$/gm,
  /^daypass_http_refusals_total\{.*\} (\d+)$/gm,
  /^daypass_upstream_failures_total\{.*\} (\d+)$/gm,
];

async function counted({ metrics }: TestGateway): Promise<number> {
  const text = await metrics.registry.metrics();
  return REFUSALS.flatMap((pattern) => [...text.matchAll(pattern)]).reduce((sum, [, count]) => sum + Number(count), 0);
}

interface Line {
  readonly level: number;
  readonly reason?: string;
  readonly rule?: string;
}

/** The lines of a log since `from` that tell of something wrong. */
const warnings = ({ lines }: TestGateway, from: number): Line[] =>
  lines
    .slice(from)
    .map((line): Line => JSON.parse(line))
    .filter(({ level }) => level >= 40);

/** What the headers of an answer of this status have to say (RFC 9110 sections 10.2.1, 11.6.1, 15.5, 15.6; RFC 6585). */
const ASKED_OF: Readonly<Record<number, RegExp>> = {
  401: /^www-authenticate: (?:Basic|Bearer) realm="daypass"/im,
  405: /^allow: GET, /im,
  426: /^connection: Upgrade, close\r\n[\s\S]*^upgrade: websocket\r\n[\s\S]*^sec-websocket-version: 13\r?$/im,
  429: /^retry-after: [1-9]\d*\r$/im,
};

function wellFormed(t: Test, answer: string, status: number, name: string): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  const names = head.split('\r\n').map((line) => /^([a-z-]+):/i.exec(line)?.[1]?.toLowerCase());
  const once = ['content-type', 'content-length', 'cache-control', 'x-content-type-options', 'date', 'connection'];
  for (const one of once) t.equal(names.filter((other) => other === one).length, 1, `${name}: one ${one}`);
  t.match(head, /^cache-control: no-store\r$/im, name);
  t.equal(/^content-length: (\d+)\r$/im.exec(head)?.[1], String(Buffer.byteLength(body, 'latin1')), name);
  t.match(head, ASKED_OF[status] ?? /^/, name);
}

t.test('every refusal is problem+json, one log line with its reason and rule, and one count', async (t) => {
  const echo = await startEcho(t, (req, res) => {
    if (req.url === '/breaks') req.socket.destroy();
    else if (req.url !== '/silent' && req.url !== '/live') res.end('ok');
  });
  const viewer = [
    ...['GET /x', 'POST /x', 'GET /breaks', 'GET /silent', 'SSE /events', 'WS /live', 'GET /sw.js'],
    ...[
      { route: 'POST /small', body: '1KiB' },
      { route: 'GET /rare', rate: '1/h' },
    ],
  ];
  const services = {
    web: { url: echo.url, roles: { viewer } },
    down: { url: 'http://127.0.0.1:1', roles: { viewer } },
  };
  const upstreamLimits = { connect: 1_000, response: 300 };
  const gateway = await startGateway(t, services, { headTimeout: 1_000, upstreamLimits });
  const forMs = 600_000; // some of the cases wait
  const handles = { web: gateway.issue('web', { forMs }).handle, down: gateway.issue('down', { forMs }).handle };
  const bytes = (text: string) => {
    const handle = /Host: down/.test(text) ? handles.down : handles.web;
    return text.replace('@', `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n`).replaceAll('#', handle);
  };
  // Opened before, so that what is counted below is not this.
  for (const host of ['web', 'down'])
    await raw(t, gateway.port, bytes(`${to(host, 'GET /secret')}Connection: close\r\n\r\n`)).ended;
  for (const { sent, after, status, reason } of CASES) {
    const name = `${status} to ${JSON.stringify(sent.slice(0, 100))}`;
    if (after !== undefined) await raw(t, gateway.port, bytes(after)).sees(/ok$/);
    const [lines, counts] = [gateway.lines.length, await counted(gateway)];
    const client = raw(t, gateway.port, bytes(sent));
    const answer = await client.sees(/\r\n\r\n\{.*\}\n?$/).catch((thrown: Error) => thrown.message);
    client.socket.destroy();
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*content-type: application/problem\\+json`, 'i'), name);
    const problem = /\r\n\r\n(\{.*\})\s*$/.exec(answer)?.[1] ?? '{}';
    t.match(JSON.parse(problem), { status, reason, title: String, detail: String }, name);
    wellFormed(t, answer, status, name);
    t.notMatch(answer, /127\.0\.0\.1|ECONN|\bat .*\.js|node:|undici/, `${name}: nothing of the inside`);
    t.equal(await counted(gateway), counts + 1, `${name}: one count`);
    const told = warnings(gateway, lines);
    t.equal(told.length, 1, `${name}: one line, ${JSON.stringify(told)}`);
    t.match(told, [{ reason, rule: /./ }], name);
  }
});

t.test('a refusal of HEAD is its head alone, wherever it is refused', async (t) => {
  const echo = await startEcho(t, (req) => void req.socket.destroy());
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /x'] } } });
  const { handle } = gateway.issue('web');
  const opening = `${UPGRADE}Sec-WebSocket-Version: 13\r\n`;
  for (const [sent, status] of [
    [to('web', 'HEAD /secret'), 403],
    [to('web', 'HEAD //x'), 400],
    [to('nobody', 'HEAD /x'), 421],
    ['HEAD /x HTTP/1.1\r\nHost: localhost\r\n', 404],
    ['HEAD /x HTTP/1.1\r\nHost: web.localhost\r\nAccept: text/html\r\n', 401],
    [to('web', 'HEAD /x'), 502],
    [`${to('web', 'HEAD /x')}Expect: tea\r\n`, 417],
    [to('web', 'HEAD /live') + opening, 400],
    [`${to('web', 'HEAD /live')}${opening}Expect: tea\r\n`, 417],
    [`${to('web', 'HEAD /live')}${opening}${'a:b\r\n'.repeat(200)}`, 431],
    [`${to('web', 'HEAD /x')}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400],
    [`${to('web', 'HEAD /x')}no header\r\n`, 400],
    ['HEAD /x HTTP/1.2\r\n', 400],
    ['HEAD /x HTTP/1.1\n', 400],
    [`${to('web', 'HEAD /x')}${'a: bbbbbbbb\r\n'.repeat(2_000)}`, 431],
  ] as const) {
    const client = raw(t, gateway.port, `${sent.replace('#', handle)}Connection: close\r\n\r\n`);
    const [head, ...body] = (await client.ended).split('\r\n\r\n');
    const name = sent.slice(0, 120);
    t.match(head, new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*content-length: [1-9]`, 'i'), name);
    t.same(body, [''], name);
  }
});

t.test('whoever is refused amid sending reads why, however much it sends on', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['POST /x'] } } });
  const { handle } = gateway.issue('web');
  const [much, piece] = ['a: bbbbbbbb\r\n'.repeat(1_600), Buffer.alloc(20_000, 'x')];
  for (const [line, framing, status] of [
    ['POST /x', `${much}Content-Length: 2000000\r\n\r\n`, 431],
    ['POST /x', 'no header\r\nContent-Length: 2000000\r\n\r\n', 400],
    ['POST /x', 'Transfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
    ['POST /secret', 'Content-Length: 2000000\r\n\r\n', 403],
  ] as const) {
    const client = raw(t, gateway.port, to('web', line).replace('#', handle) + framing);
    for (let sent = 0; sent < 2_000_000 && client.socket.writable; sent += piece.length) {
      client.socket.write(piece);
      await new Promise(setImmediate);
    }
    t.match(await client.ended, new RegExp(`^HTTP/1\\.1 ${status} `), framing.slice(-60));
  }
});

t.test('a request that is refused and whose body breaks its framing besides is one refusal', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /x', 'POST /x'] } } });
  const { handle } = gateway.issue('web');
  const [held, unknown, second] = [handle, `${handle.slice(0, -1)}-`, gateway.issue('web').handle];
  await raw(t, gateway.port, `${to('web', 'GET /x').replace('#', held)}Connection: close\r\n\r\n`).ended;
  const broken = 'Transfer-Encoding: chunked\r\n\r\nzz\r\n';
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['by a decision', to('web', 'POST /secret').replace('#', held), /out_of_scope/],
    [
      'by a decision of a session that has to be opened',
      to('web', 'POST /secret').replace('#', second),
      /out_of_scope|bad_request/,
    ],
    ['by its admission', to('web', 'POST /x').replace('#', unknown), /malformed|unknown_grant/],
    [
      'by its admission, which has to be asked for',
      to('web', 'POST /x').replace('#', gateway.issue('web').handle.slice(0, -1)),
      /malformed|bad_request/,
    ],
    ['without a handle', 'POST /x HTTP/1.1\r\nHost: web.localhost\r\n', /malformed/],
    ['for another service', to('nobody', 'POST /x').replace('#', held), /unknown_service/],
    ['for its target', to('web', 'POST //x').replace('#', held), /ambiguous_target|bad_request/],
    ['at the gateway’s own host', 'POST /x HTTP/1.1\r\nHost: localhost\r\n', /not_found|bad_request/],
    [
      'as another site’s idea',
      'POST /x HTTP/1.1\r\nHost: web.localhost\r\nCookie: __Host-daypass=x\r\nOrigin: http://evil.test\r\n',
      /foreign_origin/,
    ],
    [
      'for its body alone, of a session that has to be opened',
      to('web', 'POST /x').replace('#', gateway.issue('web').handle),
      /bad_request/,
    ],
  ];
  for (const [why, head, reason] of refused) {
    for (const apart of [false, true]) {
      const name = `${why}, ${apart ? 'in two packets' : 'in one'}`;
      const [lines, counts] = [gateway.lines.length, await counted(gateway)];
      const client = raw(t, gateway.port, apart ? head : head + broken);
      if (apart) {
        await new Promise((resolve) => setImmediate(resolve));
        client.socket.write(broken);
      }
      t.match(await client.ended, /^HTTP\/1\.1 4\d\d [\s\S]*\}\s*$/, `${name}: one answer`);
      // Told of when it is known that the session lets it pass, which may be after the answer to its body.
      await waitUntil(`${name}: a count`, async () => (await counted(gateway)) > counts);
      await gateway.events();
      t.equal(await counted(gateway), counts + 1, `${name}: one count`);
      const told = warnings(gateway, lines);
      t.equal(told.length, 1, `${name}: one line, ${JSON.stringify(told)}`);
      t.match(told, [{ reason }], name);
    }
  }
  t.notMatch(echo.connections.map(({ bytes }) => bytes).join(''), /POST/, 'the service hears nothing of them');
});

t.test('what is unreadable behind a refused request is a refusal of its own', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /x'] } } });
  const { handle } = gateway.issue('web');
  const counts = await counted(gateway);
  const client = raw(t, gateway.port, `${to('web', 'GET /secret').replace('#', handle)}\r\n`);
  await client.sees(/out_of_scope/);
  client.socket.write('nonsense\r\n\r\n');
  t.match(await client.ended, /^HTTP\/1\.1 403 [\s\S]*HTTP\/1\.1 400 /);
  t.equal(await counted(gateway), counts + 2);
});

t.test(
  'a request that its service answered before its end is not refused as well when its client leaves',
  async (t) => {
    const service = await bareService(t, (_, socket) => {
      socket.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large');
    });
    const gateway = await startGateway(t, { web: { url: service.url, roles: { viewer: ['POST /x'] } } });
    const { handle } = gateway.issue('web');
    const [lines, counts] = [gateway.lines.length, await counted(gateway)];
    for (const framing of ['Content-Length: 9000', 'Transfer-Encoding: chunked']) {
      const client = raw(t, gateway.port, `${to('web', 'POST /x').replace('#', handle)}${framing}\r\n\r\n5\r\nhalf`);
      await client.sees(/too large$/);
      client.socket.end();
      await client.ended;
    }
    t.equal(await counted(gateway), counts);
    t.same(warnings(gateway, lines), []);
  },
);

t.test('a fault of the gateway’s own is one 500 without its cause, one log line and one count', async (t) => {
  let broken = false;
  const clock = {
    wall: () => systemClock.wall(),
    monotonic: () => {
      // For who serves requests alone: the recorder looks at the time by itself meanwhile.
      const fault = new Error('no time');
      if (broken && /\/src\/http\//.test(fault.stack ?? '')) throw fault;
      return systemClock.monotonic();
    },
  };
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /x'] } } }, { clock });
  const { handle } = gateway.issue('web');
  const counts = await counted(gateway);
  broken = true;
  const client = raw(t, gateway.port, `${to('web', 'GET /x').replace('#', handle)}\r\n`);
  const answer = await client.sees(/\}\s*$/).finally(() => (broken = false));
  t.match(answer, /^HTTP\/1\.1 500 [\s\S]*internal/);
  t.notMatch(answer, /no time|\.js/);
  t.equal(await counted(gateway), counts + 1);
  const told = warnings(gateway, 0).filter(({ reason }) => reason === 'internal');
  t.match(told, [{ level: 50, status: 500, rule: /./ }]);
});
