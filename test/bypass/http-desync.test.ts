import t from 'tap';
import { type Echo, startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

/*
 * Requests that parsers are known to differ about, after llhttp's own samples and the findings of HTTP Garden. Each is sent on a
 * connection that stays open, with another request right behind it: `@` stands for the lines that say whose it is, `HANDLE` for it
 * alone. Nobody asks for the end of a connection here, so where it ends the gateway chose to.
 */
const BEHIND = 'GET /behind HTTP/1.1\r\n@Connection: close\r\n\r\n';
/** What the gateway adds to each request, and what is new each time. */
const ADDED = /^(?:host|connection|x-forwarded-(?:for|proto|host)|daypass-assertion): .*\r\n/gim;
const ARRIVED_BEHIND = 'GET /behind HTTP/1.1\r\n\r\n';

const get = (headers: string) => `GET /x HTTP/1.1\r\n@${headers}\r\n`;
const post = (headers: string, body = '') => `POST /x HTTP/1.1\r\n@${headers}\r\n${body}`;
const chunks = (body: string) => post('Transfer-Encoding: chunked\r\n', body);
const line = (text: string) => `${text}\r\n@\r\n`;

/** No request at all, or one whose end two readers may see in two places: refused, and the connection is over. */
const DOUBTFUL: readonly string[] = [
  // llhttp: invalid, method, lenient modes
  line('GET /x ICE/1.0'),
  line('SOURCE /x ICE/1.0'),
  line('GET /x RTSP/1.0'),
  line('PLAY /x RTSP/1.0'),
  line('GET /x IHTTP/1.0'),
  line('GET /x HTTP/5.6'),
  line('GET /x HTTP/1.'),
  line('GET /x HTTP/.1'),
  line('GET /x HTTP/11'),
  line('GET /x HTTP/1.1.1'),
  line('GET /x HTTP/1.1\0'),
  line('GET /x HTTP/1.1\t'),
  line('GET /x HTTP/1.1 x'),
  line('GET /x HTTP/-1.1'),
  line('GET /x HTTP/3.0'),
  line('GET /x HTTP/1'),
  line('GET /x HTTP'),
  line('MKCOLA /x HTTP/1.1'),
  line('PTO /x HTTP/1.1'),
  line('GE /x HTTP/1.1'),
  line('GETT /x HTTP/1.1'),
  line('G\0ET /x HTTP/1.1'),
  line('GET\0/x HTTP/1.1'),
  line('GET\x0b/x\x0bHTTP/1.1'),
  line('GET\xa0/x\xa0HTTP/1.1'),
  line('get /x HTTP/1.1'),
  line('"GET" /x HTTP/1.1'),
  line('PRI * HTTP/2.0'),
  line('\xef\xbb\xbfGET /x HTTP/1.1'),
  'GET /x HTTP/1.1\n@\n',
  'GET /x HTTP/1.1\r@\r',
  'GET /x HTTP/1.1\r\nFoo: 1\rBar: 2\r\n@\r\n',
  'GET /x HTTP/1.1\r\n@Foo: \rBar: 2\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo: \nBar: 2\r\n\r\n',
  'GET /x HTTP/1.1\r\n Host: web.localhost\r\n@\r\n',
  'GET /x HTTP/1.1\r\n\t@\r\n',
  'GET /x HTTP/1.1\r\n@Foo\r\n : value\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Connection\r\x1b\x65: alive\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Fo@: Failure\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo\x01: Failure\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo\0: Failure\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo[a]: Failure\r\n\r\n',
  'GET /x HTTP/1.1\r\n@{Foo}: Failure\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo\xa0: Failure\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo: a\0\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo: a\x1bb\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo: a\x08b\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo: a\r\n\r b: c\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo: a\r\n\r\r\n\r\n',
  'GET /x HTTP/1.1\r\n@\r\rGET /behind HTTP/1.1\r\n@\r\n',
  'GET /x HTTP/1.1\r\n@Foo: a\r\n\x0bTransfer-Encoding: chunked\r\n\r\n',
  'GET /x HTTP/1.1\r\n@Foo: a\r\n  \r\nBar: b\r\n\r\n',
  // llhttp: content-length
  post('Content-Length : 5\r\n', 'hello'),
  post('Content-Length: 4 2\r\n', 'hello'),
  post('Content-Length: 13 37\r\n', 'hello'),
  post('Content-Length:\r\n 5\r\n', 'hello'),
  post('Content-Length: 5\r\n 5\r\n', 'hello'),
  post('Content-Length: 5;x\r\n', 'hello'),
  post('Content-Length: "5"\r\n', 'hello'),
  post('Content-Length: 5_0\r\n', 'hello'),
  post('Content-Length: 0b101\r\n', 'hello'),
  post('Content-Length: 0o5\r\n', 'hello'),
  post('Content-Length: ++5\r\n', 'hello'),
  post('Content-Length: -0\r\n'),
  post('Content-Length: 5\0\r\n', 'hello'),
  post('Content-Length: 5\x0b\r\n', 'hello'),
  post('Content-Length: \x0c5\r\n', 'hello'),
  post('Content-Length: \xa05\r\n', 'hello'),
  post('Content-Length: \xd9\xa5\r\n', 'hello'),
  post('Content-Length: 18446744073709551621\r\n', 'hello'),
  post('Content-Length: 9223372036854775808\r\n', 'hello'),
  post('Content-Length: 1, 1\r\n', 'h'),
  post('Content-Length: 5\r\ncontent-length: 0\r\n', 'hello'),
  post('Content-Length: \r\nContent-Length: 5\r\n', 'hello'),
  post('Content-Length: 5\r\nX: y\r\nContent-Length: 5\r\n', 'hello'),
  get('Content-Length: 42 \t x\r\n'),
  // llhttp: transfer-encoding
  post('Transfer-Encoding: pigeons\r\n'),
  post('Transfer-Encoding: deflate\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: identity\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: identity\r\nContent-Length: 1\r\n', 'x'),
  post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: chunked, deflate\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: chunked\r\nTransfer-Encoding: deflate\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: chunked\r\n  abc\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: \r\n chunked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding:\x0bchunked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: \x0cchunked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: chunked\0\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: \xa0chunked\r\n', '0\r\n\r\n'),
  post("Transfer-Encoding: 'chunked'\r\n", '0\r\n\r\n'),
  post('Transfer-Encoding: chunkedx\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: chun ked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: chun\xe7ked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding: x\r\nContent-Length: 0\r\n'),
  post('Transfer-Encoding\t: chunked\r\n', '0\r\n\r\n'),
  post('Transfer-Encoding\0: chunked\r\n', '0\r\n\r\n'),
  post('X: y\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'POST /x HTTP/1.0\r\n@Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'POST /x HTTP/1.0\r\n@Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n',
  // no request line of this protocol
  'GET /x\r\n',
  'GET /x\n',
  '\0\r\n\r\n',
  '\x80\x2e\x01\x03\x01',
  'HELO web.localhost\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
];

/** Bodies that break their framing: nothing but a broken transfer comes of them, and the connection is over. */
const BROKEN: readonly string[] = [
  '0_5\r\nhello\r\n0\r\n\r\n',
  '+5\r\nhello\r\n0\r\n\r\n',
  '0x5\r\nhello\r\n0\r\n\r\n',
  '5h\r\nhello\r\n0\r\n\r\n',
  '\x0b5\r\nhello\r\n0\r\n\r\n',
  '\t5\r\nhello\r\n0\r\n\r\n',
  '5\t\r\nhello\r\n0\r\n\r\n',
  '5\x0c\r\nhello\r\n0\r\n\r\n',
  '\r\nhello\r\n0\r\n\r\n',
  ';a=b\r\nhello\r\n0\r\n\r\n',
  '10000000000000005\r\nhello\r\n0\r\n\r\n',
  'fffffffffffffffff\r\nhello\r\n0\r\n\r\n',
  '5 erfrferferf\r\nhello\r\n0\r\n\r\n',
  '5;a\nb\r\nhello\r\n0\r\n\r\n',
  '5;\n\r\nhello\r\n0\r\n\r\n',
  '5;a\rb\r\nhello\r\n0\r\n\r\n',
  '5;a\0b\r\nhello\r\n0\r\n\r\n',
  '5;a="b\r\nhello\r\n0\r\n\r\n',
  '5;a="b"c\r\nhello\r\n0\r\n\r\n',
  '5;=b\r\nhello\r\n0\r\n\r\n',
  '5\rhello\r\n0\r\n\r\n',
  '5\r\r\nhello\r\n0\r\n\r\n',
  '5\nhello\r\n0\r\n\r\n',
  '5\r\nhello\n0\r\n\r\n',
  '5\r\nhello\r0\r\n\r\n',
  '5\r\nhello0\r\n\r\n',
  '5\r\nhelloXX0\r\n\r\n',
  '5\r\nhello\r\r\n0\r\n\r\n',
  '5\r\nhello\r\n\r\n0\r\n\r\n',
  '0\r\n\rX',
  '0\r\nX\r\n\r\n',
  '0\r\nX: a\nY: b\r\n\r\n',
  '0\r\nX: a\rY: b\r\n\r\n',
  '0\r\n X: folded\r\n\r\n',
  '0\r\nX: a\0\r\n\r\n',
  '0\r\nTransfer-Encoding: chunked\r\n\r\n',
  '0\r\nContent-Length: 5\r\n\r\n',
  '\u0665\r\nhello\r\n0\r\n\r\n',
];

/** Requests that are no such doubt, and are still not let through. */
const REFUSED: readonly (readonly [string, number])[] = [
  [line('QUERY /x HTTP/1.1'), 403],
  [line('SOURCE /x HTTP/1.1'), 403],
  [line('REPORT /x HTTP/1.1'), 403],
  [line('M-SEARCH * HTTP/1.1'), 400],
  [line('M-SEARCH /x HTTP/1.1'), 403],
  [line('PURGE /x HTTP/1.1'), 403],
  [line('MKCALENDAR /x HTTP/1.1'), 403],
  [line('LINK /x HTTP/1.1'), 403],
  [line('TRACE /x HTTP/1.1'), 403],
  [line('CONNECT /x HTTP/1.1'), 405],
  [line('CONNECT web.localhost:443 HTTP/1.1'), 405],
  [
    'CONNECT home.netscape.com:443 HTTP/1.0\r\n@Proxy-authorization: basic aGVsbG86d29ybGQ=\r\nContent-Length: 3\r\n\r\nabc',
    405,
  ],
  [line('GET web.localhost:443 HTTP/1.1'), 400],
  [line('GET * HTTP/1.1'), 400],
  [line('GET http://web.localhost/x HTTP/1.1'), 400],
  [line('GET HTTP://WEB.LOCALHOST/x HTTP/1.1'), 400],
  [line('GET http://other.localhost/x HTTP/1.1'), 400],
  [line('GET http://a@web.localhost/x HTTP/1.1'), 400],
  [line('GET http://web.localhost HTTP/1.1'), 400],
  [line('GET http://web.localhost?x HTTP/1.1'), 400],
  [line('GET http:///x HTTP/1.1'), 400],
  [line('GET http:/x HTTP/1.1'), 400],
  [line('GET ftp://web.localhost/x HTTP/1.1'), 400],
  [line('GET ?x HTTP/1.1'), 400],
  [line('GET x HTTP/1.1'), 400],
  [line('GET /x#GET HTTP/1.1'), 400],
  [line('GET /x?page=1#posts-17408 HTTP/1.1'), 400],
  [line('GET /with_"lovely"_quotes?foo="bar" HTTP/1.1'), 400],
  [line('GET /\xce\xb4\xc2\xb6/pope?q=1#narf HTTP/1.1'), 400],
  [line('GET /x?\xff HTTP/1.1'), 400],
  [line('GET /x\x7f HTTP/1.1'), 400],
  [line('GET /..;/x HTTP/1.1'), 400],
  [line('GET /x/..;a=b/ HTTP/1.1'), 400],
  [line('GET /x/%2e%2e%2fy HTTP/1.1'), 400],
  [line('GET /x%u002e HTTP/1.1'), 400],
  [line('GET /x%20HTTP/1.1%0d%0aHost:y HTTP/1.1'), 400],
  [line('GET /%5c%5cevil HTTP/1.1'), 400],
  [line('GET ///x HTTP/1.1'), 400],
  [line('GET /.//x HTTP/1.1'), 400],
  [line('OPTIONS * HTTP/1.1'), 400],
  [line('OPTIONS /x HTTP/1.1'), 403],
  ['GET /x HTTP/1.1\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: web.localhost.\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: web_.localhost\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: user@web.localhost\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: web.localhost:80:80\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: [::1]:80\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: web.localhost#x\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: web.localhost\r\nHost: web.localhost\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: \r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.0\r\nDaypass-Handle: HANDLE\r\n\r\n', 400],
  ['GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nDaypass-Handle: HANDLE\r\n\r\n', 421],
  ['GET /x HTTP/1.1\r\nHost: xn--web.localhost\r\nDaypass-Handle: HANDLE\r\n\r\n', 421],
  [get('Expect: 100-continue, x\r\n'), 417],
  [get('Expect: 100-continue; x\r\n'), 417],
  [get('Expect: "100-continue"\r\n'), 417],
  [get('Expect: 100-continue\r\nExpect: x\r\n'), 417],
  [get('Expect: 100-continue 100-continue\r\n'), 417],
  [post('Expect: weird\r\nContent-Length: 5\r\n', 'hello'), 417],
  [get('Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n'), 400],
  [get('Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: WebSocket/13\r\n'), 400],
  [get(`x: ${'y'.repeat(65_536)}\r\n`), 431],
  [get(`${'n'.repeat(65_536)}: y\r\n`), 431],
  [get('a: b\r\n'.repeat(201)), 431],
];

/** One request each, of which the service receives exactly this; what is behind it is another, and arrives as such. */
const ONE: readonly (readonly [string, string])[] = [
  ['\r\n\r\nGET /x HTTP/1.1\r\n@\r\n', 'GET /x HTTP/1.1\r\n\r\n'],
  [line('GET /x?foo=bar?baz HTTP/1.1'), 'GET /x?foo=bar?baz HTTP/1.1\r\n\r\n'],
  [line('GET /x?query=|eval HTTP/1.1'), 'GET /x?query=|eval HTTP/1.1\r\n\r\n'],
  [get('Test: D\xc3\xbcsseldorf\r\n'), 'GET /x HTTP/1.1\r\nTest: D\xc3\xbcsseldorf\r\n\r\n'],
  [
    get('X-SSL-Nonsense:   -----BEGIN CERTIFICATE-----\r\n'),
    'GET /x HTTP/1.1\r\nX-SSL-Nonsense: -----BEGIN CERTIFICATE-----\r\n\r\n',
  ],
  [get('Foo: bar:baz: qux\r\n'), 'GET /x HTTP/1.1\r\nFoo: bar:baz: qux\r\n\r\n'],
  [get("!#$%&'*+-.^_`|~: tokens\r\n"), "GET /x HTTP/1.1\r\n!#$%&'*+-.^_`|~: tokens\r\n\r\n"],
  [get('Connection: upgrade, ,, keep-alive\r\n'), 'GET /x HTTP/1.1\r\n\r\n'],
  [get('Connection: keep-alive\r\nKeep-Alive: timeout=99999\r\n'), 'GET /x HTTP/1.1\r\n\r\n'],
  [get('Connection: host, transfer-encoding, daypass-handle\r\n'), 'GET /x HTTP/1.1\r\n\r\n'],
  [get('Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'), 'GET /x HTTP/1.1\r\n\r\n'],
  [get('Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n'), 'GET /x HTTP/1.1\r\n\r\n'],
  [get('Expect:\r\n'), 'GET /x HTTP/1.1\r\n\r\n'],
  [get('Expect: ,\r\nExpect: \r\n'), 'GET /x HTTP/1.1\r\n\r\n'],
  [get('Content-Length: 5\r\n').concat('GET /'), 'GET /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nGET /'],
  [
    get('Transfer-Encoding: chunked\r\n').concat('5\r\nGET /\r\n0\r\n\r\n'),
    'GET /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n',
  ],
  ['DELETE /x HTTP/1.1\r\n@Content-Length: 5\r\n\r\nGET /', 'DELETE /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nGET /'],
  [
    'DELETE /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n',
    'DELETE /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n',
  ],
  [post('Content-Length: 000005\r\n', 'hello'), 'POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello'],
  [
    post('Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n'),
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ],
  [
    chunks('1e\r\nall your base are belong to us\r\n0\r\n\r\n'),
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1e\r\nall your base are belong to us\r\n0\r\n\r\n',
  ],
  [
    chunks('5;ilovew3;somuchlove=aretheseparametersfor\r\nhello\r\n0\r\n\r\n'),
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ],
  [
    chunks('5;a="b;c"\r\nhello\r\n0\r\n\r\n'),
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ],
  [
    chunks('5\r\nhello\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n'),
    'POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ],
];

/** The last requests of their connections, as they say: whatever follows is none. */
const LAST: readonly string[] = [
  get('Connection: close\r\n'),
  get('Connection: keep-alive, close\r\n'),
  get('Connection: close\r\nConnection: keep-alive\r\n'),
  'GET /x HTTP/1.0\r\n@\r\n',
  'GET /x HTTP/1.0\r\n@Content-Length: 2\r\n\r\nhi',
  'HEAD /x HTTP/1.1\r\n@Connection: close\r\nContent-Length: 2\r\n\r\nhi',
  'TRACE /x HTTP/1.1\r\n@Connection: close\r\nContent-Length: 2\r\n\r\nhi',
  'OPTIONS /x HTTP/1.1\r\n@Content-Length: 2\r\n\r\nhi',
  'PUT /x HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
];

async function started(t: Parameters<typeof startEcho>[0]) {
  const echo = await startEcho(t);
  const viewer = ['GET /x', 'POST /x', 'DELETE /x', 'GET /behind', 'WS /x'];
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer } } }, { headTimeout: 2_000 });
  const { handle } = gateway.issue('web');
  const whose = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
  const send = (sent: string) => {
    const bytes = (sent + BEHIND).replaceAll('@', (at, offset: number) => (isOurs(sent + BEHIND, offset) ? whose : at));
    return raw(t, gateway.port, Buffer.from(bytes.replaceAll('HANDLE', handle), 'latin1')).ended;
  };
  return { echo, send };
}

