import t, { type Test } from 'tap';
import { type Answer, startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';

const ROLES = { viewer: ['GET /**', 'POST /**'] };

/** What of a request's head changes from test to test. */
interface Asking {
  readonly line: string;
  readonly headers?: string;
  readonly body?: string;
}

/** A service that answers so, and a gateway before it to which requests are written byte by byte. */
async function served(t: Test, answer: Answer) {
  const echo = await startEcho(t, answer);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const asks = ({ line, headers = '', body = '' }: Asking) =>
    `${line}\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${headers}\r\n${body}`;
  const once = (asking: Asking) =>
    raw(t, gateway.port, asks({ ...asking, headers: `${asking.headers ?? ''}Connection: close\r\n` })).ended;
  return { echo, gateway, asks, once };
}

const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4);

t.test('HEAD has the length of what GET would have, no body, and leaves the connection in step', async (t) => {
  const { gateway, asks, echo } = await served(t, (_req, res) => {
    res.setHeader('content-length', '12345');
    res.end();
  });
  const client = raw(t, gateway.port, asks({ line: 'HEAD /a HTTP/1.1' }));
  t.match(await client.sees(/\r\n\r\n/), /^HTTP\/1\.1 200 OK[\s\S]*content-length: 12345/i);
  client.socket.write(asks({ line: 'HEAD /b HTTP/1.1', headers: 'Connection: close\r\n' }));
  const answers = await client.ended;
  t.equal(answers.split('HTTP/1.1 200 OK').length, 3);
  t.equal(bodyOf(bodyOf(answers)), '', 'nothing but heads');
  t.same(
    echo.requests.map(({ method, url }) => `${method} ${url}`),
    ['HEAD /a', 'HEAD /b'],
  );
  t.match((await gateway.events()).filter(({ kind }) => kind === 'result')[0]?.facts, { status: '200', bytesOut: 0 });
});

t.test('informational answers of a service stay with the gateway: the client gets the final one alone', async (t) => {
  const { once, gateway } = await served(t, (_req, res) => {
    res.writeEarlyHints({ link: '</style.css>; rel=preload' });
    res.writeProcessing();
    setImmediate(() => res.end('final'));
  });
  const answer = await once({ line: 'GET / HTTP/1.1' });
  t.match(answer, /^HTTP\/1\.1 200 OK/);
  t.notMatch(answer, /HTTP\/1\.1 1\d\d|preload/);
  t.match((await gateway.events()).find(({ kind }) => kind === 'result')?.facts, { status: '200', bytesOut: 5 });
});

t.test('204 and 304 have no body and no framing of one, and what they say of the resource stays', async (t) => {
  const { gateway, asks } = await served(t, (req, res) => {
    res.setHeader('etag', '"v1"');
    res.writeHead(req.url === '/none' ? 204 : 304).end();
  });
  const client = raw(t, gateway.port, asks({ line: 'GET /none HTTP/1.1' }));
  const none = await client.sees(/\r\n\r\n/);
  t.match(none, /^HTTP\/1\.1 204 No Content[\s\S]*etag: "v1"/i);
  t.notMatch(none, /transfer-encoding|content-length/i);
  client.socket.write(asks({ line: 'GET /same HTTP/1.1', headers: 'If-None-Match: "v1"\r\nConnection: close\r\n' }));
  const same = bodyOf(await client.ended);
  t.match(same, /^HTTP\/1\.1 304 Not Modified[\s\S]*etag: "v1"/i);
  t.notMatch(same, /transfer-encoding/i);
  t.equal(bodyOf(same), '');
});

t.test('ranges are the service’s to answer: 206, its Content-Range and exactly those bytes, and 416', async (t) => {
  const whole = '0123456789';
  const { once, echo } = await served(t, (req, res) => {
    const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? '') ?? [];
    if (Number(from) >= whole.length) return void res.writeHead(416, { 'content-range': 'bytes */10' }).end();
    const part = whole.slice(Number(from), Number(to) + 1);
    res.writeHead(206, {
      'content-range': `bytes ${from}-${to}/10`,
      'accept-ranges': 'bytes',
      'content-length': part.length,
    });
    res.end(part);
  });
  const asking = (range: string) => once({ line: 'GET / HTTP/1.1', headers: `Range: ${range}\r\nIf-Range: "v1"\r\n` });
  const part = await asking('bytes=2-4');
  t.match(part, /^HTTP\/1\.1 206 Partial Content/);
  t.match(part, /content-range: bytes 2-4\/10/i);
  t.match(part, /content-length: 3\r\n/i);
  t.equal(bodyOf(part), '234');
  t.match(Object.fromEntries(echo.requests[0]?.headers ?? []), { range: 'bytes=2-4', 'if-range': '"v1"' });
  t.match(await asking('bytes=20-30'), /^HTTP\/1\.1 416 [\s\S]*content-range: bytes \*\/10/i);
});

