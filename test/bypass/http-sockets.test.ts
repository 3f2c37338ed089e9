import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { acceptFor } from '../../src/http/handshake.js';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const UPGRADE = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`;
const CLOSE = 'Connection: close\r\n';
const ask = (line: string, handle: string, extra: string) =>
  `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}\r\n`;

/** A service that answers every head at once, whatever body follows, and would keep every connection alive. */
async function eager(t: Test) {
  const connections: { socket: Socket; paths: string[] }[] = [];
  const server = createServer((socket) => {
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
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}`, paths: () => connections.map(({ paths }) => paths), connections };
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