/** Not the `@` of a header's name or of a userinfo. */
function isOurs(text: string, offset: number): boolean {
  return /[\r\n\t]/.test(text[offset - 1] ?? '');
}

const bytesOf = (echo: Echo) => echo.connections.map(({ bytes }) => bytes).join('');
const statusesOf = (answer: string) => [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

t.test('A6: what two readers may understand differently is refused, and ends its connection', async (t) => {
  const { echo, send } = await started(t);
  for (const sent of DOUBTFUL) {
    const name = JSON.stringify(sent.slice(0, 100));
    const before = bytesOf(echo).length;
    const statuses = statusesOf(await send(sent));
    t.same(statuses, [400], `${name}: one answer, which is a refusal`);
    t.equal(bytesOf(echo).slice(before), '', `${name}: the service hears nothing of it, nor of what is behind`);
  }
});

t.test('A6: a body that breaks its framing ends in a broken transfer, and ends its connection', async (t) => {
  const { echo, send } = await started(t);
  for (const body of BROKEN) {
    const name = JSON.stringify(body);
    const before = bytesOf(echo).length;
    const statuses = statusesOf(await send(chunks(body)));
    t.ok(statuses.length <= 1 && statuses.every((status) => status >= 400), `${name}: ${statuses}`);
    const got = bytesOf(echo).slice(before).replace(ADDED, '');
    t.ok(got === '' || got.startsWith('POST /x HTTP/1.1\r\n'), name);
    t.notMatch(got, /0\r\n\r\n$|behind/, `${name}: no clean end, no second request`);
  }
});

t.test('A1, A2, A6: what is refused is one refusal, and what follows it is another request or none', async (t) => {
  const { echo, send } = await started(t);
  for (const [sent, status] of REFUSED) {
    const name = JSON.stringify(sent.slice(0, 100));
    const before = bytesOf(echo).length;
    const [first, second = 200, ...more] = statusesOf(await send(sent));
    t.same([first, second, more], [status, 200, []], name);
    const got = bytesOf(echo).slice(before).replace(ADDED, '');
    t.ok(got === '' || got === ARRIVED_BEHIND, `${name}: ${JSON.stringify(got)}`);
  }
});

t.test('A1, A3, A6: what passes is one request, byte for byte, and what follows it is another', async (t) => {
  const { echo, send } = await started(t);
  for (const [sent, received] of ONE) {
    const name = JSON.stringify(sent.slice(0, 100));
    const before = bytesOf(echo).length;
    t.same(statusesOf(await send(sent)), [200, 200], name);
    t.equal(bytesOf(echo).slice(before).replace(ADDED, ''), received + ARRIVED_BEHIND, name);
  }
});

t.test('A6: what follows the last request of a connection is never one', async (t) => {
  const { echo, send } = await started(t);
  for (const sent of LAST) {
    const name = JSON.stringify(sent.slice(0, 100));
    const before = bytesOf(echo).length;
    t.equal(statusesOf(await send(sent)).length, 1, `${name}: one answer`);
    t.notMatch(bytesOf(echo).slice(before), /behind/, name);
  }
});
