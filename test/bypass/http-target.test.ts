import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

/** What is sent, and what policy, record and service must all see; null: refused with 400 and seen by nobody. */
const TARGETS: readonly (readonly [string, string | null])[] = [
  ['/', '/'],
  ['/orders/7?a=/../b&c=%2e%2e', '/orders/7?a=/../b&c=%2e%2e'],
  ['/ad%6din', '/admin'],
  ['/%61dmin?x', '/admin?x'],
  ['/caf%c3%a9', '/caf%C3%A9'],
  ['/a%20b', '/a%20b'],
  ['/src/[id]/a|b^c.js?q=[1]', '/src/%5Bid%5D/a%7Cb%5Ec.js?q=[1]'],
  ['/src/%5bid%5D/a%7cb%5ec.js', '/src/%5Bid%5D/a%7Cb%5Ec.js'],
  ['/[/../x]', null],
  ['/[%2fx]', null],
  ['/x/..[', '/x/..%5B'],
  ['/x/.|/y', '/x/.%7C/y'],
  ['/{x}', null],
  ['/x/', '/x/'],
  ['/x?a_method=1&_methods=2', '/x?a_method=1&_methods=2'],
  ['/x?_method=DELETE', null],
  ['/x?a=1&%5fmethod=DELETE', null],
  ['/x?a=1&_Method[]=DELETE', null],
  ['/%2e%2e/', null],
  ['/.%2e/', null],
  ['/x/%2E', null],
  ['/../x', null],
  ['/./x', null],
  ['/x/..', null],
  ['/x/..%3F', null],
  ['/x/..%20', null],
  ['/x/.%20%20/y', null],
  ['/x/..%20%23', null],
  ['/x/.. a', null],
  ['/x/..+/y', null],
  ['/x/.++', null],
  ['/x/..+y', '/x/..+y'],
  ['/x/%ef%bc%8e%EF%BC%8E/y', null],
  ['/x/..%ef%bc%8fy', null],
  ['/x%ef%bc%bc..%ef%bc%bcy', null],
  ['/x/..%c2%a5..%e2%82%a9y', null],
  ['/x%e2%88%95.%e2%81%84y', null],
  ['/x/%e2%80%a5/y', null],
  ['/x/..%c2%a0/y', null],
  ['/x/..%ef%bc%9fy', null],
  ['/x/.%c2%ad.%ef%bb%bf/y', null],
  ['/2024%ef%bc%8f04/%c2%a5..5%e2%80%a6', '/2024%EF%BC%8F04/%C2%A5..5%E2%80%A6'],
  ['/x/..%20a', '/x/..%20a'],
  ['/x/%2e%2e%23y', null],
  ['/x/.%3fy/z', null],
  ['/x/..a%3F', '/x/..a%3F'],
  ['/x%3Fy/z', '/x%3Fy/z'],
  ['//x', null],
  ['//evil.test/x', null],
  ['/x//y', null],
  ['/x;p=1/y', null],
  ['/x%3bp=1', null],
  ['/\\evil', null],
  ['\\x', null],
  ['/x%5cy', null],
  ['/x%5Cy', null],
  ['/x%2fy', null],
  ['/x%2Fy', null],
  ['/x%00', null],
  ['/x%0d%0aHost:%20y', null],
  ['/x%c2%85', null],
  ['/%252e%252e/', null],
  ['/%25%32%65/', null],
  ['/%c0%ae/', null],
  ['/%ff', null],
  ['/x%', null],
  ['/x%4', null],
  ['/x%zz', null],
  ['/x\ty', null],
  ['/x\0y', null],
  ['/caf\xc3\xa9', null],
  ['/x#frag', null],
  ['/x?y#frag', null],
  ['/x?a b', null],
  ['/x?a"b', null],
  ['http://evil.test/x', null],
  ['http://web.localhost/x', null],
  ['evil.test:80', null],
  ['*', null],
  ['x', null],
];

t.test(
  'A1: the path that is decided and recorded is the path the service receives, or the request is 400',
  async (t) => {
    const echo = await startEcho(t);
    const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
    const { handle } = gateway.issue('web');
    for (const [target, expected] of TARGETS) {
      const before = echo.requests.length;
      const request = `GET ${target} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`;
      const answer = await raw(t, gateway.port, Buffer.from(request, 'latin1')).ended;
      const name = JSON.stringify(target);
      if (expected === null) {
        t.match(answer, /^HTTP\/1\.1 400 /, `${name} is refused`);
        t.equal(echo.requests.length, before, `${name} is seen by nobody`);
      } else {
        t.match(answer, /^HTTP\/1\.1 200 /, `${name} passes`);
        t.equal(echo.requests.at(-1)?.url, expected, `${name} arrives as ${expected}`);
      }
    }
    const actions = (await gateway.events()).filter(({ kind, facts }) => kind === 'action' && facts.of === undefined);
    const allowed = actions.filter(({ facts }) => facts.outcome === 'allow').flatMap(({ facts }) => facts.on ?? []);
    t.same(
      allowed,
      echo.requests.map(({ url }) => url.split('?')[0]),
      'the record names what arrived',
    );
  },
);

