import { once } from 'node:events';
import t from 'tap';
import { curl, start } from '../support/commands.js';
import { starvation } from '../support/starvation.js';
import { closed, waitUntil } from '../support/wait.js';
import { startEcho } from './echo.js';
import { HastyClock, LATEST, lateness, lockLedger, raw, startGateway, untilWaiting } from './gateway.js';
import { bareService } from './raw-service.js';

const ROLES = { viewer: ['GET /**', 'POST /upload'] };
const get = (path: string, handle: string, extra = '') =>
  `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}\r\n`;

t.test('an event stream is cut when the grant ends: not before, not late, and never with a clean end', async (t) => {
  const echo = await startEcho(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write('data: first\n\n');
    const timer = setInterval(() => res.write('data: tick\n\n'), 20);
    res.once('close', () => clearInterval(timer));
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle, id } = gateway.issue('web');
  const client = start('curl', [
    '-q',
    '-sSN',
    '-H',
    `Daypass-Handle: ${handle}`,
    `http://web.localhost:${gateway.port}/events`,
  ]);
  await client.shows(/data: first/);
  const starved = starvation(process.pid, client.process.pid ?? process.pid);
  // Only now: on a busy machine curl alone may take a second to start.
  const endsAt = Date.now() + 1_000;
  gateway.renew(id, 1_000);
  const upstream = echo.connections[0]?.socket;
  const severed = upstream === undefined ? Promise.resolve() : closed(upstream).then(() => Date.now());
  const { code, stdout } = await client.finished;
  const endedAt = Date.now();
  t.ok(endedAt >= endsAt - 10, `not early: ${endedAt - endsAt} ms`);
  t.ok(endedAt <= endsAt + 1_000 + starved(), `not late: ${endedAt - endsAt} ms`);
  t.ok(Number(await severed) >= endsAt - 10, 'the service was not left early either');
  t.equal(code, 18, 'curl: the transfer broke off');
  t.notMatch(stdout, /problem|Daypass/, 'nothing is put into the middle of a stream');
  const events = await gateway.events();
  t.match(
    events.find(({ kind }) => kind === 'result'),
    { facts: { reason: 'expired', status: '200', bytesOut: Number } },
  );
  t.match(events.at(-1), { kind: 'close', facts: { reason: 'expired', bytesAfterDue: 0 } });
  const late = lateness(events.at(-1));
  t.ok(late >= 0 && late <= LATEST + starved(), `the receipt says ${late} ms late`);
  const again = await curl(['-H', `Daypass-Handle: ${handle}`, `http://web.localhost:${gateway.port}/`]);
  t.match(JSON.parse(again.stdout), { status: 401, reason: 'expired' });
});

t.test(
  'a request without an answer yet is told why when its grant is revoked, and the service sees the break',
  async (t) => {
    const echo = await startEcho(t, () => {});
    const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
    const { handle, id } = gateway.issue('web');
    const client = raw(t, gateway.port, get('/slow', handle, 'Accept: */*\r\n'));
    await echo.request();
    const socket = echo.connections[0]?.socket;
    const broken = socket === undefined ? Promise.resolve() : closed(socket);
    gateway.revoke(id);
    const answer = await client.ended;
    t.match(answer, /^HTTP\/1\.1 401 [\s\S]*"reason":"revoked"/);
    t.match(answer, new RegExp(`grant ${id}`));
    await broken;
  },
);

t.test('an upload is cut while the service reads it, and nothing more of it is forwarded', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle, id } = gateway.issue('web');
  const head = `POST /upload HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nContent-Length: 1000\r\n\r\nabc`;
  const client = raw(t, gateway.port, head);
  await echo.request();
  gateway.revoke(id);
  t.match(await client.ended, /^HTTP\/1\.1 401 /);
  t.match(
    (await gateway.events()).find(({ kind }) => kind === 'result'),
    { facts: { reason: 'revoked', bytesIn: 3 }, payload: { text: 'abc' } },
    'what had been sent is recorded',
  );
});

t.test(
  'an upload that comes to its end after the grant has is never whole at the service, though no timer told',
  async (t) => {
    const clock = new HastyClock();
    const echo = await startEcho(t);
    const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } }, { clock });
    const { handle } = gateway.issue('web');
    const chunked = get('/upload', handle, 'Transfer-Encoding: chunked\r\n').replace('GET', 'POST');
    const client = raw(t, gateway.port, `${chunked}4\r\ndata\r\n`);
    await waitUntil('the service has what came', () => echo.requests[0]?.body === 'data');
    clock.ahead = 3_600_000;
    client.socket.write('0\r\n\r\n');
    t.match(await client.ended, /^HTTP\/1\.1 401 [\s\S]*"reason":"expired"/);
    t.notMatch(echo.connections[0]?.bytes, /\r\n0\r\n/);
  },
);

t.test('an idle keep-alive connection outlives the cut and gets 401 for its next request', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle, id } = gateway.issue('web');
  const client = raw(t, gateway.port, get('/one', handle));
  await client.sees(/you asked for \/one/);
  const upstream = echo.connections[0]?.socket;
  const left = upstream === undefined ? Promise.resolve() : closed(upstream);
  gateway.revoke(id);
  await left;
  client.socket.write(get('/two', handle));
  await client.sees(/HTTP\/1\.1 401 [\s\S]*"reason":"revoked"/);
  t.same(
    echo.requests.map(({ url }) => url),
    ['/one'],
  );
});

