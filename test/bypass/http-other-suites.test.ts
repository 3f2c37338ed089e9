import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { bareService } from '../http/raw-service.js';

/*
 * What the suites of other servers and proxies send their parsers, in bytes of our own: of each kind that no other case has, by whose
 * suite holds it. `@` stands for the lines that say whose a request is. None asks for the end of its connection.
 */

/** No requests: 400, the end of their connection, and nothing for the service. */
const NO_REQUESTS: Readonly<Record<string, readonly string[]>> = {
  Cowboy: [
    'HTTP/1.1 200 OK\r\n@\r\n',
    'GET /x HTTP/1.1\r\n\r\n@\r\n',
    'GET\0 /x HTTP/1.1\r\n@\r\n',
    'GET /x HTTP/1.1\r\nHost\r\n : web.localhost\r\n@\r\n',
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: unknown\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  Kestrel: [
    'GET / x HTTP/1.1\r\n@\r\n',
    'GET /xHTTP/1.1\r\n@\r\n',
    'GET /x HTTP/1.1a\r\n@\r\n',
    'GET /x HTTP/1.\r\n@\r\n',
    'GET /x HTTP/1.1\ra\n@\r\n',
    '[0x00] /x HTTP/1.1\r\n@\r\n',
    'GET /x HTTP/1.1\r\n@X\r: y\r\n\r\n',
    'GET /x HTTP/1.1\r\n@X: y\r\n\r \n\r\n',
    'GET /x HTTP/1.1\r\n@X: y\r\n\r\r\n',
    'GET /x?\0=a HTTP/1.1\r\n@\r\n',
  ],
  Undertow: ['GET\r/x HTTP/1.1\r\n@\r\n', 'GET /x\nHTTP/1.1\r\n@\r\n', 'GET /x\rHTTP/1.1\r\n@\r\n'],
  'web-platform-tests': [
    '\tGET /x HTTP/1.1\r\n@\r\n',
    'GET /x HT\0TP/1.1\r\n@\r\n',
    'GET /x HTTP/1\x0b.1\r\n@\r\n',
    'GET /x HTTP/1.1\r\n@Content-Length: 5\r\nContent-Length: \t\r\n\r\nhello',
    'POST /x HTTP/1.1\r\n@Content-Length:\x0c5\r\n\r\nhello',
    'POST /x HTTP/1.1\r\n@Content-Length: 5\x85\r\n\r\nhello',
  ],
  'http-desync-guardian': [
    'POST /x HTTP/1.1\r\n@\x01Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Tran\xc5\xbffer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Transfer-Encod\xc4\xb1ng: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@\xe2\x80\x83Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Content-Length\xe2\x80\x83: 5\r\n\r\nhello',
    'POST /x HTTP/1.1\r\n@Transfer- Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@:X:Transfer-Encoding:: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\x80\r\nContent-Length: $5\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: [chunked]\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\n@Content-Length: 18446744073709551621\r\n\r\nhello',
  ],
  Envoy: [
    'POST /x HTTP/1.1\r\n@Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  ],
  Grizzly: ['POST /x HTTP/1.1\r\n@Ignore\r\nContent-Length: 5\r\n\r\nhello'],
  Varnish: ['PROXY TCP4 1.2.3.4 5.6.7.8 1111 5678\r\nGET /x HTTP/1.1\r\n@\r\n', 'XYZ\r\n@\r\n'],
};

/** Bodies that are none, behind good heads: nothing that looks like a whole request, and no other one. */
const NO_BODIES: Readonly<Record<string, readonly string[]>> = {
  nginx: ['4\r\nSEE-THIS\r\n0\r\n\r\n'],
  Tornado: ['0x2\r\nok\r\n0\r\n\r\n', '+2\r\nok\r\n0\r\n\r\n'],
  Twisted: ['2;\r\nok\r\n0\r\n\r\n', '2\r\nok\r\n0\r\n\r\r\n'],
  HttpComponents: [
    '2zz\r\nok\r\n0\r\n\r\n',
    '2\r\nok\r\n0\r\nFooter abcde\r\n\r\n',
    '2\r\nok\r\n0\r\nFooter: a\r\n  b\r\n\r\n',
    '1234567890abcdef\r\nok\r\n0\r\n\r\n',
  ],
  h11: ['2 \t \r\nok\r\n0\r\n\r\n', '2\r\nok\r_0\r\n\r\n'],
  Envoy: [
    '2;=b\r\nok\r\n0\r\n\r\n',
    '2;a=\r\nok\r\n0\r\n\r\n',
    '2\r\nok\r\n0\r\nX: y\r\0\n\r\n',
    '\n2\r\nok\r\n0\r\n\r\n',
  ],
  Pingora: ['FFFFFFFFFFFFFFFE\r\nok\r\n0\r\n\r\n', '2\r\nokr\n0\r\n\r\n'],
};

/** Odd and of one meaning: what the service receives; the next request on the same connection reaches it, too. */
const REQUESTS: Readonly<Record<string, readonly (readonly [sent: string, received: string])[]>> = {
  Cowboy: [
    [`GET /x?q=${'/long'.repeat(1_600)} HTTP/1.1\r\n@\r\n`, `GET /x?q=${'/long'.repeat(1_600)} HTTP/1.1\r\n\r\n`],
    [`GET /x HTTP/1.1\r\n@${'h: v\r\n'.repeat(99)}\r\n`, `GET /x HTTP/1.1\r\n${'h: v\r\n'.repeat(99)}\r\n`],
  ],
  Bandit: [['GET /x HTTP/1.0\r\n@Connection: Keep-Alive\r\n\r\n', 'GET /x HTTP/1.1\r\n\r\n']],
  httparse: [[`${'\r\n'.repeat(16)}GET /x HTTP/1.1\r\n@\r\n`, 'GET /x HTTP/1.1\r\n\r\n']],
  'http-desync-guardian': [
    [
      'POST /x HTTP/1.1\r\n@Transfer---Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
      'POST /x HTTP/1.1\r\nTransfer---Encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n',
    ],
    [
      "GET /x HTTP/1.1\r\n@My.Own!#$%&'*+^`|~09: \t\x60\x85\x93\xa0\r\n\r\n",
      "GET /x HTTP/1.1\r\nMy.Own!#$%&'*+^`|~09: \x60\x85\x93\xa0\r\n\r\n",
    ],
    [
      'GET /x HTTP/1.1\r\n@Content-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nA: b\r\n',
      'GET /x HTTP/1.1\r\ncontent-length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nA: b\r\n',
    ],
  ],
  Jetty: [
    [
      'POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n000000000002;a="x;y\\"\\\\z";b\r\nok\r\n0\r\nX: y\r\n\r\n',
      'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ],
  ],
  Envoy: [
    [
      'POST /x HTTP/1.1\r\n@Connection: Upgrade, HTTP2-Settings, Etc\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\nEtc: b\r\nContent-Length: 2\r\n\r\nok',
      'POST /x HTTP/1.1\r\ncontent-length: 2\r\n\r\nok',
    ],
  ],
};

/** What the gateway adds to each request, and what is new each time. */
const ADDED = /^(?:host|connection|x-forwarded-(?:for|proto|host)|daypass-assertion): .*\r\n/gim;

async function started(t: Test) {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**', 'POST /**'] } } });
  const { handle } = gateway.issue('web');
  const whose = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
  const send = (sent: string) => raw(t, gateway.port, Buffer.from(sent.replaceAll('@', whose), 'latin1')).ended;
  const received = () =>
    echo.connections
      .map(({ bytes }) => bytes)
      .join('')
      .replace(ADDED, '');
  return { send, received, whole: () => echo.requests.length };
}

const each = <Sample>(samples: Readonly<Record<string, readonly Sample[]>>) =>
  Object.entries(samples).flatMap(([whose, list]) => list.map((sample) => [whose, sample] as const));

t.test('A6: what other servers hold to be no request is none, and the end of its connection', async (t) => {
  const { send, received } = await started(t);
  const smuggled = 'GET /smuggled HTTP/1.1\r\n@\r\n';
  for (const [whose, sample] of each(NO_REQUESTS)) {
    const answer = await send(sample + smuggled);
    const name = `${whose}: ${JSON.stringify(sample)}`;
    t.match(answer, /^HTTP\/1\.1 400 /, name);
    t.equal(answer.match(/HTTP\/1\.1 \d/g)?.length, 1, name);
  }
  t.equal(received(), '', 'the service hears of none of it');
});

t.test('A6: what other servers hold to be no body has no end that a service could take for one', async (t) => {
  const { send, received, whole } = await started(t);
  for (const [whose, sample] of each(NO_BODIES)) {
    const before = received().length;
    const answer = await send(
      `POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n${sample}GET /smuggled HTTP/1.1\r\n@\r\n`,
    );
    const name = `${whose}: ${JSON.stringify(sample)}`;
    t.notMatch(answer, /^HTTP\/1\.1 2/m, name);
    const got = received().slice(before);
    t.ok(got === '' || got.startsWith('POST /x HTTP/1.1\r\n'), name);
    t.notMatch(got, /\r\n0\r\n\r\n$|smuggled/, name);
  }
  t.ok(whole() <= each(NO_BODIES).length);
});

t.test('A6: what other servers hold to be a request is one, to the byte, and so is the next', async (t) => {
  const { send, received } = await started(t);
  const next = 'GET /next HTTP/1.1\r\n@Connection: close\r\n\r\n';
  for (const [whose, [sample, expected]] of each(REQUESTS)) {
    const before = received().length;
    const answer = await send(sample + next);
    const name = `${whose}: ${JSON.stringify(sample.slice(0, 120))}`;
    t.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 2, name);
    t.equal(received().slice(before), `${expected}GET /next HTTP/1.1\r\n\r\n`, name);
  }
});

/** Header lines of answers of which nobody can say for certain where they end. */
const UNCERTAIN: Readonly<Record<string, readonly string[]>> = {
  HAProxy: ['Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: chunked, gzip, chunked'],
  'http-desync-guardian': [
    'Transfer-Encoding: gzip , deflate , \tidentity\t, compress\t, chunked',
    'Transfer-Encoding: chunked;q=1',
    'Transfer-Encoding: chun\xe2\x84\xaaed',
    'Transfer-Encoding: cow',
  ],
  Envoy: ['Transfer-Encoding: chun\tked', 'Transfer-Encoding: chunke d'],
  Tornado: ['Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: chunked, identity', 'Transfer-Encoding: identity'],
  'web-platform-tests': ['Content-Length: 15, 15', 'Content-Length: 15\r\nContent-Length: 16', 'Content-Length: 15s'],
};
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

t.test('A6: an answer of uncertain end is none, in place of a 101 as anywhere', async (t) => {
  const body = '5\r\nhello\r\n0\r\n\r\n';
  const samples = each(UNCERTAIN).map(([, line]) => `HTTP/1.1 200 OK\r\n${line}\r\n\r\n${body}`);
  samples.push(`HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`, 'HTTP/0.9 200 OK\r\n\r\nhello');
  samples.push(...['\r\n', '\n', '\r'].map((before) => `${before}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello`));
  samples.push('HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n\r\nhello', 'HTTP/1.1 200 OK\r\r\nX: y\r\n\r\nhello');
  const good = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
  const { url } = await bareService(t, (received, socket) => {
    const at = Number(/^GET \/(\d+)/.exec(received.toString('latin1'))?.[1]);
    socket.end(samples[at] ?? good, 'latin1');
  });
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /**', 'WS /**'] } } });
  const { handle } = gateway.issue('web');
  for (const more of ['', UPGRADE]) {
    const ask = (at: number) =>
      raw(
        t,
        gateway.port,
        `GET /${at} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${more || 'Connection: close\r\n'}\r\n`,
      ).ended;
    for (const [at, sample] of samples.entries()) t.match(await ask(at), /^HTTP\/1\.1 502 /, JSON.stringify(sample));
    t.match(await ask(samples.length), /^HTTP\/1\.1 200 [\s\S]*hello/, 'a certain one is passed on');
  }
});
