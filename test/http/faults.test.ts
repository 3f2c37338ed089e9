import type { Socket } from 'node:net';
import t from 'tap';
import { refusalOfEnd } from '../../src/http/refusals/deny.js';
import { startEcho } from './echo.js';
import { raw, startGateway, type TestGateway } from './gateway.js';
import { rawService } from './raw-service.js';
import { masked, unmasked } from './ws-frames.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const UPGRADE = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;

async function counted({ metrics }: TestGateway): Promise<Record<string, string>[]> {
  const text = await metrics.registry.getSingleMetricAsString('daypass_http_refusals_total');
  return [...text.matchAll(/^daypass_http_refusals_total\{(.*)\} 1$/gm)].map(([, labels = '']) =>
    Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value])),
  );
}

const told = ({ lines }: TestGateway) =>
  lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'refused' || msg === 'not admitted');

t.test('a request that is no request is one log line with reason and rule, and one count', async (t) => {
  const { url } = await rawService(t);
  const cases: Readonly<Record<string, readonly [number, string, string]>> = {
    'GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n': [404, 'not_found', 'an address of the gateway'],
    'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n': [405, 'bad_request', 'no forward proxy'],
    'GET /x HTTP/1.1\r\nHost: web.localhost\r\nExpect: tea\r\n\r\n': [417, 'bad_request', 'Expect: 100-continue alone'],
    'nonsense\r\n\r\n': [400, 'bad_request', 'readable request'],
    [`GET / HTTP/1.1\r\nHost: web.localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`]: [
      431,
      'too_large',
      'readable request',
    ],
    [`GET / HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\n${'a:b\r\n'.repeat(300)}\r\n`]: [
      431,
      'too_large',
      'well-formed request',
    ],
    'GET /x HTTP/1.1\r\nHost: web.localhost\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n': [
      400,
      'bad_request',
      'well-formed request',
    ],
  };
  for (const [bytes, [status, reason, rule]] of Object.entries(cases)) {
    const gateway = await startGateway(t, { web: { url, roles: { viewer: ['WS /live'] } } });
    t.match(await raw(t, gateway.port, bytes).ended, new RegExp(`^HTTP/1\\.1 ${status} `));
    t.match(told(gateway), [{ client: '127.0.0.1', status, reason, rule }]);
    t.equal(told(gateway).length, 1, `${status}: one line`);
    t.same(await counted(gateway), [{ service: '', status: String(status), reason }]);
    await gateway.stop();
  }
});

t.test('a WebSocket that breaks on either side is one log line with reason and rule, and one count', async (t) => {
  const { url, sockets } = await rawService(t);
  const large = Buffer.alloc(14);
  large.set([0x82, 0xff]);
  large.writeBigUInt64BE(BigInt(17 * 1024 * 1024), 2);
  const client = (bytes: Iterable<number>) => (socket: Socket) => void socket.write(Buffer.from([...bytes]));
  const cases: readonly (readonly [number, string, (client: Socket, service: Socket | undefined) => void])[] = [
    [1009, 'protocol_error', client(large)],
    [1002, 'protocol_error', client(unmasked(0x81, 'a'))],
    [1007, 'protocol_error', client(masked(0x81, Buffer.from([0xff])))],
    [1014, 'upstream_closed', (_, upstream) => upstream?.destroy()],
    [1014, 'upstream_unavailable', (_, upstream) => upstream?.write(unmasked(0x83))],
  ];
  for (const [status, reason, act] of cases) {
    const gateway = await startGateway(t, { web: { url, roles: { viewer: ['WS /live'] } } });
    const { handle } = gateway.issue('web');
    const opened = raw(
      t,
      gateway.port,
      `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}`,
    );
    await opened.sees(/\r\n\r\n/);
    act(opened.socket, sockets.at(-1));
    await opened.ended;
    t.match(told(gateway), [{ service: 'web', client: '127.0.0.1', status, reason, rule: String, session: String }]);
    t.equal(told(gateway).length, 1, `${status}: one line`);
    t.same(await counted(gateway), [{ service: 'web', status: String(status), reason }]);
    await gateway.stop();
  }
});

t.test(
  'a request under way that a reloaded policy ends is one log line with reason and rule, and one count',
  async (t) => {
    const echo = await startEcho(t, () => {});
    const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /x', 'WS /live'] } } });
    const head = `Host: web.localhost\r\nDaypass-Handle: ${gateway.issue('web').handle}\r\n`;
    const narrowed = { url: echo.url, roles: { viewer: ['GET /other'] } };
    for (const [line, rest] of [
      ['GET /x', '\r\n'],
      ['GET /live', UPGRADE],
    ] as const) {
      gateway.reload('web', { url: echo.url, roles: { viewer: ['GET /x', 'WS /live'] } });
      const client = raw(t, gateway.port, `${line} HTTP/1.1\r\n${head}${rest}`);
      await echo.request(({ url }) => line.endsWith(url));
      gateway.reload('web', narrowed);
      t.match(await client.ended, /^HTTP\/1\.1 403 /);
    }
    const expected = {
      service: 'web',
      client: '127.0.0.1',
      status: 403,
      reason: 'policy_gone',
      rule: String,
      session: String,
    };
    t.match(told(gateway), [expected, expected]);
    t.equal(told(gateway).length, 2);
  },
);

t.test('who comes as the session ends is told how it really ended', async (t) => {
  const end = (reason: 'revoked' | 'policy_gone' | 'shutdown' | 'idle') =>
    refusalOfEnd({ id: 'x', end: { reason, dueAt: null, cutAt: null } });
  t.match(end('revoked'), { status: 401, reason: 'revoked', detail: /the grant was revoked/ });
  t.match(end('policy_gone'), { status: 403, reason: 'policy_gone' });
  t.match(end('shutdown'), { status: 503, reason: 'shutdown' });
  t.match(end('idle'), { status: 503, reason: 'idle' });
});
