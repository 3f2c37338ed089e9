import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { curl } from '../support/commands.js';
import { waitUntil } from '../support/wait.js';
import { startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';
import { bareService } from './raw-service.js';

const ROLES = { viewer: ['GET /', 'GET /orders/**', 'POST /upload'], retrier: ['GET /', 'POST /orders/:id/retry'] };

t.test('a request in scope reaches the service with the injected headers and without the handle', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, {
    web: { url: echo.url, headers: { authorization: 'Bearer injected' }, roles: ROLES },
  });
  const { handle } = gateway.issue('web');
  const answer = await curl([
    '-i',
    '-H',
    `Authorization: Bearer ${handle}`,
    `http://web.localhost:${gateway.port}/orders/7?x=1&token=abc`,
  ]);
  t.match(answer.stdout, /^HTTP\/1\.1 200 OK/);
  t.match(answer.stdout, /Daypass-Expires: \d{4}-/i);
  t.match(answer.stdout, /you asked for \/orders\/7\?x=1&token=abc$/);
  const { headers } = await echo.request();
  t.same(
    headers.filter(([name]) => name === 'authorization'),
    [['authorization', 'Bearer injected']],
  );
  t.notMatch(echo.connections[0]?.bytes ?? '', handle.slice(-20));
  const events = await gateway.events();
  const action = events.find(({ kind }) => kind === 'action');
  t.match(action, { facts: { verb: 'GET', on: ['/orders/7'], outcome: 'allow', rule: 'GET /orders/**' } });
  t.equal(action?.payload?.text, 'GET /orders/7?x=1&token=[redacted]');
  t.notMatch(JSON.stringify(events), handle.slice(-20));
  t.match(
    events.find(({ kind }) => kind === 'result'),
    { facts: { of: action?.seq, status: '200', bytesOut: 37 } },
  );
});

t.test('a refusal says which rule was missing and which role would do, to tools and to browsers', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const url = `http://web.localhost:${gateway.port}/orders/7/retry`;
  const tool = await curl(['-i', '-X', 'POST', '-d', 'x=1', '-H', `Daypass-Handle: ${handle}`, url]);
  t.match(tool.stdout, /^HTTP\/1\.1 403 /);
  t.match(tool.stdout, /content-type: application\/problem\+json/);
  const problem: unknown = JSON.parse(tool.stdout.slice(tool.stdout.indexOf('\r\n\r\n')));
  t.match(problem, {
    status: 403,
    reason: 'out_of_scope',
    rule: 'no rule allows POST /orders/7/retry',
    hint: /role retrier/,
  });
  const browser = await curl([
    '-i',
    '-H',
    'Accept: text/html,*/*',
    '-H',
    `Daypass-Handle: ${handle}`,
    `http://web.localhost:${gateway.port}/a'&b`,
  ]);
  t.match(browser.stdout, /content-type: text\/html/);
  t.match(browser.stdout, /content-security-policy: default-src 'none'/);
  t.match(browser.stdout, /\/a&#39;&#38;b/);
  t.equal(echo.requests.length, 0, 'nothing reached the service');
  const denied = (await gateway.events()).filter(({ facts }) => facts.outcome === 'deny');
  t.same(
    denied.map(({ facts }) => facts.verb),
    ['POST', 'GET'],
  );
});

