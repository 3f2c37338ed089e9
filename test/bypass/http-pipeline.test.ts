import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

const ROLES = { viewer: ['GET /**', 'POST /**', 'WS /**'] };
const ask = (line: string, handle: string, extra = '') =>
  `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}\r\n`;
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

t.test('A7: nothing takes a connection over while an answer on it is pending', async (t) => {
  for (const taking of [
    (handle: string) => ask('GET /live', handle, UPGRADE),
    () => 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
  ]) {
    const echo = await startEcho(t, () => {});
    const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
    const { handle } = gateway.issue('web');
    const client = raw(t, gateway.port, ask('GET /slow', handle));
    await echo.request();
    client.socket.write(taking(handle));
    t.equal(await client.ended, '', 'the connection ends without a byte');
    t.same(
      echo.requests.map(({ url }) => url),
      ['/slow'],
    );
    const told = gateway.lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'refused');
    t.match(told, [{ reason: 'bad_request', rule: 'no upgrade behind a pending answer', client: '127.0.0.1' }]);
    await gateway.stop();
  }
});

t.test('a pipelined request is forwarded only when the one before it is answered', async (t) => {
  let answerFirst = () => {};
  const echo = await startEcho(t, (req, res) => {
    if (req.url === '/first') answerFirst = () => res.end('first');
    else res.end('second');
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const post = ask('POST /first', handle, 'Content-Length: 0\r\n');
  const client = raw(t, gateway.port, post + ask('GET /second', handle, 'Connection: close\r\n'));
  await echo.request();
  // Another connection of the grant gets through meanwhile: the second of the pipeline would have, too.
  await raw(t, gateway.port, ask('GET /other', handle, 'Connection: close\r\n')).ended;
  t.same(
    echo.requests.map(({ url }) => url),
    ['/first', '/other'],
  );
  answerFirst();
  t.match(await client.ended, /first[\s\S]*second/);
  t.same(
    echo.requests.map(({ url }) => url),
    ['/first', '/other', '/second'],
  );
});

t.test('an answer that closes its connection is the last: what was sent behind it is not forwarded', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const refused = `${ask('PUT /last', handle, 'Content-Length: 1\r\n')}x`;
  t.match(await raw(t, gateway.port, refused + ask('GET /behind', handle)).ended, /^HTTP\/1\.1 403 /);
  await raw(t, gateway.port, ask('GET /other', handle, 'Connection: close\r\n')).ended;
  t.same(
    echo.requests.map(({ url }) => url),
    ['/other'],
  );
});

t.test('a pipeline without end is cut off instead of being kept in memory', async (t) => {
  const echo = await startEcho(t, () => {});
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const client = raw(t, gateway.port, ask('GET /slow', handle));
  await echo.request();
  client.socket.write(ask('GET /more', handle).repeat(100));
  t.equal(await client.ended, '');
  t.equal(echo.requests.length, 1);
});
