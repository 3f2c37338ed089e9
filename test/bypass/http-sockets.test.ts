import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { acceptFor } from '../../src/http/websocket/handshake.js';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { dial, serviceServer } from '../http/over-tls.js';
import { portOf } from '../support/ports.js';
import { waitUntil } from '../support/wait.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const UPGRADE = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`;
const CLOSE = 'Connection: close\r\n';
const ask = (line: string, handle: string, extra: string) =>
  `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}\r\n`;

/** A service that answers every head at once, whatever body follows, and would keep every connection alive. */
async function eager(t: Test) {
  const connections: { socket: Socket; paths: string[] }[] = [];
  const { server, scheme } = await serviceServer((socket) => {
    const paths: string[] = [];
    connections.push({ socket, paths });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      const head = chunk.toString('latin1');
      const path = /^(?:GET|POST) (\S+) HTTP/.exec(head)?.[1];
      if (path === undefined) return;
      paths.push(path);
      const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1];
      const accept = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key ?? '')}`;
      if (path === '/live') socket.write(`HTTP/1.1 101 Switching Protocols\r\n${accept}\r\n\r\n`);
      else socket.write('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const { socket } of connections) socket.destroy();
    server.close();
  });
  const port = portOf(server.address());
  return { url: `${scheme}://127.0.0.1:${port}`, paths: () => connections.map(({ paths }) => paths), connections };
}

const ROLES = { viewer: ['GET /**', 'POST /**', 'WS /**'] };

t.test('A5: an upstream socket is not used again after an upgrade, nor after one that was declined', async (t) => {
  const service = await eager(t);
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const live = raw(t, gateway.port, ask('GET /live', handle, UPGRADE));
  await live.sees(/101 [\s\S]*\r\n\r\n/);
  t.match(await raw(t, gateway.port, ask('GET /declined', handle, UPGRADE)).ended, /200 OK/);
  t.match(await raw(t, gateway.port, ask('GET /one', handle, CLOSE)).ended, /ok$/);
  live.socket.destroy();
  await once(service.connections[0]?.socket ?? live.socket, 'close');
  t.match(await raw(t, gateway.port, ask('GET /two', handle, CLOSE)).ended, /ok$/);
  t.same(service.paths(), [['/live'], ['/declined'], ['/one', '/two']]);
});

t.test('a client whose WebSocket was declined cannot keep its connection', async (t) => {
  const atGateway: Socket[] = [];
  const accepted = (message: unknown) => void atGateway.push((message as { readonly socket: Socket }).socket);
  const service = await eager(t);
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const { handle, id } = gateway.issue('web');
  subscribe('net.server.socket', accepted);
  t.teardown(() => unsubscribe('net.server.socket', accepted));
  const client = dial(gateway.port, { allowHalfOpen: true }).resume();
  t.teardown(() => client.destroy());
  client.on('error', () => {});
  client.write(ask('GET /declined', handle, UPGRADE));
  await once(client, 'end');
  const socket = atGateway.find(({ remotePort }) => remotePort === client.localPort);
  await waitUntil('the gateway lets go of it', () => socket?.destroyed === true);
  await waitUntil('its session has nothing under way', () =>
    [...gateway.gate.live.registry.ofGrant(id)].every(({ connections }) => connections === 0),
  );
  t.pass('nothing is left of it');
});

t.test('A5: an upstream socket is not used again when a body was not taken whole', async (t) => {
  const service = await eager(t);
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const post = `${ask('POST /body', handle, 'Content-Length: 1000\r\n')}abc`;
  await raw(t, gateway.port, post).sees(/200 OK/);
  t.match(await raw(t, gateway.port, ask('GET /next', handle, CLOSE)).ended, /ok$/);
  t.same(service.paths(), [['/body'], ['/next']], 'the next request is not the rest of the body');
});

