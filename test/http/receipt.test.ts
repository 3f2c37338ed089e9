import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import type { Clock } from '../../src/clock.js';
import { systemClock } from '../../src/clock.js';
import { portOf } from '../support/ports.js';
import { startEcho } from './echo.js';
import { raw, startGateway, type TestGateway } from './gateway.js';

const HOUR = 3_600_000;

/**
 * A clock that is past the end of every grant from the very write on that gives the client its first byte: as if the end had
 * come between the look at the clock and the return of the write.
 */
function untilWritten(t: Test, portOf: () => number): Clock {
  const sockets: Socket[] = [];
  const accepted = (message: unknown) => {
    if (typeof message === 'object' && message !== null && 'socket' in message) sockets.push(message.socket as Socket);
  };
  subscribe('net.server.socket', accepted);
  t.teardown(() => unsubscribe('net.server.socket', accepted));
  const written = () => sockets.some(({ localPort, bytesWritten }) => localPort === portOf() && bytesWritten > 0);
  const shift = () => (written() ? HOUR : 0);
  return { wall: () => systemClock.wall() + shift(), monotonic: () => systemClock.monotonic() + shift() };
}

async function gatewayTo(t: Test, url: string): Promise<TestGateway> {
  let port = 0;
  const clock = untilWritten(t, () => port);
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /**', 'WS /live'] } } }, { clock });
  port = gateway.port;
  return gateway;
}

async function bytesAfterDue(gateway: TestGateway): Promise<number> {
  const events = await gateway.events();
  return Number(events.find(({ kind }) => kind === 'close')?.facts.bytesAfterDue);
}

t.test('the head of a response that is given as the end comes is in the receipt', async (t) => {
  const echo = await startEcho(t, (_req, res) => {
    res.writeHead(200, { 'x-of-the-service': 'a value' });
    res.flushHeaders();
  });
  const gateway = await gatewayTo(t, echo.url);
  const { handle } = gateway.issue('web');
  const client = raw(t, gateway.port, `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n\r\n`);
  await client.sees(/\r\n\r\n/);
  gateway.gate.live.tick();
  const counted = await bytesAfterDue(gateway);
  t.ok(counted >= 'x-of-the-service: a value\r\n'.length, `${counted} bytes`);
});

t.test('the 101 of a WebSocket that is given as the end comes is in the receipt', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  const port = portOf(server.address());
  const gateway = await gatewayTo(t, `http://127.0.0.1:${port}`);
  const { handle } = gateway.issue('web');
  const asked = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
  const lines = ['GET /live HTTP/1.1', 'Host: web.localhost', `Daypass-Handle: ${handle}`, ...asked, key];
  const client = raw(t, gateway.port, `${lines.join('\r\n')}\r\n\r\n`);
  const head = /^HTTP\/1\.1 101 [\s\S]*?\r\n\r\n/.exec(await client.sees(/\r\n\r\n/))?.[0] ?? '';
  gateway.gate.live.tick();
  t.equal(await bytesAfterDue(gateway), head.length);
});
