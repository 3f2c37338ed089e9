import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import t from 'tap';
import { startEcho } from '../http/echo.js';
import { HastyClock, raw, startGateway } from '../http/gateway.js';
import { curl } from '../support/commands.js';

t.test('A4: the service gets a signed, audience-bound assertion of who asks, and can verify it offline', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web', { groups: ['payments', 'on-call'] });
  const url = `http://web.localhost:${gateway.port}/`;
  const published = await curl(['-s', `http://localhost:${gateway.port}/.well-known/jwks.json`]);
  t.notMatch(published.stdout, /"d"/, 'no private key');
  const keys = createLocalJWKSet(JSON.parse(published.stdout));
  await curl(['-s', '-H', `Authorization: Bearer ${handle}`, '-H', 'Daypass-Assertion: eyJhbGciOiJub25lIn0.e30.', url]);
  const sent = (echo.requests[0]?.headers ?? []).filter(([name]) => name === 'daypass-assertion');
  t.equal(sent.length, 1, "the client's own is gone");
  const options = { issuer: 'daypass', audience: 'web', typ: 'daypass-assertion+jwt', algorithms: ['EdDSA'] };
  const { payload } = await jwtVerify(sent[0]?.[1] ?? '', keys, options);
  t.match(payload, { sub: 'alice', role: 'viewer' });
  t.same(payload.groups, ['payments', 'on-call']);
  t.ok((payload.exp ?? 0) - (payload.iat ?? 0) <= 60);
  await t.rejects(jwtVerify(sent[0]?.[1] ?? '', keys, { ...options, audience: 'other' }), 'useless elsewhere');
  await t.rejects(jwtVerify(sent[0]?.[1] ?? '', keys, { ...options, typ: 'daypass-grant+jwt' }), 'and no grant');
});

t.test(
  'A4: a request that its service had for a while is not asked again by an assertion that may be over',
  async (t) => {
    const tries: Record<string, number> = {};
    const echo = await startEcho(t, (req, res) => {
      const { url = '', socket } = req;
      tries[url] = (tries[url] ?? 0) + 1;
      if (url === '/at-once' && tries[url] === 1) socket.destroy();
      else if (url === '/later') setTimeout(() => socket.destroy(), 3_000);
      else res.end('ok');
    });
    const services = { web: { url: echo.url, roles: { viewer: ['GET /**'] } } };
    const gateway = await startGateway(t, services, { upstreamLimits: { connect: 1_000, response: 60_000 } });
    const { handle } = gateway.issue('web');
    for (const [path, status, asked] of [
      ['/at-once', 200, 2],
      ['/later', 502, 1],
    ] as const) {
      const head = (target: string) =>
        `GET ${target} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n\r\n`;
      const client = raw(t, gateway.port, head('/before')); // leaves a connection that rests
      await client.sees(/ok$/);
      client.socket.write(head(path));
      await client.sees(new RegExp(`ok[\\s\\S]*HTTP/1\\.1 ${status} `));
      t.equal(tries[path], asked, path);
    }
  },
);

t.test('A4: an assertion is not used past its end, nor before its beginning when the clock is set back', async (t) => {
  const echo = await startEcho(t);
  const clock = new HastyClock();
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } }, { clock });
  const { handle } = gateway.issue('web', { forMs: 600_000 });
  const client = raw(t, gateway.port, '');
  for (const [ahead, asked] of [
    [0, 1],
    [1_000, 2],
    [50_000, 3],
    [120_000, 4],
    [0, 5],
  ] as const) {
    clock.ahead = ahead;
    client.socket.write(`GET /${asked} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n\r\n`);
    await client.sees(new RegExp(`you asked for /${asked}$`));
    const token = Object.fromEntries(echo.requests.at(-1)?.headers ?? [])['daypass-assertion'] ?? '';
    const { iat = 0, exp = 0 } = decodeJwt(token);
    const now = clock.wall() / 1_000;
    t.ok(iat <= now && now < exp && exp - iat <= 60, `${ahead} ms: ${iat - now} to ${exp - now}`);
  }
});