t.test('A5: two grants never share an upstream connection, however many requests they have under way', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const grants = { a: gateway.issue('web'), b: gateway.issue('web'), c: gateway.issue('web', { principal: 'bob' }) };
  for (let round = 0; round < 3; round += 1) {
    const asked = Object.entries(grants).flatMap(([name, { handle }]) =>
      Array.from(
        { length: 8 },
        (_, number) => raw(t, gateway.port, ask(`GET /${name}/${number}`, handle, CLOSE)).ended,
      ),
    );
    for (const answer of await Promise.all(asked)) t.match(answer, /^HTTP\/1\.1 200 /);
  }
  t.equal(echo.requests.length, 72);
  for (const { bytes } of echo.connections) {
    const names = new Set([...bytes.matchAll(/^GET \/(\w)\//gm)].map(([, name]) => name));
    t.equal(names.size, 1, [...names].join());
  }
});

/** A service that does with each request of each connection what `answer` says; `number` counts them on their connection. */
async function scripted(t: Test, answer: (path: string, number: number, socket: Socket) => void) {
  const connections: string[][] = [];
  const { server, scheme } = await serviceServer((socket) => {
    const paths: string[] = [];
    connections.push(paths);
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      const [, path] = /^(?:GET|POST) (\S+) HTTP/.exec(chunk.toString('latin1')) ?? [];
      if (path === undefined) return;
      paths.push(path);
      answer(path, paths.length, socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const port = portOf(server.address());
  return { url: `${scheme}://127.0.0.1:${port}`, connections };
}

const KEPT = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

t.test(
  'a connection that ends as it is used again: asked anew where that is safe, and never twice where not',
  async (t) => {
    const service = await scripted(t, (path, number, socket) => {
      if (number > 1 || path === '/always') socket.destroy();
      else socket.write(KEPT);
    });
    const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
    const { handle } = gateway.issue('web');
    const get = (line: string) => raw(t, gateway.port, ask(line, handle, CLOSE)).ended;
    t.match(await get('GET /first'), /ok$/);
    t.match(await get('GET /again'), /ok$/, 'the second connection answered');
    t.same(service.connections, [['/first', '/again'], ['/again']]);
    t.match(await get('POST /once'), /^HTTP\/1\.1 502 /);
    t.same(
      service.connections,
      [
        ['/first', '/again'],
        ['/again', '/once'],
      ],
      'what may change something is asked once',
    );
    t.match(await get('GET /always'), /^HTTP\/1\.1 502 /, 'a new connection that ends is no reason to ask again');
    t.equal(service.connections.flat().filter((path) => path === '/always').length, 1);
  },
);

t.test('A5: a connection that says something unasked, or is kept for no time, is not used again', async (t) => {
  const spoken: Promise<unknown>[] = [];
  const service = await scripted(t, (path, _number, socket) => {
    if (path === '/brief') socket.write(KEPT.replace('\r\n\r\n', '\r\nKeep-Alive: timeout=2\r\n\r\n'));
    else socket.write(KEPT);
    if (path === '/talks') spoken.push(once(socket, 'close'));
    if (path === '/talks') setTimeout(() => socket.write(KEPT.replace('ok', 'no')), 20);
  });
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const get = (line: string) => raw(t, gateway.port, ask(line, handle, CLOSE)).ended;
  t.match(await get('GET /talks'), /ok$/);
  await Promise.all(spoken);
  t.match(await get('GET /brief'), /ok$/);
  t.match(await get('GET /last'), /ok$/);
  t.same(service.connections, [['/talks'], ['/brief'], ['/last']]);
});

t.test('A5: a connection is not used again whose answer told of a body that it cannot have', async (t) => {
  const smuggled = KEPT.replace('ok', 'no');
  const bodies: Readonly<Record<string, string>> = {
    '/304': `304 Not Modified\r\nContent-Length: ${smuggled.length}`,
    '/204': `204 No Content\r\nContent-Length: ${smuggled.length}`,
    '/chunked': '204 No Content\r\nTransfer-Encoding: chunked',
  };
  const service = await scripted(t, (path, number, socket) => {
    const told = bodies[path];
    if (told !== undefined) socket.write(`HTTP/1.1 ${told}\r\n\r\n`);
    else socket.write(number > 1 ? smuggled : KEPT); // the body that was told of, as it comes late
  });
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  for (const path of Object.keys(bodies)) {
    const { handle } = gateway.issue('web');
    const get = (line: string) => raw(t, gateway.port, ask(line, handle, CLOSE)).ended;
    t.match(await get(`GET ${path}`), /^HTTP\/1\.1 [23]04 /);
    t.match(await get('GET /next'), /ok$/, path);
  }
});

t.test('A5: what is read for one session reaches no other, at whatever pace their clients read', async (t) => {
  const size = 1024 * 1024;
  const echo = await startEcho(t, (req, res) => {
    const fill = Buffer.alloc(size, req.url?.charAt(1));
    if (req.url?.endsWith('chunked')) res.write(fill.subarray(0, 5));
    else res.setHeader('content-length', size);
    res.end(req.url?.endsWith('chunked') ? fill.subarray(5) : fill);
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const asked = [...'ghijklmn'].map(async (letter, at) => {
    const { handle } = gateway.issue('web');
    const path = at % 2 === 0 ? letter : `${letter}/chunked`;
    const client = raw(t, gateway.port, ask(`GET /${path}`, handle, CLOSE));
    if (at % 4 > 1) {
      client.socket.pause();
      setTimeout(() => client.socket.resume(), 50 * at);
    }
    const text = await client.ended;
    const body = text.slice(text.indexOf('\r\n\r\n')).replace(/[0-9a-f]*\r\n/g, '');
    return { letter, own: body.split(letter).length - 1, strange: body.replaceAll(letter, '').length };
  });
  for (const { letter, own, strange } of await Promise.all(asked)) {
    t.ok(own > size * 0.99 && own <= size, `${letter}: ${own} of its own`);
    t.equal(strange, 0, letter);
  }
});

t.test('what would be read as another header is not sent, though every part of it may be injected', async (t) => {
  const echo = await startEcho(t);
  const identityHeaders = { subject: 'x-user' };
  const gateway = await startGateway(t, { web: { url: echo.url, identityHeaders, roles: ROLES } });
  // Written as latin1, U+010D and U+010A would be CR and LF.
  const { handle } = gateway.issue('web', { principal: 'a\u010d\u010aX-Evil: 1' });
  for (const more of [CLOSE, UPGRADE])
    t.match(await raw(t, gateway.port, ask('GET /', handle, more)).ended, /^HTTP\/1\.1 502 /);
  t.same(echo.connections, []);
});

t.test('A1: who may open a WebSocket alone is given no page of a service that knows none', async (t) => {
  // As most services it ignores what it does not speak (RFC 9110 section 7.8): what is left is a GET.
  const echo = await startEcho(t, (req, res) => {
    const status = Number(/\d+/.exec(req.url ?? '')?.[0]);
    res.writeHead(status, { 'content-type': 'text/event-stream' }).end(status === 204 ? undefined : 'the page');
  });
  const allow = ['WS /**', 'GET /open/**', 'SSE /events/**'];
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: allow } } });
  const { handle } = gateway.issue('web');
  const open = (path: string) =>
    raw(t, gateway.port, ask(`GET ${path}`, handle, `Accept: text/event-stream\r\n${UPGRADE}`)).ended;
  for (const path of ['/orders/200', '/orders/206', '/events/200']) {
    const answer = await open(path);
    t.match(answer, /^HTTP\/1\.1 502 [\s\S]*upstream_unavailable/, path);
    t.notMatch(answer, /the page/, path);
  }
  t.match(await open('/orders/204'), /^HTTP\/1\.1 204 /, 'that there is nothing is no page');
  t.match(await open('/orders/404'), /^HTTP\/1\.1 404 [\s\S]*the page$/, 'nor is a refusal in its own words');
  t.match(await open('/open/200'), /^HTTP\/1\.1 200 [\s\S]*the page$/, 'and who may ask for the page has it');
  const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
  t.equal(results.filter(({ facts }) => facts.reason === 'upstream_unavailable').length, 3);
});

t.test('A1: nor has anybody more pages by way of it than the rule for them allows', async (t) => {
  const echo = await startEcho(t, (_req, res) => res.end('the page'));
  const allow = ['WS /**', { route: 'GET /**', rate: '2/h' }];
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: allow } } });
  const { handle } = gateway.issue('web');
  const statuses: string[] = [];
  for (let n = 0; n < 3; n += 1)
    statuses.push((await raw(t, gateway.port, ask('GET /', handle, UPGRADE)).ended).slice(9, 12));
  t.same(statuses, ['200', '200', '502']);
});
