import { Agent, createServer, request } from 'node:http';
import httpProxy from 'http-proxy';
import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { listen, raw, startGateway } from '../http/gateway.js';
import { bareService } from '../http/raw-service.js';

const INNER = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
const chunked = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

/** Framings that two readers may understand differently: each is refused, or is one request to the service. */
const FRAMINGS: Readonly<Record<string, string>> = {
  'CL and TE': `POST /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(INNER)}`,
  'TE and CL': `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${chunked(INNER)}`,
  xchunked: `POST /x HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n${chunked(INNER)}`,
  'chunked, identity': `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n${chunked(INNER)}`,
  'identity, chunked': `POST /x HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n\r\n${chunked(INNER)}`,
  'two TE': `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n${chunked(INNER)}`,
  'TE with a tab': `POST /x HTTP/1.1\r\nTransfer-Encoding:\tchunked\r\n\r\n${chunked(INNER)}`,
  'TE with a blank before the colon': `POST /x HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n${chunked(INNER)}`,
  'two CL': `POST /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
  'two equal CL': `POST /x HTTP/1.1\r\nContent-Length: ${INNER.length}\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
  'CL list': `POST /x HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n${INNER}`,
  'CL +5': `POST /x HTTP/1.1\r\nContent-Length: +5\r\n\r\n${INNER}`,
  'CL -1': `POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n${INNER}`,
  'CL 0x5': `POST /x HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n${INNER}`,
  'CL beyond measure': `POST /x HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n${INNER}`,
  'obs-fold': `POST /x HTTP/1.1\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n`,
  'folded TE': `POST /x HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n${chunked(INNER)}`,
  'bare LF': `POST /x HTTP/1.1\nContent-Length: 0\n\n`,
  'bare CR in a value': `POST /x HTTP/1.1\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n${chunked(INNER)}`,
  'NUL in a value': 'POST /x HTTP/1.1\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n',
  'chunk extension': `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${INNER.length.toString(16)};a="b\r\n${INNER}\r\n0\r\n\r\n`,
  'chunk size 0x': `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`,
  'chunk with LF': `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n`,
  'chunk too short': `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n`,
  trailers: `POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\nX: y\r\n\r\n`,
  'TE on HTTP/1.0': `POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(INNER)}`,
  'HTTP/0.9': 'GET /x\r\n\r\n',
  'HTTP/2.0': 'GET /x HTTP/2.0\r\n\r\n',
  'GET with a body': `GET /x HTTP/1.1\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
  'GET with a chunked body': `GET /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(INNER)}`,
  'HEAD with a body': `HEAD /x HTTP/1.1\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
  'DELETE with a chunked body': `DELETE /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(INNER)}`,
  'OPTIONS with a chunked body': `OPTIONS /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(INNER)}`,
  CONNECT: 'CONNECT evil.test:443 HTTP/1.1\r\n\r\n',
  TRACE: 'TRACE /x HTTP/1.1\r\n\r\n',
  'Upgrade: h2c': `GET /x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n${INNER}`,
  'Upgrade: h2c with a body': `POST /x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
  'Upgrade: h2c with a chunked body': `POST /x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(INNER)}`,
  'upgrade with a body': `GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
};