t.test('who presents nothing, nonsense, two handles, another service or an unknown host is told so', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, {
    web: { url: echo.url, roles: ROLES },
    other: { url: echo.url, roles: ROLES },
  });
  const { handle, id } = gateway.issue('web');
  const ended = gateway.issue('web', { forMs: -1 });
  const revoked = gateway.issue('web');
  gateway.revoke(revoked.id);
  const ask = async (host: string, ...headers: string[]) => {
    const args = ['-s', '-w', '\n%{http_code}', ...headers.flatMap((header) => ['-H', header])];
    const { stdout } = await curl([...args, `http://${host}:${gateway.port}/`]);
    const status = stdout.slice(stdout.lastIndexOf('\n') + 1);
    return `${status} ${/"reason":"(\w+)"/.exec(stdout)?.[1] ?? ''}`;
  };
  t.equal(await ask('web.localhost'), '401 malformed');
  t.equal(await ask('web.localhost', 'Authorization: Bearer x'), '401 malformed');
  t.equal(
    await ask('web.localhost', `Authorization: Bearer ${handle}`, `Daypass-Handle: ${revoked.handle}`),
    '401 malformed',
  );
  t.equal(await ask('web.localhost', `Daypass-Handle: ${handle}`, `Authorization: Bearer ${handle}`), '200 ');
  t.equal(await ask('web.localhost', `Daypass-Handle: dp_${id}_${'a'.repeat(43)}`), '401 unknown_grant');
  t.equal(await ask('web.localhost', `Daypass-Handle: ${ended.handle}`), '401 expired');
  t.equal(await ask('web.localhost', `Daypass-Handle: ${revoked.handle}`), '401 revoked');
  t.equal(await ask('other.localhost', `Daypass-Handle: ${handle}`), '403 wrong_service');
  t.equal(await ask('nobody.localhost', `Daypass-Handle: ${handle}`), '421 unknown_service');
  t.equal(await ask('localhost', `Daypass-Handle: ${handle}`), '404 not_found');
  t.equal(echo.requests.length, 1);
});

