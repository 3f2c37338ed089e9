import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

/**
 * Requests of our own finding, byte for byte: `@` stands for the lines that say whose they are (Host, handle, close).
 * What the service receives is compared byte for byte as well, without what the gateway adds to every request; null: nothing.
 */
interface Case {
  readonly sent: string;
  /** The status of the first answer; 0: the connection is closed without one. */
  readonly status: number;
  readonly received: string | null;
}

const passes = (sent: string, received: string): Case => ({ sent, status: 200, received });
const refused = (sent: string, status = 400): Case => ({ sent, status, received: null });

const REQUEST_LINES: readonly Case[] = [
  refused('get /x HTTP/1.1\r\n@\r\n'),
  refused(' GET /x HTTP/1.1\r\n@\r\n'),
  refused('GET\t/x\tHTTP/1.1\r\n@\r\n'),
  refused('GET  /x HTTP/1.1\r\n@\r\n'),
  refused('GET /x  HTTP/1.1\r\n@\r\n'),
  refused('GET /x HTTP/1.1 \r\n@\r\n'),
  refused('GET /x HTTP/1.10\r\n@\r\n'),
  refused('GET /x HTTP/01.1\r\n@\r\n'),
  refused('GET /x http/1.1\r\n@\r\n'),
  refused('GET /x HTTP/1.2\r\n@\r\n'),
  refused('GET /x HTTP/1,1\r\n@\r\n'),
  refused('GET /x HTTP/1.1\r\r\n@\r\n'),
  refused('GET HTTP/1.1\r\n@\r\n'),
  refused('GET  HTTP/1.1\r\n@\r\n'),
  refused('FOO /x HTTP/1.1\r\n@\r\n'),
  refused(`${'A'.repeat(9000)} /x HTTP/1.1\r\n@\r\n`),
  refused('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  refused('PROPFIND /x HTTP/1.1\r\n@\r\n', 403),
  refused('OPTIONS * HTTP/1.1\r\n@\r\n'),
  refused(`GET /${'x'.repeat(20_000)} HTTP/1.1\r\n@\r\n`, 431),
  refused('GET /x HTTP/1.1\r\nGET /y HTTP/1.1\r\n@\r\n'),
  refused('\x16\x03\x01\x02\x00\x01\x00'),
  passes('\r\nGET /x HTTP/1.1\r\n@\r\n', 'GET /x HTTP/1.1\r\n\r\n'),
  passes('GET /x?%2e%2e/%00 HTTP/1.1\r\n@\r\n', 'GET /x?%2e%2e/%00 HTTP/1.1\r\n\r\n'),
];

const HEADERS: readonly Case[] = [
  refused('GET /x HTTP/1.1\r\n@x y: z\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@: z\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@x(y): z\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@x\xe9: z\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@xyz\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@x : z\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@x\t: z\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@x: a\x0bb\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@x: a\x7fb\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@x: a\nTransfer-Encoding: chunked\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@\tx: folded\r\n\r\n'),
  passes('GET /x HTTP/1.1\r\n@x: \xe9\xff\r\n\r\n', 'GET /x HTTP/1.1\r\nx: \xe9\xff\r\n\r\n'),
  passes('GET /x HTTP/1.1\r\n@x:y\r\nX: z\r\n\r\n', 'GET /x HTTP/1.1\r\nx: y\r\nX: z\r\n\r\n'),
  passes('GET /x HTTP/1.1\r\n@x: \t y \t\r\n\r\n', 'GET /x HTTP/1.1\r\nx: y\r\n\r\n'),
  passes('GET /x HTTP/1.1\r\n@x:\r\n\r\n', 'GET /x HTTP/1.1\r\nx: \r\n\r\n'),
  passes(
    'GET /x HTTP/1.1\r\n@__proto__: a\r\nconstructor: b\r\n\r\n',
    'GET /x HTTP/1.1\r\n__proto__: a\r\nconstructor: b\r\n\r\n',
  ),
  passes(
    'GET /x HTTP/1.1\r\n@Range: bytes=0-1\r\nIf-None-Match: "a"\r\n\r\n',
    'GET /x HTTP/1.1\r\nRange: bytes=0-1\r\nIf-None-Match: "a"\r\n\r\n',
  ),
  passes('GET /x HTTP/1.1\r\n@Connection: x\r\nX: y\r\nZ: 1\r\n\r\n', 'GET /x HTTP/1.1\r\nZ: 1\r\n\r\n'),
  passes(
    'GET /x HTTP/1.1\r\n@Connection: daypass-assertion, x-forwarded-for, authorization\r\n\r\n',
    'GET /x HTTP/1.1\r\n\r\n',
  ),
  passes(
    'GET /x HTTP/1.1\r\n@Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X\r\nProxy-Connection: close\r\n\r\n',
    'GET /x HTTP/1.1\r\n\r\n',
  ),
  passes(
    'GET /x HTTP/1.1\r\n@Via: 1.1 x\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Prefix: /y\r\nX_Forwarded_Host: z\r\n\r\n',
    'GET /x HTTP/1.1\r\n\r\n',
  ),
  passes(
    'GET /x HTTP/1.1\r\n@Daypass-Assertion: forged\r\ndaypass_assertion: forged\r\nDAYPASS-ANYTHING: 1\r\n\r\n',
    'GET /x HTTP/1.1\r\n\r\n',
  ),
  passes('GET /x HTTP/1.1\r\n@Authorization: Basic eDp5\r\n\r\n', 'GET /x HTTP/1.1\r\n\r\n'),
  passes('GET /x HTTP/1.1\r\n@Upgrade: websocket\r\n\r\n', 'GET /x HTTP/1.1\r\n\r\n'),
  passes('GET /x HTTP/1.1\r\n@Content_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n', 'GET /x HTTP/1.1\r\n\r\n'),
  refused('GET /x HTTP/1.1\r\n@Expect: 200-ok\r\n\r\n', 417),
];

const HOSTS: readonly Case[] = [
  'Host: web.localhost, evil.test',
  'Host: web.localhost evil.test',
  'Host: web.localhost:',
  'Host: web.localhost:0x50',
  'Host: web.localhost:123456',
  'Host: web%2elocalhost',
  'Host: w\xd0\xb5b.localhost',
  'Host: web..localhost',
  'Host: -web.localhost-',
  'Host: web.localhost\\@evil.test',
  'Host: http://web.localhost',
  'Host: [::1]',
  'Host:',
  'Host: web.localhost\r\nhost: other.localhost',
].map((line) => refused(`GET /x HTTP/1.1\r\n${line}\r\nDaypass-Handle: #\r\nConnection: close\r\n\r\n`));

const BODIES: readonly Case[] = [
  refused('POST /x HTTP/1.1\r\n@Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Transfer-Encoding:\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Content-Length:\r\n\r\n'),
  refused('POST /x HTTP/1.1\r\n@Content-Length: 5.0\r\n\r\nhello'),
  refused('POST /x HTTP/1.1\r\n@Content-Length: 1e1\r\n\r\nhello'),
  refused('POST /x HTTP/1.1\r\n@Content-Length: 5,\r\n\r\nhello'),
  refused('POST /x HTTP/1.1\r\n@Content-Length: 5 5\r\n\r\nhello'),
  refused('POST /x HTTP/1.1\r\n@Content-Length: \xb2\r\n\r\nhe'),
  refused('POST /x HTTP/1.1\r\n@Content-Length: 5\t\r\n\r\nhello'),
  passes(
    'POST /x HTTP/1.1\r\n@Connection: content-length\r\nContent-Length: 5\r\n\r\nhello',
    'POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello',
  ),
  passes('POST /x HTTP/1.1\r\n@Content-Length: 0\r\n\r\n', 'POST /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n'),
  passes(
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ),
  passes(
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n00005\r\nhello\r\n000\r\n\r\n',
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ),
  passes(
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n\r\n',
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ),
  refused(
    'POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n',
  ),
];

/** Bodies that break their framing once their request is under way: no second request, and no clean end of the first. */
const BREAKS: readonly string[] = [
  'ffffffffffffffff\r\nhello',
  '-5\r\nhello\r\n0\r\n\r\n',
  ' 5\r\nhello\r\n0\r\n\r\n',
  '5 \r\nhello\r\n0\r\n\r\n',
  '5\r\nhelloGET /smuggled HTTP/1.1\r\n\r\n',
  '5\r\nhello\r\n0\r\nX : y\r\n\r\n',
  '5\r\nhello\r\nzz\r\n',
  '5\r\nhello\r\n0\r\n\0\r\n',
  '5\0\r\nhello\r\n0\r\n\r\n',
];

/** Nothing is wrong with it yet: it waits for the rest until its grant ends. */
const UNFINISHED = 'ffffffffffff\r\nhello';

/** What the gateway adds to each request, and what is new each time. */
const ADDED = /^(?:host|connection|x-forwarded-(?:for|proto|host)|daypass-assertion|x-injected): .*\r\n/gim;

t.test('A1, A3, A6: of each request the service receives exactly what was decided, or nothing', async (t) => {
  const echo = await startEcho(t);
  const roles = { viewer: ['GET /x', 'POST /x'] };
  const gateway = await startGateway(t, { web: { url: echo.url, headers: { 'x-injected': 'ours' }, roles } });
  const { handle } = gateway.issue('web');
  const whose = (by: string) => `Host: web.localhost\r\nDaypass-Handle: ${by}\r\nConnection: close\r\n`;
  const send = (sent: string, by = handle) =>
    raw(t, gateway.port, Buffer.from(sent.replace('@', whose(by)).replace('#', by), 'latin1')).ended;
  const bytes = () => echo.connections.map((one) => one.bytes).join('');
  for (const { sent, status, received } of [...REQUEST_LINES, ...HEADERS, ...HOSTS, ...BODIES]) {
    const before = bytes().length;
    const answer = await send(sent);
    const name = JSON.stringify(sent.slice(0, 120));
    t.equal(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0), status, name);
    const got = bytes().slice(before);
    t.equal(got.replace(ADDED, ''), received ?? '', name);
    if (received !== null) t.match(got, /^x-injected: ours\r$/m, 'with the injected header');
    const answers = [...answer.matchAll(/^HTTP\/1\.1 (\d)/gm)].map(([, first]) => Number(first));
    if (received === null)
      t.ok(
        answers.every((first) => first >= 4),
        'nothing but refusals',
      );
    else t.equal(answers.length, 1, 'one answer');
  }
  for (const body of [...BREAKS, UNFINISHED]) {
    const before = bytes().length;
    const by = body === UNFINISHED ? gateway.issue('web', { forMs: 2_000 }).handle : handle;
    const answer = await send(`POST /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n${body}`, by);
    const name = JSON.stringify(body);
    t.notMatch(answer, /^HTTP\/1\.1 2/, name);
    t.equal(/^HTTP\/1\.1 401/.test(answer), body === UNFINISHED, 'the grant ends under the unfinished one alone');
    const got = bytes().slice(before).replace(ADDED, '');
    t.ok(got === '' || got.startsWith('POST /x HTTP/1.1\r\n'), name);
    t.notMatch(got, /0\r\n\r\n$|smuggled/, 'no clean end, no second request');
  }
  t.ok(REQUEST_LINES.length + HEADERS.length + HOSTS.length + BODIES.length + BREAKS.length + 1 >= 90);
});
