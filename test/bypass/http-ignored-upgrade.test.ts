import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { bareService } from '../http/raw-service.js';
import { curl } from '../support/commands.js';

/*
 * Upgrades that nobody here speaks: to HTTP/2 without TLS (RFC 7540 section 3.2, offered by Java's HttpClient and by `curl
 * --http2`), to TLS, and any of HTTP/1.0. RFC 9110 section 7.8 has them ignored. What is left is a plain request, and must be
 * that to everybody: the rules, the record and the service; and nothing behind it may be anything but its body, or requests.
 */
const H2C = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n';
const WEBSOCKET =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const KEPT = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const INNER = 'GET /smuggled HTTP/1.1\r\nFoo: x\r\n\r\n';
/** How HTTP/2 begins, if its client takes the connection for upgraded. */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
/** A message of a WebSocket: masked text. */
const FRAME = '\x81\x85\x01\x02\x03\x04idoic';

const get = (headers: string, version = '1.1') => `GET /x HTTP/${version}\r\n@${headers}\r\n`;
const post = (headers: string, body: string, version = '1.1') => `POST /x HTTP/${version}\r\n@${headers}\r\n${body}`;
const chunks = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
const GOT = 'GET /x HTTP/1.1\r\n\r\n';

/** What is sent, `@` for the lines that say whose it is, and exactly what the service receives of it. */
const IGNORED: readonly (readonly [string, string])[] = [
  [get(H2C), GOT],
  [get(H2C.toUpperCase()), GOT],
  [get(H2C.replace('HTTP2-Settings:', 'http2_settings:')), GOT],
  [
    get('Connection: Upgrade, X-Own\r\nUpgrade: h2c\r\nX-Own: 1\r\nX-Other: 2\r\n'),
    GOT.replace('\r\n\r\n', '\r\nX-Other: 2\r\n\r\n'),
  ],
  [get('Connection: upgrade\r\nUpgrade: h2c, TLS/1.0, foo/1\r\nupgrade: IRC/6.9\r\n'), GOT],
  [get('Connection: upgrade\r\nUpgrade:\r\n'), GOT],
  [get('Connection: upgrade\r\nUpgrade: , ,\r\n'), GOT],
  [get('Connection: upgrade\r\nUpgrade: h2c/websocket\r\n'), GOT],
  [get('Connection: upgrade\r\nUpgrade: websockets, xwebsocket, web socket\r\n'), GOT],
  [get('Connection: upgrade\r\nUpgrade: "websocket"\r\n'), GOT],
  [get('Connection: upgrade\r\nUpgrade: \xa0websocket\r\n'), GOT],
  [get('Connection: "upgrade"\r\nUpgrade: websocket\r\n'), GOT],
  [get('Connection: upgraded, up grade\r\nUpgrade: websocket\r\n'), GOT],
  [get('Connection: keep-alive\r\nUpgrade: websocket\r\n'), GOT],
  [post(`${H2C}Content-Length: 5\r\n`, 'hello'), 'POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello'],
  [
    post(`${H2C}Content-Length: ${INNER.length}\r\n`, INNER),
    `POST /x HTTP/1.1\r\ncontent-length: ${INNER.length}\r\n\r\n${INNER}`,
  ],
  [
    get(`${H2C}Content-Length: ${INNER.length}\r\n`) + INNER,
    `GET /x HTTP/1.1\r\ncontent-length: ${INNER.length}\r\n\r\n${INNER}`,
  ],
  [
    post(`${H2C}Content-Length: ${PREFACE.length}\r\n`, PREFACE),
    `POST /x HTTP/1.1\r\ncontent-length: ${PREFACE.length}\r\n\r\n${PREFACE}`,
  ],
  [
    post(`${H2C}Transfer-Encoding: chunked\r\n`, chunks(INNER)),
    `POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n${chunks(INNER)}`,
  ],
  [
    post('Connection: Upgrade, Content-Length, Transfer-Encoding\r\nUpgrade: h2c\r\nContent-Length: 5\r\n', 'hello'),
    'POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello',
  ],
  [get(`${WEBSOCKET}Connection: keep-alive\r\n`, '1.0'), `GET /x HTTP/1.1\r\n${KEPT}\r\n`],
  [
    post(`${WEBSOCKET}Connection: keep-alive\r\nContent-Length: ${FRAME.length}\r\n`, FRAME, '1.0'),
    `POST /x HTTP/1.1\r\n${KEPT}content-length: ${FRAME.length}\r\n\r\n${FRAME}`,
  ],
];

