import { createHash } from 'node:crypto';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { acceptFor } from '../../src/http/websocket/handshake.js';
import { portOf } from '../support/ports.js';
import { starvation } from '../support/starvation.js';
import {
  HastyClock,
  LATEST,
  lateness,
  lockLedger,
  raw,
  startGateway,
  type TestGateway,
  untilWaiting,
} from './gateway.js';
import { dialWebSocket } from './over-tls.js';
import { bareService, rawService } from './raw-service.js';
import { unmasked } from './ws-frames.js';

const ROLES = { viewer: ['WS /live', 'GET /live'] };
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

async function service(t: Test, connected: (socket: WebSocket) => void) {
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  server.on('connection', (socket, req) => {
    socket.on('error', () => {});
    headers.push(req.headers);
    connected(socket);
  });
  const headers: NodeJS.Dict<string | string[]>[] = [];
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const port = portOf(server.address());
  return { url: `http://127.0.0.1:${port}`, headers };
}

function dial(t: Test, gateway: TestGateway, handle: string, protocols: string[] = []): WebSocket {
  const headers = { 'daypass-handle': handle, host: 'web.localhost' };
  const socket = dialWebSocket(gateway.port, '/live?x=1', { headers }, protocols);
  socket.on('error', () => {});
  t.teardown(() => socket.terminate());
  return socket;
}

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');

const textOf = async (socket: WebSocket) => String((await once(socket, 'message'))[0]);