t.test('an upload streams at the pace of the service, and its beginning is recorded', async (t) => {
  let proceed: () => void = () => {};
  const echo = await startEcho(t, (req, res) => {
    proceed = () => {
      let bytes = 0;
      req.on('data', (chunk: Buffer) => (bytes += chunk.byteLength));
      req.once('end', () => res.end(String(bytes)));
      req.resume();
    };
    req.pause();
    req.removeAllListeners('data');
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const size = 32 * 1024 * 1024;
  const client = raw(
    t,
    gateway.port,
    `POST /upload HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nContent-Type: text/plain\r\nContent-Length: ${size}\r\n\r\n`,
  );
  client.socket.write(Buffer.alloc(size, 0x61));
  await echo.request();
  // The service does not read: what lies in the kernel's buffers and ours is bounded, so most stays with the client.
  const before = process.memoryUsage().arrayBuffers;
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(client.socket.writableLength > size / 4, 'the client is held back');
  t.ok(process.memoryUsage().arrayBuffers - before < size / 2);
  proceed();
  t.match(await client.sees(/\r\n\r\n\d+/), new RegExp(`\r\n\r\n${size}`));
  const result = (await gateway.events()).find(({ kind }) => kind === 'result');
  t.equal(result?.facts.bytesIn, size);
  t.same(result?.payload, { text: 'a'.repeat(8192), type: 'text/plain', whole: false });
});

t.test('a client that breaks off reaches the service as a break', async (t) => {
  let broken: () => void = () => {};
  const seen = new Promise<void>((resolve) => {
    broken = resolve;
  });
  const echo = await startEcho(t, (_req, res) => {
    res.write('first');
    res.once('close', broken);
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const client = raw(t, gateway.port, `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n\r\n`);
  await client.sees(/first/);
  client.socket.destroy();
  await seen;
  t.match(
    (await gateway.events()).find(({ kind }) => kind === 'result'),
    { facts: { reason: 'client_left', bytesOut: 5 } },
  );
});

t.test('a client that gives up an upload has left, and one whose body cannot be read has not', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const head = `POST /upload HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
  const results = async () => (await gateway.events()).filter(({ kind }) => kind === 'result');
  for (const [sent, reason] of [
    ['Content-Length: 10\r\n\r\nhalf', 'client_left'],
    ['Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n', 'client_left'],
    ['Transfer-Encoding: chunked\r\n\r\n4\r\nhalfway\r\n', 'protocol_error'],
  ] as const) {
    const before = await results();
    const client = raw(t, gateway.port, head + sent);
    await waitUntil('it is decided on', async () => (await gateway.events()).length > 2 * before.length + 1);
    client.socket.end();
    t.match(await client.ended, /^HTTP\/1\.1 400 /, sent);
    await waitUntil('its result', async () => (await results()).length > before.length);
    t.match((await results()).at(-1), { facts: { reason } }, sent);
  }
});

t.test('a service that dies in the middle of a body leaves a broken transfer, never a clean end', async (t) => {
  const echo = await startEcho(t, (_req, res) => {
    res.write('half');
    setImmediate(() => res.socket?.destroy());
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const answer = await curl(['-H', `Daypass-Handle: ${handle}`, `http://web.localhost:${gateway.port}/`]);
  t.equal(answer.stdout, 'half');
  t.equal(answer.code, 18, 'curl: transfer closed with outstanding read data remaining');
  t.match(
    (await gateway.events()).find(({ kind }) => kind === 'result'),
    { facts: { reason: 'upstream_unavailable', status: '200' } },
  );
});

t.test('a service that is down is 502, one that hangs is 504, and both are recorded', async (t) => {
  const echo = await startEcho(t, () => {});
  const limits = { connect: 1_000, response: 200 };
  const services = { web: { url: 'http://127.0.0.1:1', roles: ROLES }, slow: { url: echo.url, roles: ROLES } };
  const gateway = await startGateway(t, services, { upstreamLimits: limits });
  const status = async (service: string) => {
    const { handle } = gateway.issue(service);
    const { stdout } = await curl([
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      '-H',
      `Daypass-Handle: ${handle}`,
      `http://${service}.localhost:${gateway.port}/`,
    ]);
    return stdout;
  };
  t.equal(await status('web'), '502');
  t.equal(await status('slow'), '504');
  const reasons = (await gateway.events()).filter(({ kind }) => kind === 'result').map(({ facts }) => facts.reason);
  t.same(reasons, ['upstream_unavailable', 'upstream_unavailable']);
});

t.test('a client may take its time with a body, and a service that takes none of it may not', async (t) => {
  const echo = await startEcho(t);
  const stalled = await bareService(t, (_received, socket) => socket.pause());
  const roles = { viewer: ['POST /**'] };
  const gateway = await startGateway(
    t,
    { web: { url: echo.url, roles }, stalled: { url: stalled.url, roles } },
    { upstreamLimits: { connect: 200, response: 200 } },
  );
  const head = (name: string, length: number) =>
    `POST /x HTTP/1.1\r\nHost: ${name}.localhost\r\nDaypass-Handle: ${gateway.issue(name).handle}\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`;
  const slow = raw(t, gateway.port, `${head('web', 2)}a`);
  await echo.request();
  await pause(600);
  slow.socket.write('b');
  t.match(await slow.ended, /^HTTP\/1\.1 200 /);
  const size = 16 * 1024 * 1024;
  const much = raw(t, gateway.port, Buffer.concat([Buffer.from(head('stalled', size)), Buffer.alloc(size)]));
  t.match(await much.ended, /^HTTP\/1\.1 504 /);
});

t.test('100-continue is answered only after the decision, and never reaches the service', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const head = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`;
  const refused = raw(t, gateway.port, head('/no'));
  t.match(await refused.sees(/\r\n\r\n\{/), /^HTTP\/1\.1 403/);
  const allowed = raw(t, gateway.port, head('/upload'));
  t.match(await allowed.sees(/\r\n\r\n/), /^HTTP\/1\.1 100 Continue/);
  allowed.socket.write('ok');
  await allowed.sees(/you asked for \/upload/);
  t.same(
    echo.requests.map(({ body }) => body),
    ['ok'],
  );
  t.notMatch(echo.connections[0]?.bytes ?? '', /expect/i);
  const other = raw(t, gateway.port, head('/upload').replace('100-continue', 'magic'));
  t.match(await other.sees(/\r\n\r\n/), /^HTTP\/1\.1 417/);
});

t.test('the head of an answer does not wait for its body', async (t) => {
  const { url, sockets } = await bareService(t, (_, socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n'),
  );
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['SSE /events'] } } });
  const { handle } = gateway.issue('web');
  const head = `GET /events HTTP/1.1\r\nHost: web.localhost\r\nAccept: text/event-stream\r\nDaypass-Handle: ${handle}\r\n\r\n`;
  const client = raw(t, gateway.port, head);
  await client.sees(/^HTTP\/1\.1 200 [\s\S]*\r\n\r\n$/);
  sockets[0]?.write('data: first\n\n');
  await client.sees(/data: first/);
});