/** What would be something else if the connection were upgraded. As a request it is none. */
const BEHIND: Readonly<Record<string, string>> = {
  'the beginning of HTTP/2': PREFACE,
  'a message of a WebSocket': FRAME,
  'a TLS handshake': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'body bytes beyond the length': 'hello\r\n',
};

/** What the gateway adds to each request, and what is new each time. */
const ADDED = /^(?:host|connection|x-forwarded-(?:for|proto|host)|daypass-assertion): .*\r\n/gim;
const NEXT = 'GET /behind HTTP/1.1\r\n@Connection: close\r\n\r\n';
const ARRIVED_NEXT = 'GET /behind HTTP/1.1\r\n\r\n';

async function started(t: Test, viewer: readonly string[] = ['GET /x', 'POST /x', 'GET /behind', 'WS /x']) {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer } } }, { headTimeout: 2_000 });
  const { handle } = gateway.issue('web');
  const whose = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
  const send = (sent: string) =>
    raw(t, gateway.port, Buffer.from(sent.replaceAll('\r\n@', `\r\n${whose}`), 'latin1')).ended;
  const bytes = () =>
    echo.connections
      .map((one) => one.bytes)
      .join('')
      .replace(ADDED, '');
  return { echo, gateway, handle, send, bytes };
}