t.test('messages pass both ways, each of the client recorded whole before it is forwarded', async (t) => {
  const { url, headers } = await service(t, (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('ping', () => {});
  });
  const gateway = await startGateway(t, { web: { url, headers: { authorization: 'Bearer injected' }, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const socket = dial(t, gateway, handle, ['v2', 'v1']);
  await once(socket, 'open');
  t.equal(socket.protocol, 'v2');
  t.equal(socket.extensions, '', 'nothing is compressed');
  socket.send('hello');
  t.equal(await textOf(socket), 'hello');
  socket.send(Buffer.from([0, 255, 1]));
  t.same((await once(socket, 'message'))[0], Buffer.from([0, 255, 1]));
  const big = 'x'.repeat(300_000);
  socket.send(big);
  t.equal(await textOf(socket), big);
  const echoed: string[] = [];
  const all = new Promise<void>((resolve) => {
    socket.on('message', (data) => echoed.push(String(data)) === 50 && resolve());
  });
  for (let number = 0; number < 50; number += 1) socket.send(String(number));
  await all;
  t.same(
    echoed,
    Array.from({ length: 50 }, (_, number) => String(number)),
    'in order',
  );
  socket.ping('are you there');
  await once(socket, 'pong');
  socket.close(4321, 'bye');
  t.same((await once(socket, 'close'))[0], 4321);
  t.match(headers[0], { authorization: 'Bearer injected' });
  t.notMatch(JSON.stringify(headers), handle.slice(0, 26), 'nothing of the handle');
  t.notMatch(JSON.stringify(headers), handle.slice(-20));
  const events = await gateway.events();
  const messages = events.filter(({ kind, facts }) => kind === 'action' && facts.verb === 'message');
  t.match(
    events.find(({ kind }) => kind === 'action'),
    { facts: { verb: 'WS', on: ['/live'], rule: 'WS /live' } },
  );
  t.same(
    messages.slice(0, 2).map(({ facts, payload }) => [facts.frame, facts.bytes, facts.sha256, payload]),
    [
      ['text', 5, undefined, { text: 'hello' }],
      ['binary', 3, sha256(Buffer.from([0, 255, 1])), null],
    ],
    'text can be read, what is none has its size and digest',
  );
  t.same(
    messages.slice(-2).map(({ facts, payload }) => [facts.frame, payload?.text]),
    [
      ['ping', 'are you there'],
      ['close', 'bye'],
    ],
  );
  t.match(
    events.find(({ kind, facts }) => kind === 'result' && facts.verb === undefined),
    { facts: { status: '4321', messages: 54, queueMs: Number, firstByteMs: Number, ms: Number } },
  );
});

t.test('an idle socket is closed with 4001 and the reason when its grant ends or is revoked', async (t) => {
  const left: Promise<unknown>[] = [];
  const { url } = await service(t, (socket) => void left.push(once(socket, 'close')));
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const [first, second] = [gateway.issue('web'), gateway.issue('web')];
  const [one, two] = [dial(t, gateway, first.handle), dial(t, gateway, second.handle)];
  await Promise.all([once(one, 'open'), once(two, 'open')]);
  const starved = starvation();
  // Only now: on a busy machine opening them may take longer than that.
  const endsAt = Date.now() + 700;
  gateway.renew(first.id, 700);
  const [code, reason] = await once(one, 'close');
  t.ok(Date.now() >= endsAt - 10 && Date.now() <= endsAt + 1_000 + starved(), 'not early, not late');
  t.same([code, /the grant has expired/.test(String(reason))], [4001, true]);
  t.equal(two.readyState, WebSocket.OPEN, 'the other goes on');
  gateway.revoke(second.id);
  const [revokedCode, revokedReason] = await once(two, 'close');
  t.same([revokedCode, /revoked/.test(String(revokedReason))], [4001, true]);
  await Promise.all(left);
  const events = await gateway.events();
  const late = lateness(events.find(({ kind, facts }) => kind === 'close' && facts.reason === 'expired'));
  t.ok(late >= 0 && late <= LATEST + starved(), `the receipt says ${late} ms late`);
  const results = events.filter(({ kind }) => kind === 'result').map(({ facts }) => facts.reason);
  t.same(results.sort(), ['expired', 'revoked']);
});

t.test('a renewal moves the end of an idle socket, and takes nothing from it', async (t) => {
  const { url } = await service(t, () => {});
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle, id } = gateway.issue('web', { forMs: 2_000 });
  const firstEnd = Date.now() + 2_000;
  const socket = dial(t, gateway, handle);
  await once(socket, 'open');
  const starved = starvation();
  const secondEnd = Date.now() + 4_000;
  gateway.renew(id, 4_000);
  const [code, reason] = await once(socket, 'close');
  t.ok(secondEnd > firstEnd && Date.now() >= secondEnd - 10, 'not at the first end');
  t.ok(Date.now() <= secondEnd + 2_000 + starved(), 'but at the second');
  t.same([code, /the grant has expired/.test(String(reason))], [4001, true]);
  const events = await gateway.events();
  t.match(
    events.find(({ kind }) => kind === 'renewed'),
    { facts: { renewals: 1 } },
  );
  t.match(events.at(-1), { kind: 'close', facts: { reason: 'expired', bytesAfterDue: 0 } });
});

t.test('a subprotocol that carries a credential goes no further than the gateway', async (t) => {
  const { url, headers } = await service(t, () => {});
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const bearer = `base64url.bearer.authorization.k8s.io.${Buffer.from('canary-token').toString('base64url')}`;
  const socket = dial(t, gateway, gateway.issue('web').handle, [bearer, 'v4']);
  await once(socket, 'open');
  t.equal(socket.protocol, 'v4');
  t.equal(headers[0]?.['sec-websocket-protocol'], 'v4');
  t.notMatch(JSON.stringify(await gateway.events()), bearer.slice(-12));
});

t.test('a narrowed policy closes the socket with 1008', async (t) => {
  const { url } = await service(t, () => {});
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const socket = dial(t, gateway, gateway.issue('web').handle);
  await once(socket, 'open');
  gateway.reload('web', { url, roles: { viewer: ['GET /live'] } });
  const [code, reason] = await once(socket, 'close');
  t.same([code, String(reason)], [1008, 'The role viewer does not allow WS /live.']);
});

t.test('a message above the limit is 1009, a broken frame 1002, and neither reaches the service', async (t) => {
  const got: string[] = [];
  const { url } = await service(t, (socket) => socket.on('message', (data) => got.push(String(data))));
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const large = dial(t, gateway, handle);
  await once(large, 'open');
  large.send('x'.repeat(16 * 1024 * 1024 + 1));
  t.equal((await once(large, 'close'))[0], 1009);
  const upgrade = `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;
  const broken = raw(t, gateway.port, upgrade);
  t.match(
    await broken.sees(/\r\n\r\n/),
    new RegExp(`Sec-WebSocket-Accept: ${acceptFor(KEY).replace(/[+/]/g, '\\$&')}`),
  );
  broken.socket.write(unmasked(0x81, 'a'));
  t.match(await broken.ended, /\x88.\x03\xea/s);
  t.same(got, []);
});

t.test('a service that goes away is told with 1014, and its own close code passes', async (t) => {
  const sockets: WebSocket[] = [];
  const { url } = await service(t, (socket) => void sockets.push(socket));
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const one = dial(t, gateway, handle);
  await once(one, 'open');
  sockets[0]?.terminate();
  t.equal((await once(one, 'close'))[0], 1014);
  const two = dial(t, gateway, handle);
  await once(two, 'open');
  sockets[1]?.close(1012, 'restart');
  const [code, reason] = await once(two, 'close');
  t.same([code, String(reason)], [1012, 'restart']);
});

t.test('what is no WebSocket in scope is refused before anything is dialled', async (t) => {
  let dialled = 0;
  const { url } = await service(t, () => (dialled += 1));
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /live'], watcher: ['WS /live'] } } });
  const { handle } = gateway.issue('web');
  const ask = (lines: string, path = '/live', key = handle) =>
    raw(
      t,
      gateway.port,
      `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${key}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}\r\n`,
    ).ended;
  const good = `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`;
  t.match(await ask(good), /^HTTP\/1\.1 403 [\s\S]*role watcher/, 'GET does not imply WS');
  t.match(await ask(good, '//live'), /^HTTP\/1\.1 400 [\s\S]*ambiguous_target/);
  t.match(await ask(good, '/live', 'dp_x'), /^HTTP\/1\.1 401 /);
  const watcher = gateway.issue('web', { role: 'watcher' }).handle;
  t.match(await ask(`Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: ${KEY}\r\n`, '/live', watcher), /^HTTP\/1\.1 426 /);
  t.match(await ask('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n', '/live', watcher), /^HTTP\/1\.1 400 /);
  t.match(await ask(`${good}Upgrade: h2c\r\n`, '/live', watcher), /^HTTP\/1\.1 400 /);
  t.match(await ask(`${good}Content-Length: 3\r\n`, '/live', watcher), /^HTTP\/1\.1 400 /);
  t.equal(dialled, 0);
});

t.test('the cut does not break a half-sent frame with a close frame of its own', async (t) => {
  const { url, sockets } = await rawService(t);
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle, id } = gateway.issue('web');
  const upgrade = `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;
  const client = raw(t, gateway.port, upgrade);
  await client.sees(/\r\n\r\n/);
  sockets[0]?.write(Buffer.concat([Buffer.from([0x81, 10]), Buffer.from('half')]));
  await client.sees(/half$/);
  gateway.revoke(id);
  t.match(await client.ended, /half$/, 'nothing follows the half frame');
});

t.test('record before forwarding: a message waits for its commit, and goes nowhere without it', async (t) => {
  const got: string[] = [];
  const { url } = await service(t, (socket) => socket.on('message', (data) => got.push(String(data))));
  const clock = new HastyClock();
  const gateway = await startGateway(t, { web: { url, roles: ROLES } }, { clock });
  const { handle } = gateway.issue('web');
  const socket = dial(t, gateway, handle);
  await once(socket, 'open');
  await gateway.events();
  const unlock = await lockLedger(gateway);
  socket.send('unrecorded');
  const closed = once(socket, 'close');
  await untilWaiting(gateway);
  clock.ahead += 5_000;
  const [code, reason] = await closed;
  t.same([code, /could not be recorded/.test(String(reason))], [4001, true]);
  await unlock();
  t.same(got, []);
});

t.test('a service that is down is 502 for a WebSocket too', async (t) => {
  const gateway = await startGateway(t, { web: { url: 'http://127.0.0.1:1', roles: ROLES } });
  const socket = dial(t, gateway, gateway.issue('web').handle);
  const [, response] = await once(socket, 'unexpected-response');
  t.equal(response.statusCode, 502);
  t.match((await gateway.events()).at(-1), {
    kind: 'result',
    facts: { reason: 'upstream_unavailable', queueMs: Number, ms: Number, firstByteMs: undefined },
  });
});

t.test('a service says no in its own words, and of an answer without a body no length is told', async (t) => {
  const said = ['200 OK\r\nContent-Length: 4\r\n\r\nbody', '204 No Content\r\n\r\n', '304 Not Modified\r\n\r\n'];
  const { url } = await bareService(t, (_, socket) => socket.write(`HTTP/1.1 ${said.shift()}`));
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  for (const [status, length] of [
    [200, '4'],
    [204, undefined],
    [304, undefined],
  ] as const) {
    const [, response] = await once(dial(t, gateway, handle), 'unexpected-response');
    t.equal(response.statusCode, status);
    t.equal(response.headers['content-length'], length);
  }
});

t.test('a message in 65,536 fragments passes as one, and one of endless empty fragments is 1008', async (t) => {
  const got: Buffer[] = [];
  const { url } = await service(t, (socket) => socket.on('message', (data: Buffer) => got.push(data)));
  const viewer = { allow: ['WS /live'], websocket: { max_message: '4MiB' } };
  const gateway = await startGateway(t, { web: { url, roles: { viewer } } });
  const { handle } = gateway.issue('web');
  const socket = dial(t, gateway, handle);
  await once(socket, 'open');
  const fragment = Buffer.alloc(64, 'f');
  for (let left = 65_536; left > 0; left -= 1) socket.send(fragment, { fin: left === 1 });
  socket.close(1000);
  await once(socket, 'close');
  t.same(
    got.map(({ length }) => length),
    [4 * 1024 * 1024],
  );
  const flood = dial(t, gateway, handle);
  await once(flood, 'open');
  for (let left = 5_000; left > 0; left -= 1) flood.send('', { fin: false });
  t.equal((await once(flood, 'close'))[0], 1008);
});
