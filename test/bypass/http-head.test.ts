import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { waitUntil } from '../support/wait.js';

const ROLES = { viewer: ['GET /**'] };
const ask = (host: string, handle: string, extra = '') =>
  `GET / HTTP/1.1\r\nHost: ${host}.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}\r\n`;

t.test(
  'who was let in on a connection lets nobody else in on it: not to another service, not by another handle',
  async (t) => {
    const echo = await startEcho(t);
    const service = { url: echo.url, roles: ROLES };
    const gateway = await startGateway(t, { web: service, other: service });
    const { handle } = gateway.issue('web');
    const client = raw(t, gateway.port, ask('web', handle));
    await client.sees(/HTTP\/1\.1 200/);
    client.socket.write(ask('web', handle));
    await client.sees(/HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 200/);
    client.socket.write(ask('other', handle));
    await client.sees(/HTTP\/1\.1 40[13]/);
    client.socket.write(ask('web', `${handle.slice(0, -1)}${handle.endsWith('a') ? 'b' : 'a'}`));
    await client.sees(/HTTP\/1\.1 40[13][\s\S]*HTTP\/1\.1 401/);
    client.socket.write(ask('web', handle, 'Connection: close\r\n'));
    t.match(await client.ended, /200[\s\S]*200[\s\S]*40[13][\s\S]*401[\s\S]*HTTP\/1\.1 200/);
    t.equal(echo.requests.length, 3);
  },
);

t.test('the very head that was let in is refused once its grant is revoked', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { id, handle } = gateway.issue('web');
  const client = raw(t, gateway.port, ask('web', handle));
  await client.sees(/HTTP\/1\.1 200/);
  gateway.revoke(id);
  await waitUntil('the session is cut', () => gateway.gate.live.registry.all().length === 0);
  client.socket.write(ask('web', handle));
  await client.sees(/HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 401/);
  t.equal(echo.requests.length, 1);
});