const statusesOf = (answer: string) => [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

t.test(
  'A1, A3, A6: an ignored upgrade is a plain request, byte for byte, and what follows it is another',
  async (t) => {
    const { gateway, send, bytes } = await started(t);
    for (const [sent, received] of IGNORED) {
      const name = JSON.stringify(sent.slice(0, 120));
      const before = bytes().length;
      t.same(statusesOf(await send(sent + NEXT)), [200, 200], name);
      t.equal(bytes().slice(before), received + ARRIVED_NEXT, name);
    }
    const verbs = (await gateway.events()).flatMap(({ kind, facts }) => (kind === 'action' ? [facts.verb] : []));
    t.same(
      verbs,
      IGNORED.flatMap(([sent]) => [sent.startsWith('POST') ? 'POST' : 'GET', 'GET']),
      'the record says what the service received',
    );
  },
);

t.test('A6, A7: what stands behind an ignored upgrade is a request, or ends the connection', async (t) => {
  const { send, bytes } = await started(t);
  const asked = [
    get(H2C),
    post(`${H2C}Content-Length: 5\r\n`, 'hello'),
    post(`${H2C}Transfer-Encoding: chunked\r\n`, chunks('hello')),
    get(`${WEBSOCKET}Connection: keep-alive\r\n`, '1.0'),
  ];
  for (const first of asked) {
    for (const [what, behind] of Object.entries(BEHIND)) {
      const name = `${what} behind ${JSON.stringify(first.slice(0, 60))}`;
      const before = bytes().length;
      t.same(statusesOf(await send(first + behind + NEXT)), [200, 400], name);
      t.match(bytes().slice(before), /^(?:GET|POST) \/x HTTP\/1\.1\r\n(?:(?!HTTP\/)[\s\S])*$/, `${name}: one request`);
    }
  }
  for (const sent of [get(WEBSOCKET, '1.0'), get(`${H2C}Connection: close\r\n`)]) {
    const before = bytes().length;
    t.same(statusesOf(await send(sent + FRAME + NEXT)), [200], 'the last of its connection');
    t.notMatch(bytes().slice(before), /behind|idoic/);
  }
});

t.test('A6: an ignored upgrade loosens no framing', async (t) => {
  const { send, bytes } = await started(t);
  for (const sent of [
    post(`${H2C}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n`, chunks(INNER)),
    post(`${H2C}Content-Length: 5\r\nContent-Length: 5\r\n`, 'hello'),
    post(`${H2C}Transfer-Encoding: gzip, chunked\r\n`, chunks(INNER)),
    post(`${WEBSOCKET}Transfer-Encoding: chunked\r\n`, chunks(INNER), '1.0'),
    get('Connection:\tUpgrade\r\nUpgrade: h2c\r\n'),
    get('Connection: Upgrade\r\nUpgrade:\th2c\r\n'),
    get('Connection: Upgrade\r\nUpgrade: h2c\r\n websocket\r\n'),
  ])
    t.same(statusesOf(await send(sent + NEXT)), [400], JSON.stringify(sent.slice(0, 120)));
  t.equal(bytes(), '');
});

t.test('A7: whatever names websocket among others is still refused, and nothing behind it is read', async (t) => {
  const { send, bytes } = await started(t);
  for (const upgrade of [
    'h2c, websocket',
    'websocket, h2c',
    'h2c,,WebSocket',
    'h2c\r\nUpgrade: websocket',
    'websocket\r\nUpgrade: websocket',
    'websocket/13',
    'websocket/',
    ', websocket',
  ]) {
    const sent = get(WEBSOCKET.replace(': websocket', `: ${upgrade}`));
    t.same(statusesOf(await send(sent + NEXT)), [400], upgrade);
  }
  t.equal(bytes(), '');
});

t.test('A1: a rule for WebSockets is not met by an ignored upgrade, nor one for GET by a WebSocket', async (t) => {
  const [sockets, gets] = [await started(t, ['WS /x']), await started(t, ['GET /x'])];
  const close = 'Connection: close\r\n';
  for (const [sent, ...statuses] of [
    [get(H2C + close), 403, 200],
    [get(WEBSOCKET + close, '1.0'), 403, 200],
    [get(WEBSOCKET.replace('Connection: Upgrade', 'Connection: close')), 403, 200],
    // The service opens none: its page is for whoever may ask for that.
    [get(WEBSOCKET), 502, 403],
  ] as const) {
    const answers = [await sockets.send(sent), await gets.send(sent)].map(statusesOf);
    t.same(
      answers,
      statuses.map((status) => [status]),
      JSON.stringify(sent.slice(0, 60)),
    );
  }
  const decided = (await sockets.gateway.events()).filter(({ kind }) => kind === 'action');
  t.same(
    decided.map(({ facts }) => [facts.verb, facts.outcome]),
    [...Array.from({ length: 3 }, () => ['GET', 'deny']), ['WS', 'allow']],
  );
});

t.test('A7: a service that switches for a request whose upgrade was ignored is 502, and tunnels nothing', async (t) => {
  const heard: string[] = [];
  const { url } = await bareService(t, (received, socket) => {
    heard.push(received.toString('latin1'));
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\ntunnelled');
  });
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /x', 'WS /x'] } } });
  const whose = `Host: web.localhost\r\nDaypass-Handle: ${gateway.issue('web').handle}\r\n`;
  for (const sent of [get(H2C), get(WEBSOCKET, '1.0')]) {
    const answer = await raw(t, gateway.port, sent.replace('@', whose) + PREFACE).ended;
    t.equal(statusesOf(answer)[0], 502);
    t.notMatch(answer, /101 Switching|tunnelled/);
  }
  t.equal(heard.length, 2);
  // Without the assertion: whatever is as short as that stands in its signature now and then.
  const said = heard.join('').replaceAll(/^daypass-assertion: .*$/gim, '');
  t.notMatch(said, /upgrade|http2|PRI/i);
});

t.test('a client that offers HTTP/2 with its requests is served in HTTP/1.1', async (t) => {
  if (!/^Features:.* HTTP2\b/m.test((await curl(['--version'])).stdout))
    return void t.pass('curl --http2', { skip: 'this curl knows no HTTP/2' });
  const { echo, gateway, handle } = await started(t);
  const at = `http://web.localhost:${gateway.port}`;
  const ask = (args: readonly string[], input = '') =>
    curl(['--http2', '-v', '-w', ' by HTTP/%{http_version}.', '-H', `Authorization: Bearer ${handle}`, ...args], {
      input,
    });
  const got = await ask([`${at}/x`, `${at}/behind`]);
  t.match(got.stderr, /> Upgrade: h2c/, 'it did offer that');
  t.match(got, { code: 0, stdout: 'you asked for /x by HTTP/1.1.you asked for /behind by HTTP/1.1.' });
  t.match(got.stderr, /Re-using existing connection/, 'and its connection stays');
  const large = 'x'.repeat(2_000_000);
  for (const [body, ...more] of [['hello'], [large], [large, '-H', 'Transfer-Encoding: chunked']] as const) {
    const posted = await ask(['--data-binary', '@-', ...more, `${at}/x`], body);
    t.match(posted, { code: 0, stdout: 'you asked for /x by HTTP/1.1.' });
    t.match(posted.stderr, /> Upgrade: h2c/);
  }
  t.same(
    echo.requests.map(({ method, body }) => [method, body.length]),
    [
      ['GET', 0],
      ['GET', 0],
      ['POST', 5],
      ['POST', large.length],
      ['POST', large.length],
    ],
  );
  t.notMatch(JSON.stringify(echo.requests.map(({ headers }) => headers)), /upgrade|http2/i);
});
