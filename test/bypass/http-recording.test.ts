import { once } from 'node:events';
import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { HastyClock, lockLedger, raw, startGateway, untilWaiting } from '../http/gateway.js';
import { dialWebSocket } from '../http/over-tls.js';
import { waitUntil } from '../support/wait.js';

const ROLES = { viewer: ['GET /open', 'GET /slow'] };
const ask = (path: string, handle: string, extra = 'Connection: close\r\n') =>
  `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}\r\n`;
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

async function opened(t: Test, options: Parameters<typeof startGateway>[2] = {}) {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } }, options);
  const { handle, id } = gateway.issue('web');
  await raw(t, gateway.port, ask('/open', handle)).ended;
  await gateway.events();
  return { echo, gateway, handle, id };
}

t.test('D24: a refusal is said only when it is recorded', async (t) => {
  const { gateway, handle } = await opened(t);
  const unlock = await lockLedger(gateway);
  const clients = [raw(t, gateway.port, ask('/closed', handle)), raw(t, gateway.port, ask('/closed', handle, UPGRADE))];
  while (gateway.lines.filter((line) => line.includes('"refused"')).length < 2)
    await new Promise((resolve) => setImmediate(resolve));
  await gateway.database.query('select 1');
  t.same(
    clients.map((client) => client.text()),
    ['', ''],
    'decided, not recorded, not said',
  );
  await unlock();
  for (const client of clients) t.match(await client.ended, /^HTTP\/1\.1 403 /);
});

t.test(
  'D24: once the policy says strict nothing is forwarded before it is safe, by what was live before either',
  async (t) => {
    const { echo, gateway, handle } = await opened(t, { mode: 'buffered' });
    const feed = raw(t, gateway.port, ask('/slow', handle));
    await echo.request(({ url }) => url === '/slow');
    gateway.reload('web', { url: echo.url, roles: ROLES, mode: 'strict' });
    await feed.ended;
    await gateway.events();
    const unlock = await lockLedger(gateway);
    const client = raw(t, gateway.port, ask('/open', handle));
    await untilWaiting(gateway);
    await gateway.database.query('select 1');
    const asked = () => echo.requests.map(({ url }) => url);
    t.same(asked(), ['/open', '/slow'], 'it waits');
    await unlock();
    t.match(await client.ended, /^HTTP\/1\.1 200 /);
    t.same(asked(), ['/open', '/slow', '/open']);
    const modes = await gateway.database.query<{ mode: string }>(
      'select mode from daypass.sessions order by started_at',
    );
    t.same(
      modes.map(({ mode }) => mode),
      ['buffered', 'strict'],
    );
  },
);

t.test('D24: while the ledger is down refusals end the session with an answer, in both modes', async (t) => {
  for (const options of [{ mode: 'strict' }, { mode: 'buffered', bufferBytes: 1 }] as const) {
    const clock = new HastyClock();
    const { gateway, handle } = await opened(t, { ...options, clock });
    const unlock = await lockLedger(gateway);
    const asked = [raw(t, gateway.port, ask('/closed', handle)), raw(t, gateway.port, ask('/closed', handle, UPGRADE))];
    await waitUntil('both are decided', () => gateway.lines.filter((line) => line.includes('"refused"')).length === 2);
    clock.ahead += 5_000;
    const answers = await Promise.all(asked.map(({ ended }) => ended));
    for (const answer of answers) t.match(answer, /^HTTP\/1\.1 503 [\s\S]*"reason":"recorder_stalled"/, options.mode);
    await unlock();
  }
});

t.test('a refusal that waits for its record is answered when the grant is revoked meanwhile', async (t) => {
  const { gateway, handle, id } = await opened(t);
  const unlock = await lockLedger(gateway);
  const client = raw(t, gateway.port, ask('/closed', handle));
  while (!gateway.lines.some((line) => line.includes('"refused"')))
    await new Promise((resolve) => setImmediate(resolve));
  gateway.revoke(id);
  t.match(await client.ended, /^HTTP\/1\.1 401 [\s\S]*"reason":"revoked"/);
  await unlock();
});

t.test('D24: what is too much at once is recorded as refused, never as allowed, and is 429', async (t) => {
  const echo = await startEcho(t, () => {});
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**', 'WS /**'] } } });
  const { handle } = gateway.issue('web');
  for (let number = 0; number < 256; number += 1) raw(t, gateway.port, ask(`/slow/${number}`, handle));
  await echo.request(() => echo.requests.length === 256);
  const answer = await raw(t, gateway.port, ask('/one-more', handle)).ended;
  t.match(answer, /^HTTP\/1\.1 429 [\s\S]*retry-after: 1[\s\S]*"reason":"too_many"/i);
  const socket = dialWebSocket(gateway.port, '/live', {
    headers: { host: 'web.localhost', 'daypass-handle': handle },
  });
  socket.on('error', () => {});
  const [, response] = await once(socket, 'unexpected-response');
  t.equal(response.statusCode, 429);
  const events = await gateway.events();
  const over = events.filter(({ kind, facts }) => kind === 'action' && !facts.on?.[0]?.startsWith('/slow'));
  t.match(over, [
    { facts: { outcome: 'deny', reason: 'too_many', rule: 'at most 256 requests at once' } },
    { facts: { outcome: 'deny', reason: 'too_many' } },
  ]);
  t.equal(echo.requests.length, 256);
});
