import t from 'tap';
import { acceptFor } from '../../src/http/websocket/handshake.js';
import { startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';
import { bareService } from './raw-service.js';

const ROLES = { viewer: ['GET /**', 'WS /live'] };
const asked = (handle: string, path: string, host: string) =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`;

t.test('a service is sent its own host, or where it asks for that the host of the client', async (t) => {
  const echo = await startEcho(t, (req, res) => {
    res.writeHead(302, { location: `http://${req.headers.host}/base/next?a=1` });
    res.end();
  });
  const url = `${echo.url}/base`;
  const gateway = await startGateway(t, {
    own: { url, roles: ROLES },
    web: { url, roles: ROLES, preserveHost: true },
  });
  const [own, web] = [gateway.issue('own'), gateway.issue('web')];
  const hosts = async (handle: string, host: string) => {
    const answer = await raw(t, gateway.port, asked(handle, '/x', host)).ended;
    t.match(answer, /\r\nlocation: \/next\?a=1\r\n/i, 'a redirect to either leads to where the client is');
    const { headers } = echo.requests.at(-1)!;
    return headers.filter(([name]) => /host/i.test(name)).map(([name, value]) => `${name}: ${value}`);
  };
  t.same(await hosts(own.handle, 'own.localhost:8080'), [
    `host: 127.0.0.1:${echo.port}`,
    'x-forwarded-host: own.localhost:8080',
  ]);
  // In turns, since what is known of the last request is taken for the next.
  for (const host of ['web.localhost:8080', 'web.localhost', 'web.localhost:8080', 'WEB.localhost'])
    t.same(await hosts(web.handle, host), [`host: ${host.toLowerCase()}`, `x-forwarded-host: ${host}`]);
  for (const host of [
    'evil.test',
    'own.localhost',
    'localhost',
    'web.localhost@evil.test',
    'web.localhost.',
    'a.web.localhost',
    'web.localhost:99999',
  ])
    t.match(await raw(t, gateway.port, asked(web.handle, '/x', host)).ended, /^HTTP\/1\.1 (?:4\d\d|30\d) /, host);
  t.equal(echo.requests.length, 5, 'no other host reaches it');
});

t.test('a page may open a WebSocket where the service holds Origin against Host', async (t) => {
  const { url } = await bareService(t, (received, socket) => {
    const said = (name: string) => new RegExp(`^${name}: (\\S+)`, 'im').exec(received.toString('latin1'))?.[1] ?? '';
    if (new URL(said('origin')).host !== said('host')) socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
    else
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(said('sec-websocket-key'))}\r\n\r\n`,
      );
  });
  const gateway = await startGateway(t, {
    own: { url, roles: ROLES },
    web: { url, roles: ROLES, preserveHost: true },
  });
  const opened = async (service: string) => {
    const host = `${service}.localhost:${gateway.port}`;
    const { handle } = gateway.issue(service);
    const client = raw(
      t,
      gateway.port,
      `GET /live HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://${host}\r\nDaypass-Handle: ${handle}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await client.sees(/\r\n\r\n/);
    return client.text().slice(0, 12);
  };
  t.equal(await opened('own'), 'HTTP/1.1 401', "the service's own answer");
  t.equal(await opened('web'), 'HTTP/1.1 101');
});

t.test('a Host of which no address can be made ends nothing but its own request', async (t) => {
  const { url } = await bareService(t, (_received, socket) => {
    socket.end('HTTP/1.1 302 Found\r\nLocation: http://other.test/x\r\nContent-Length: 0\r\n\r\n');
  });
  const gateway = await startGateway(t, { web: { url, roles: ROLES, preserveHost: true } });
  const { handle } = gateway.issue('web');
  const upgrade =
    'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\n';
  const answered = async (host: string, path: string, more = 'Connection: close\r\n') => {
    const head = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nDaypass-Handle: ${handle}\r\n${more}\r\n`;
    return (await raw(t, gateway.port, head).ended).slice(0, 12);
  };
  t.equal(await answered('web.localhost:65536', '/x'), 'HTTP/1.1 400');
  t.equal(await answered('web.localhost:65536', '/live', upgrade), 'HTTP/1.1 400');
  t.equal(await answered('web.localhost:65535', '/x'), 'HTTP/1.1 302');
  t.equal(await answered('web.localhost:65535', '/live', upgrade), 'HTTP/1.1 302');
});
