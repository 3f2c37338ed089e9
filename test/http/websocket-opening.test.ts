import { once } from 'node:events';
import t from 'tap';
import { raw, startGateway } from './gateway.js';
import { rawService } from './raw-service.js';
import { masked } from './ws-frames.js';

/* The opening of a WebSocket: what a client may ask for, and which answer of a service opens one. */

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ROLES = { viewer: ['WS /live'] };

const opening = (handle: string, extra = '') =>
  `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${extra}\r\n`;

t.test('who asks for a WebSocket and for 100 Continue has both, in this order', async (t) => {
  // RFC 9110 section 7.8: the 100 has to come before the 101. The service is asked for no 100.
  const heads: string[] = [];
  const { url, sockets, server } = await rawService(t);
  server.on('connection', (socket) => socket.once('data', (chunk: Buffer) => heads.push(chunk.toString('latin1'))));
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const client = raw(t, gateway.port, opening(handle, 'Expect: 100-continue\r\n'));
  await client.sees(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 101 [\s\S]*\r\n\r\n$/);
  client.socket.write(masked(0x81, 'hello'));
  const [heard] = await once(sockets.at(-1)!, 'data');
  t.equal(heard.length, 11, 'and it is open');
  t.notMatch(heads.join(''), /expect/i);
  const shut = await startGateway(t, { web: { url: 'http://127.0.0.1:1', roles: ROLES } });
  const refused = raw(t, shut.port, opening(shut.issue('web').handle, 'Expect: 100-continue\r\n'));
  t.match(await refused.ended, /^HTTP\/1\.1 502 /, 'without the 101 there is no 100, either');
});