t.test('trailers are dropped both ways, and announced to nobody', async (t) => {
  const { once, echo } = await served(t, (req, res) => {
    req.resume();
    req.once('end', () => {
      res.writeHead(200, { trailer: 'X-Sum, Set-Cookie' });
      res.write('body');
      res.addTrailers({ 'x-sum': 'canary', 'set-cookie': 'canary=1' });
      res.end();
    });
  });
  const answer = await once({
    line: 'POST / HTTP/1.1',
    headers: 'Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n',
    body: '3\r\nabc\r\n0\r\nX-Late: canary\r\nAuthorization: Bearer canary\r\n\r\n',
  });
  t.match(answer, /^HTTP\/1\.1 200 [\s\S]*4\r\nbody\r\n0\r\n\r\n$/);
  t.notMatch(answer, /canary|trailer/i);
  t.equal(echo.requests[0]?.body, 'abc');
  t.notMatch(echo.connections[0]?.bytes ?? '', /canary|trailer|x-late/i);
});

t.test('a client of HTTP/1.0 gets a body without chunks, which ends with the connection', async (t) => {
  const { gateway, asks, echo } = await served(t, (_req, res) => {
    res.write('one ');
    setImmediate(() => res.end('two'));
  });
  const answer = await raw(t, gateway.port, asks({ line: 'GET / HTTP/1.0' })).ended;
  t.match(answer, /^HTTP\/1\.1 200 OK/);
  t.match(answer, /connection: close/i);
  t.notMatch(answer, /transfer-encoding/i);
  t.equal(bodyOf(answer), 'one two');
  t.match(echo.connections[0]?.bytes, /^GET \/ HTTP\/1\.1\r\n/, 'the service is spoken to in our own version');
});

t.test('a client of HTTP/1.0 keeps its connection only where it asks and the length is known', async (t) => {
  const { gateway, asks } = await served(t, (_req, res) => {
    res.setHeader('content-length', '2');
    res.end('ok');
  });
  const kept = raw(t, gateway.port, asks({ line: 'GET /1 HTTP/1.0', headers: 'Connection: keep-alive\r\n' }));
  t.match(await kept.sees(/\r\n\r\nok$/), /connection: keep-alive/i);
  kept.socket.write(asks({ line: 'GET /2 HTTP/1.0' }));
  t.equal((await kept.ended).split('HTTP/1.1 200 OK').length, 3);
});

t.test('a connection is kept for many requests, says for how long, and ends when the client says so', async (t) => {
  const { gateway, asks, echo } = await served(t, (req, res) => res.end(`answer to ${req.url}.`));
  const client = raw(t, gateway.port, '');
  for (let number = 1; number <= 150; number += 1) {
    client.socket.write(asks({ line: `GET /${number} HTTP/1.1` }));
    await client.sees(new RegExp(`answer to /${number}\\.$`));
  }
  t.match(client.text(), /keep-alive: timeout=65\r\n/i);
  client.socket.write(asks({ line: 'GET /last HTTP/1.1', headers: 'Connection: close\r\n' }));
  t.match(await client.ended, /connection: close/i);
  t.equal(echo.requests.length, 151);
  t.equal(echo.connections.length, 1, 'and so is the one to the service');
});

t.test('Expect is answered by the gateway alone: at once, or not at all for a client of HTTP/1.0', async (t) => {
  const { gateway, asks, echo } = await served(t, (req, res) => {
    req.resume();
    req.once('end', () => res.end('stored'));
  });
  const headers = 'Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n';
  const waiting = raw(t, gateway.port, asks({ line: 'POST / HTTP/1.1', headers }));
  await waiting.sees(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
  waiting.socket.write('ok');
  t.match(await waiting.ended, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 [\s\S]*stored/);
  const twice = headers.replace('100-continue', '100-Continue, ,100-continue\r\nExpect: 100-continue');
  const more = raw(t, gateway.port, asks({ line: 'POST / HTTP/1.1', headers: twice }));
  await more.sees(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
  more.socket.write('ok');
  t.match(await more.ended, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 [\s\S]*stored/, 'once, however often');
  const none = asks({ line: 'POST / HTTP/1.1', headers: headers.replace('100-continue', ''), body: 'ok' });
  t.match(await raw(t, gateway.port, none).ended, /^HTTP\/1\.1 200 [\s\S]*stored/, 'nothing is expected');
  // RFC 9110 section 10.1.1: ignored in a request of HTTP/1.0, whose client knows no 1xx.
  const old = raw(t, gateway.port, asks({ line: 'POST / HTTP/1.0', headers, body: 'ok' }));
  t.match(await old.ended, /^HTTP\/1\.1 200 [\s\S]*stored/);
  t.same(
    echo.requests.map(({ body }) => body),
    ['ok', 'ok', 'ok', 'ok'],
  );
  t.notMatch(echo.connections.map(({ bytes }) => bytes).join(''), /expect/i);
});