t.test('A1: an escaped slash reaches a service as it stands, by a rule that says so alone', async (t) => {
  const echo = await startEcho(t);
  const roles = { viewer: ['GET /@acme/**', 'GET /:name<path>', 'GET /queues/%2F/:name'] };
  const gateway = await startGateway(t, { web: { url: echo.url, roles } });
  const { handle } = gateway.issue('web');
  const ask = (target: string) =>
    raw(
      t,
      gateway.port,
      `GET ${target} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`,
    ).ended;
  t.match(await ask('/@acme%2fui?write=true'), /^HTTP\/1\.1 200 /);
  t.match(await ask('/queues/%2f/orders'), /^HTTP\/1\.1 200 /);
  for (const target of [
    '/@acme/a%2Fb',
    '/@acme%2F..%2Fx',
    '/@acme%2F..%3F',
    '/@acme%2F..%23x',
    '/@acme%2F%3Fx',
    '/@acme%2F',
    '/@acme%2F/x',
    '/@acme%2F%2Fx',
    '/%2Fevil.test',
    '/%2F/evil.test',
    '/queues/%2F',
    '/queues/%2F%2F/orders',
    '/queues/%2F/..',
    '/@acme/%2F',
    '/@acme%5Cx',
    '/@acme%252fx',
  ])
    t.match(await ask(target), /^HTTP\/1\.1 400 /, target);
  for (const own of ['/.daypass%2Fenter', '/%2Edaypass%2fbegin']) t.match(await ask(own), /^HTTP\/1\.1 403 /, own);
  t.same(
    echo.requests.map(({ url }) => url),
    ['/@acme%2Fui?write=true', '/queues/%2F/orders'],
  );
  const [allowed] = (await gateway.events()).filter(({ facts }) => facts.outcome === 'allow');
  t.same(allowed?.facts.on, ['/@acme%2Fui']);
});

t.test('A1: no header makes the service take another path or method', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /open', 'POST /open'] } } });
  const { handle } = gateway.issue('web');
  const ask = (names: readonly string[]) => {
    const headers = names.map((name) => `${name}: DELETE\r\n`).join('');
    const request = `POST /open HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${headers}Content-Length: 0\r\nConnection: close\r\n\r\n`;
    return raw(t, gateway.port, request).ended;
  };
  for (const name of ['X-HTTP-Method-Override', 'X_HTTP_METHOD_OVERRIDE', 'X-HTTP-Method', 'X-Method-Override'])
    t.match(await ask([name]), /^HTTP\/1\.1 403 [\s\S]*does not allow DELETE/, name);
  t.equal(echo.connections.length, 0);
  t.match(await ask(['X-Original-URL', 'X-Rewrite-Url', 'X-Host']), /^HTTP\/1\.1 200 /);
  t.notMatch(echo.connections[0]?.bytes ?? '', /DELETE/);
});

t.test('A2: no request chooses the upstream, and a hundred refused ones leave the pool usable', async (t) => {
  const trap = await startEcho(t);
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const head = (target: string, extra = '') =>
    `GET ${target} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${extra}Connection: close\r\n\r\n`;
  const targets = [`//127.0.0.1:${trap.port}/x`, `${trap.url}/x`, `/\\127.0.0.1:${trap.port}/x`, '/a b'];
  for (let round = 0; round < 25; round += 1) {
    for (const target of targets) await raw(t, gateway.port, head(target)).ended;
  }
  for (const extra of [
    'Expect: x\r\n',
    'Keep-Alive: 5\r\n',
    'Upgrade: h2c\r\n',
    'Connection: Upgrade\r\nUpgrade: h2c\r\n',
    'TE: trailers\r\n',
    'Connection: keep-alive, foo\r\n',
  ]) {
    t.match(await raw(t, gateway.port, head('/fine', extra)).ended, /^HTTP\/1\.1 (?:200|417) /, extra.trim());
  }
  t.match(await raw(t, gateway.port, head('/good')).ended, /you asked for \/good/);
  t.equal(trap.connections.length, 0);
});

t.test('A4: Host selects a service by exact match; a duplicate or odd one is refused', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const status = async (hosts: readonly string[], extra = '') => {
    const lines = hosts.map((host) => `Host: ${host}\r\n`).join('');
    const answer = await raw(
      t,
      gateway.port,
      `GET / HTTP/1.1\r\n${lines}Daypass-Handle: ${handle}\r\n${extra}Connection: close\r\n\r\n`,
    ).ended;
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
  };
  t.equal(await status(['web.localhost']), 200);
  t.equal(await status(['WEB.localhost:80']), 200);
  t.equal(await status([]), 400);
  t.equal(await status(['web.localhost', 'web.localhost']), 400);
  t.equal(await status(['a@web.localhost:80/x?y']), 400);
  t.equal(await status(['web.localhost/x']), 400);
  t.equal(await status(['web.localhost.']), 400);
  t.equal(await status(['x.web.localhost']), 421);
  t.equal(await status(['evil.test'], 'X-Forwarded-Host: web.localhost\r\nForwarded: host=web.localhost\r\n'), 421);
  t.equal(echo.requests.length, 2);
});