t.test('a narrowed policy breaks off what it no longer allows and leaves the rest of the session alone', async (t) => {
  const echo = await startEcho(t, (_req, res) => res.write('begun'));
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /a', 'GET /b', 'GET /c'] } } });
  const { handle } = gateway.issue('web');
  const [a, b] = [raw(t, gateway.port, get('/a', handle)), raw(t, gateway.port, get('/b', handle))];
  await Promise.all([a.sees(/begun/), b.sees(/begun/)]);
  gateway.reload('web', { url: echo.url, roles: { viewer: ['GET /b'] } });
  t.match(await a.ended, /begun\r\n$/, 'broken off without an end');
  t.notOk(b.socket.destroyed);
  t.match(await raw(t, gateway.port, get('/c', handle)).sees(/\r\n\r\n\{/), /^HTTP\/1\.1 403/);
  t.match(
    (await gateway.events()).find(({ facts }) => facts.reason === 'policy_gone'),
    { kind: 'result' },
  );
});

t.test('record before forwarding: while the ledger cannot commit, the service sees nothing', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  await raw(t, gateway.port, get('/first', handle, 'Connection: close\r\n')).ended;
  await gateway.events();
  const unlock = await lockLedger(gateway);
  const client = raw(t, gateway.port, get('/second', handle));
  await untilWaiting(gateway);
  t.same(
    echo.requests.map(({ url }) => url),
    ['/first'],
    'decided, not committed, not forwarded',
  );
  await unlock();
  await client.sees(/you asked for \/second/);
});

t.test('a ledger that does not answer pauses the request, then ends the session with a reason', async (t) => {
  const echo = await startEcho(t);
  const clock = new HastyClock();
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } }, { clock });
  const { handle } = gateway.issue('web');
  await raw(t, gateway.port, get('/first', handle, 'Connection: close\r\n')).ended;
  await gateway.events();
  const unlock = await lockLedger(gateway);
  const client = raw(t, gateway.port, get('/second', handle));
  await untilWaiting(gateway);
  clock.ahead += 5_000;
  t.match(await client.ended, /^HTTP\/1\.1 503 [\s\S]*"reason":"recorder_stalled"/);
  await unlock();
  t.same(
    echo.requests.map(({ url }) => url),
    ['/first'],
  );
});

t.test('while too much waits to be recorded nobody else is let in, and it passes', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } }, { bufferBytes: 32 * 1024 });
  const [{ handle }, next] = [gateway.issue('web'), gateway.issue('web')];
  const unlock = await lockLedger(gateway);
  const waiting = [raw(t, gateway.port, get('/first', handle))];
  await untilWaiting(gateway); // what is being written counts as written
  for (let n = 0; n < 3; n += 1)
    waiting.push(raw(t, gateway.port, get(`/${n}`, handle, `X: ${'x'.repeat(12_000)}\r\n`)));
  await waitUntil('too much waits', () => gateway.recorder.queuedBytes > 32 * 1024);
  const refused = await raw(t, gateway.port, get('/next', next.handle, 'Connection: close\r\n')).ended;
  t.match(refused, /^HTTP\/1\.1 503 [\s\S]*"reason":"recorder_unavailable"[\s\S]*again in a moment/);
  t.equal(gateway.gate.live.registry.all().length, 1, 'and nothing more waits for it');
  await unlock();
  for (const client of waiting) await client.sees(/you asked for/);
  t.match(await raw(t, gateway.port, get('/next', next.handle, 'Connection: close\r\n')).ended, /^HTTP\/1\.1 200 /);
});

t.test('where no framing marks the end of a body, a cut is a reset and not an end', async (t) => {
  const echo = await startEcho(t, (_req, res) => res.write('half'));
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle, id } = gateway.issue('web');
  const client = raw(t, gateway.port, get('/', handle).replace('HTTP/1.1', 'HTTP/1.0'));
  await client.sees(/half$/);
  const failed = once(client.socket, 'error');
  gateway.revoke(id);
  t.match((await failed)[0], { code: 'ECONNRESET' });
});

t.test('each request of a pipeline is decided by itself, and answers keep their order', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /a', 'GET /c'] } } });
  const { handle } = gateway.issue('web');
  const client = raw(
    t,
    gateway.port,
    get('/a', handle) + get('/b', handle) + get('/c', handle, 'Connection: close\r\n'),
  );
  const answer = await client.ended;
  t.same(
    [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ['200', '403', '200'],
  );
  t.same(echo.requests.map(({ url }) => url).sort(), ['/a', '/c']);
});

t.test('a reloaded policy sends the next request to the new address', async (t) => {
  const [before, after] = [await startEcho(t), await startEcho(t)];
  const gateway = await startGateway(t, { web: { url: before.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  await raw(t, gateway.port, get('/one', handle, 'Connection: close\r\n')).ended;
  gateway.reload('web', { url: after.url, roles: ROLES });
  await raw(t, gateway.port, get('/two', handle, 'Connection: close\r\n')).ended;
  t.same([before.requests.map(({ url }) => url), after.requests.map(({ url }) => url)], [['/one'], ['/two']]);
});

t.test('an answer that breaks off on a connection that rested is not asked for again', async (t) => {
  let asked = 0;
  const { url } = await bareService(t, (_received, socket) => {
    asked += 1;
    if (asked === 1) return void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na');
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab');
  });
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const head = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`;
  const ask = () => raw(t, gateway.port, `GET /x HTTP/1.1\r\n${head}`).ended;
  t.match(await ask(), /\r\n\r\na$/);
  t.match(await ask(), /\r\n\r\nab$/);
  t.equal(asked, 2);
});
