import type { Socket } from 'node:net';
import t from 'tap';
import { curl } from '../support/commands.js';
import { waitUntil } from '../support/wait.js';
import { startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';
import { bareService } from './raw-service.js';

const VIEWER = [
  { route: 'POST /upload', body: '1KiB' },
  { route: 'POST /rare', rate: '2/h' },
  { route: 'GET /orders', query: { status: ['open'] } },
  'SSE /events',
];

async function started(t: Parameters<typeof startGateway>[0], answer?: Parameters<typeof startEcho>[1]) {
  const echo = await startEcho(t, answer);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: VIEWER } } });
  const { handle } = gateway.issue('web');
  const ask = (path: string, ...more: string[]) =>
    curl(['-i', '-H', `Authorization: Bearer ${handle}`, ...more, `http://web.localhost:${gateway.port}${path}`]);
  return { echo, gateway, handle, ask };
}

t.test('a body larger than its rule allows is 413: by its length before anything is forwarded', async (t) => {
  const { echo, gateway, ask } = await started(t);
  t.match((await ask('/upload', '--data-binary', 'x'.repeat(1024))).stdout, /200 OK/);
  const refused = await ask('/upload', '-H', 'Expect:', '--data-binary', 'x'.repeat(1025));
  t.match(refused.stdout, /413[\s\S]*"reason":"too_large"/);
  t.equal(echo.requests.length, 1);
  t.match((await gateway.events()).filter(({ kind }) => kind === 'action').at(-1), {
    facts: { outcome: 'deny', reason: 'too_large', rule: 'POST /upload, body 1KiB' },
  });
});

t.test('and one that says no length as soon as it is too large, of which the service gets no more', async (t) => {
  const { echo, gateway, handle } = await started(t);
  const head = `POST /upload HTTP/1.1\r\nhost: web.localhost\r\nauthorization: Bearer ${handle}\r\ntransfer-encoding: chunked\r\n\r\n`;
  const client = raw(t, gateway.port, `${head}400\r\n${'x'.repeat(1024)}\r\n`);
  await echo.request(({ url }) => url === '/upload');
  client.socket.write('1\r\ny\r\n');
  t.match(await client.sees(/"reason":"too_large"/), /^HTTP\/1.1 413/);
  const [seen] = echo.requests;
  t.equal(seen?.body.includes('y'), false, 'what is beyond is not passed on');
  t.match((await gateway.events()).filter(({ kind }) => kind === 'result').at(-1), {
    facts: { reason: 'too_large', bytesIn: 1024 },
  });
});

t.test('a rule that was used as often as it may is 429, says when to come back, and reaches nobody', async (t) => {
  const { echo, gateway, ask } = await started(t);
  for (const _ of [1, 2]) t.match((await ask('/rare', '-X', 'POST')).stdout, /200 OK/);
  const refused = (await ask('/rare', '-X', 'POST')).stdout;
  t.match(refused, /429[\s\S]*"reason":"too_many"/);
  const after = Number(/^retry-after: (\d+)/im.exec(refused)?.[1]);
  t.ok(after > 1_700 && after <= 1_800, `half an hour: ${after}`);
  t.equal(echo.requests.length, 2);
  const others = gateway.issue('web');
  const other = await curl([
    ...['-i', '-X', 'POST', '-H', `Authorization: Bearer ${others.handle}`],
    `http://web.localhost:${gateway.port}/rare`,
  ]);
  t.match(other.stdout, /200 OK/, 'another grant has its own');
});

t.test(
  'HEAD counts as GET, what is refused for something else does not, and the same rule in a new policy gives none back',
  async (t) => {
    const echo = await startEcho(t);
    const roles = {
      viewer: [
        { route: 'GET /rare', rate: '2/h' },
        { route: 'POST /rare', rate: '1/h', body: '1KiB' },
      ],
    };
    const gateway = await startGateway(t, { web: { url: echo.url, roles } });
    const { handle } = gateway.issue('web');
    const ask = async (line: string, body = '') => {
      const head = `host: web.localhost\r\ndaypass-handle: ${handle}\r\nconnection: close\r\ncontent-length: ${body.length}`;
      const said = await raw(t, gateway.port, `${line} /rare HTTP/1.1\r\n${head}\r\n\r\n${body}`).ended;
      return said.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length);
    };
    t.same([await ask('HEAD'), await ask('GET'), await ask('HEAD')], ['200', '200', '429']);
    const large = 'x'.repeat(1025);
    t.same([await ask('POST', large), await ask('POST'), await ask('POST')], ['413', '200', '429']);
    t.equal(await ask('POST', large), '413', 'what can never be allowed is not told to come back');
    gateway.reload('web', { url: echo.url, roles: { viewer: [...roles.viewer, 'GET /new'] } });
    t.same([await ask('GET'), await ask('POST')], ['429', '429']);
  },
);

t.test('a grant that was narrowed is held to the rate of the rule that decides in the whole role', async (t) => {
  const echo = await startEcho(t);
  const roles = { viewer: [{ route: 'GET /orders/:id', rate: '2/h' }, 'GET /orders/:id/lines', 'GET /orders/**'] };
  const gateway = await startGateway(t, { web: { url: echo.url, roles } });
  const asker = (only: string[] | null) => {
    const { handle } = gateway.issue('web', { only });
    return async (path: string) => {
      const head = `host: web.localhost\r\ndaypass-handle: ${handle}\r\nconnection: close\r\n`;
      const said = await raw(t, gateway.port, `GET ${path} HTTP/1.1\r\n${head}\r\n`).ended;
      return said.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length);
    };
  };
  for (const only of [null, ['GET /orders/**']]) {
    const ask = asker(only);
    t.same([await ask('/orders/7'), await ask('/orders/8'), await ask('/orders/9')], ['200', '200', '429'], `${only}`);
    for (const path of ['/orders/7/lines', '/orders/7/notes', '/orders']) t.equal(await ask(path), '200', path);
  }
  t.match((await gateway.events()).filter(({ facts }) => facts.outcome === 'deny').at(-1), {
    facts: { reason: 'too_many', rule: 'GET /orders/:id, 2/h' },
  });
});