t.test('A6: every odd framing is refused or is exactly one request to the service', async (t) => {
  const echo = await startEcho(t);
  const roles = { viewer: ['GET /x', 'POST /x', 'DELETE /x', 'OPTIONS /x', 'WS /x'] };
  const gateway = await startGateway(t, { web: { url: echo.url, roles } });
  const { handle } = gateway.issue('web');
  for (const [name, bytes] of Object.entries(FRAMINGS)) {
    const before = echo.requests.length;
    const ours = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n`;
    const client = raw(
      t,
      gateway.port,
      bytes.replace(/(HTTP\/\S+\r?\n)/, (line) => line + ours),
    );
    const answer = await client.ended;
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
    const reached = echo.requests.slice(before).map(({ url }) => url);
    if (status >= 400) t.ok(reached.length <= 1 && !reached.includes('/smuggled'), `${name}: ${status}`);
    else t.same(reached, ['/x'], `${name}: ${status}, one request`);
    t.notMatch(reached, ['/smuggled'], name);
  }
  t.ok(echo.requests.every(({ url }) => url === '/x'));
});

t.test('A6: a DELETE whose chunked body holds a request is one request here, and two through http-proxy', async (t) => {
  const body = INNER;
  const bytes = (host: string, extra: string) =>
    `DELETE /x HTTP/1.1\r\nHost: ${host}\r\n${extra}Transfer-Encoding: chunked\r\n\r\n${chunked(body)}`;

  const behindUs = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: behindUs.url, roles: { viewer: ['DELETE /x'] } } });
  const { handle } = gateway.issue('web');
  await raw(t, gateway.port, bytes('web.localhost', `Daypass-Handle: ${handle}\r\nConnection: close\r\n`)).ended;
  t.same(
    behindUs.requests.map(({ url, body: got }) => [url, got]),
    [['/x', body]],
  );

  const behindThem = await startEcho(t, (_req, res) => res.end('ok'));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  const proxy = httpProxy.createProxyServer({ target: behindThem.url, agent });
  proxy.on('error', () => {});
  const port = await listen(
    t,
    createServer((req, res) => proxy.web(req, res)),
  );
  await raw(t, port, bytes('x', 'Connection: keep-alive\r\n')).sees(/HTTP\/1\.1 /);
  await behindThem.request(({ url }) => url === '/smuggled');
  t.same(
    behindThem.requests.map(({ url }) => url),
    ['/x', '/smuggled'],
    'the peer smuggles: the test sees what it claims to see',
  );
});

/** A service that has no use for bodies, as a handler of Python's http.server is that speaks HTTP/1.1, and knows any line for a request. */
async function carelessService(t: Test) {
  const asked: string[] = [];
  const service = await bareService(t, (received, socket) => {
    if (socket.writableEnded) return;
    const [, line = ''] = /^([A-Z]+ \S+) HTTP/.exec(received.toString('latin1')) ?? [];
    const isLast = /^connection: close/im.test(received.toString('latin1'));
    const [, ...left] = received.toString('latin1').split('\r\n\r\n');
    for (const one of [line, ...(isLast ? [] : left.join('\n').split(/\r?\n/))]) {
      const plain = one.replace(/[\x1c-\x1f\x85]/g, ' '); // which parts words in Python
      const request = /([A-Za-z]+\s+[/*]\S*)|(\S+\s+\S+\s+HTTP\/)|^\s*(GET\s+\S+)/i.exec(plain)?.[0];
      if (request === undefined) continue;
      asked.push(request);
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
    if (isLast) socket.end();
  });
  return { asked, ...service };
}

t.test('A6: a body that its service leaves unread is not the next request ("CL.0")', async (t) => {
  const { asked, url, sockets } = await carelessService(t);
  const methods = ['POST', 'PUT', 'PATCH', 'DELETE'];
  const roles = { viewer: [...methods, 'GET'].map((method) => `${method} /x`) };
  const gateway = await startGateway(t, { web: { url, roles } });
  const { handle } = gateway.issue('web');
  const ours = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
  const last = `GET /x HTTP/1.1\r\n${ours}Connection: close\r\n\r\n`;
  const framed = (body: string) => [
    `Content-Length: ${body.length}\r\n\r\n${body}`,
    `Transfer-Encoding: chunked\r\n\r\n${chunked(body)}`,
  ];
  const bodies = [
    'GET /admin HTTP/1.1\r\nHost: x\r\n\r\n',
    'x=1&y=GET /admin HTTP/1.0\r\n\r\n',
    '\r\n\r\nGET /admin\r\n\r\n',
    'get\t/admin\n',
    'DELETE http://web/admin\r\n\r\n',
    'x admin HTTP/9',
    'GET\x1c/admin\r\n',
    'GET\x1f/admin\r\n',
    'GET\x85/admin\r\n',
    'GET admin\r\n',
    'GET\x1d?admin\n',
    `${'x'.repeat(9_000)}\r\nGET /admin HTTP/1.1\r\n\r\n`,
  ];
  for (const method of methods)
    for (const body of bodies)
      for (const framing of framed(body)) {
        asked.length = 0;
        const bytes = Buffer.from(`${method} /x HTTP/1.1\r\n${ours}${framing}${last}`, 'latin1');
        const client = raw(t, gateway.port, bytes);
        const answers = (await client.ended).match(/HTTP\/1\.1 200/g)?.length;
        t.same([answers, ...asked], [2, `${method} /x`, 'GET /x'], `${method} ${JSON.stringify(body.slice(0, 20))}`);
      }
  const connections = sockets.length;
  const harmless = framed('{"url":"/x","n":1}')
    .map((framing) => `POST /x HTTP/1.1\r\n${ours}${framing}`)
    .join('');
  await raw(t, gateway.port, harmless + last).ended;
  t.equal(sockets.length, connections, 'one that holds nothing of the kind is worth no connection of its own');
});

t.test('A6: a body that its service leaves unread is no part of the next request’s method', async (t) => {
  const { url, sockets } = await carelessService(t);
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['POST /x', 'PATCH /x'] } } });
  const { handle } = gateway.issue('web');
  const ours = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
  const connectionsFor = async (body: string) => {
    const before = sockets.length;
    const post = `POST /x HTTP/1.1\r\n${ours}Content-Length: ${body.length}\r\n\r\n${body}`;
    await raw(t, gateway.port, `${post}PATCH /x HTTP/1.1\r\n${ours}Content-Length: 0\r\nConnection: close\r\n\r\n`)
      .ended;
    return sockets.length - before;
  };
  await connectionsFor('{}');
  for (const body of ['PROP', ' PROP', '{}\r\nPROP', 'x\n\x1cPROP'])
    t.equal(await connectionsFor(body), 1, `PROPPATCH of ${JSON.stringify(body)} and PATCH`);
  for (const body of ['{"a":1}', 'a=1', 'a b', 'PROP\n']) t.equal(await connectionsFor(body), 0, JSON.stringify(body));
});

t.test('A6: a body that comes behind its head, or in pieces, may still hold a request', async (t) => {
  const { asked, url } = await carelessService(t);
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['POST /x', 'GET /x'] } } });
  const { handle } = gateway.issue('web');
  const ours = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
  const client = raw(t, gateway.port, `POST /x HTTP/1.1\r\n${ours}Content-Length: 30\r\n\r\n${'x'.repeat(10)}`);
  await client.sees(/HTTP\/1\.1 200/);
  client.socket.end(`GET /admin HTTP/1.1\r\nGET /x HTTP/1.1\r\n${ours}Connection: close\r\n\r\n`);
  await client.ended;
  t.notMatch(asked, /admin/);
});

t.test('A8: more headers, or larger ones, than the limit are 431 and never silently fewer', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const ask = (lines: string) =>
    raw(
      t,
      gateway.port,
      `GET / HTTP/1.1\r\nHost: web.localhost\r\n${lines}Daypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`,
    ).ended;
  t.match(await ask('a:b\r\n'.repeat(2_100)), /^HTTP\/1\.1 431 [\s\S]*problem\+json[\s\S]*too_large/);
  t.match(await ask(`x: ${'y'.repeat(20_000)}\r\n`), /^HTTP\/1\.1 431 [\s\S]*problem\+json[\s\S]*too_large/);
  t.equal(echo.requests.length, 0);
  t.match(await ask('a:b\r\n'.repeat(190)), /^HTTP\/1\.1 200 /);
  t.equal(echo.requests[0]?.headers.filter(([name]) => name === 'a').length, 190);
});

t.test('a head that does not come is 408, also when it trickles', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(
    t,
    { web: { url: echo.url, roles: { viewer: ['GET /**'] } } },
    { headTimeout: 400 },
  );
  const client = raw(t, gateway.port, 'GET / HTTP/1.1\r\n');
  const trickle = setInterval(() => client.socket.write('a: b\r\n'), 50);
  t.teardown(() => clearInterval(trickle));
  t.match(await client.ended, /^HTTP\/1\.1 408 /);
});

t.test('A5: two grants never share an upstream socket, and none is used again after a break', async (t) => {
  const echo = await startEcho(t, (req, res) => {
    if (req.url === '/slow') res.write('x');
    else res.end('ok');
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const [one, two] = [gateway.issue('web'), gateway.issue('web')];
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  const get = (path: string, handle: string, breakOff = false) =>
    new Promise<void>((resolve, reject) => {
      const req = request({
        port: gateway.port,
        path,
        agent,
        headers: { host: 'web.localhost', 'daypass-handle': handle },
      });
      req.on('response', (res) => {
        if (breakOff) {
          res.destroy();
          resolve();
        } else res.resume().once('end', resolve);
      });
      req.once('error', reject);
      req.end();
    });
  await get('/a', one.handle);
  await get('/b', two.handle);
  await get('/c', one.handle);
  const paths = () => echo.connections.map(({ bytes }) => [...bytes.matchAll(/^GET (\S+)/gm)].map(([, path]) => path));
  t.same(paths(), [['/a', '/c'], ['/b']], 'one client socket, two grants, two upstream sockets');
  await get('/slow', one.handle, true);
  await get('/d', one.handle);
  t.same(paths(), [['/a', '/c', '/slow'], ['/b'], ['/d']], 'the broken socket is not used again');
});