t.test('what a rule says of the query is decided before anything is forwarded', async (t) => {
  const { echo, ask } = await started(t);
  t.match((await ask('/orders?status=open&x=1')).stdout, /200 OK/);
  t.match((await ask('/orders?status=all')).stdout, /403/);
  t.match((await ask('/orders?status=open&status=all')).stdout, /400[\s\S]*"reason":"ambiguous_target"/);
  t.equal(echo.requests.length, 1);
});

t.test('where an event stream is allowed, nothing else comes back', async (t) => {
  const { ask } = await started(t, (req, res) => {
    const [, type = ''] = (req.headers['x-answer'] as string).split(' ');
    const status = Number.parseInt(req.headers['x-answer'] as string, 10);
    res.writeHead(status, type === '' ? {} : { 'content-type': type }).end(status === 204 ? undefined : 'the answer');
  });
  const events = (answer: string) => ask('/events', '-H', 'Accept: text/event-stream', '-H', `x-answer: ${answer}`);
  t.match((await events('200 text/event-stream;charset=utf-8')).stdout, /200 OK[\s\S]*the answer/);
  t.match((await events('204')).stdout, /204 No Content/);
  t.match((await events('404 application/json')).stdout, /404 Not Found/);
  for (const answer of ['200 application/json', '200', '200 text/event-streams', '206 text/html']) {
    const { stdout } = await events(answer);
    t.match(stdout, /502/, answer);
    t.notMatch(stdout, /the answer/, answer);
  }
  t.match((await ask('/events', '-H', 'x-answer: 200')).stdout, /403/, 'nor is anything else asked for');
});

t.test('what is under way is held to the limits of a reloaded policy from then on', async (t) => {
  const echo = await startEcho(t, (req, res) => {
    if (req.url === '/feed') res.write('begun');
    else req.resume();
  });
  const wide = ['POST /upload', 'GET /events', 'GET /feed'];
  const narrow = [{ route: 'POST /upload', body: '1KiB' }, 'SSE /events', 'SSE /feed'];
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: wide } } });
  const { handle } = gateway.issue('web');
  const ask = (line: string, rest: string) =>
    raw(t, gateway.port, `${line} HTTP/1.1\r\nhost: web.localhost\r\nauthorization: Bearer ${handle}\r\n${rest}`);
  const upload = (bytes: number) =>
    ask('POST /upload', `transfer-encoding: chunked\r\n\r\n${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`);
  const more = upload(1_000);
  const beyond = upload(2_000);
  const arrived = () => echo.requests.map(({ body }) => body.length).sort();
  await waitUntil('both bodies are under way', async () => String(arrived()) === '1000,2000');
  const feed = ask('GET /feed', 'accept: text/event-stream\r\n\r\n');
  await feed.sees(/begun/);
  const events = ask('GET /events', 'accept: text/event-stream\r\n\r\n');
  await echo.request(({ url }) => url === '/events');
  gateway.reload('web', { url: echo.url, roles: { viewer: narrow } });
  t.match(await beyond.ended, /^HTTP\/1\.1 413 /, 'it was too large already');
  t.match(await feed.ended, /begun\r\n$/, 'broken off');
  more.socket.write(`19\r\n${'y'.repeat(25)}\r\n`);
  t.match(await more.ended, /^HTTP\/1\.1 413 /);
  t.notMatch(echo.requests.map(({ body }) => body).join(''), /y/, 'of what is beyond nothing is passed on');
  t.notOk(events.socket.closed, 'it may still become an event stream');
});

t.test('a service that is given longer to answer is waited for, on its WebSockets too', async (t) => {
  const held: Socket[] = [];
  const { url } = await bareService(t, (_, socket) => void held.push(socket));
  const roles = { viewer: ['GET /report', 'WS /live'] };
  const services = { hasty: { url, roles }, patient: { url, roles, responseTimeout: '1h' } };
  const gateway = await startGateway(t, services, { upstreamLimits: { connect: 1_000, response: 200 } });
  const ask = (service: string, line: string, more = '') => {
    const { handle } = gateway.issue(service);
    const head = `GET ${line} HTTP/1.1\r\nHost: ${service}.localhost\r\nDaypass-Handle: ${handle}\r\n${more}\r\n`;
    return raw(t, gateway.port, head);
  };
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  const patient = ask('patient', '/report');
  await waitUntil('the request is at the service', () => held.length === 1);
  const socket = ask('patient', '/live', upgrade);
  await waitUntil('the request is at the service', () => held.length === 2);
  await ask('hasty', '/report').sees(/^HTTP\/1\.1 504 /);
  await ask('hasty', '/live', upgrade).sees(/^HTTP\/1\.1 504 /);
  held[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  await patient.sees(/^HTTP\/1\.1 200 [\s\S]*ok$/);
  held[1]?.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
  await socket.sees(/^HTTP\/1\.1 403 /);
});
