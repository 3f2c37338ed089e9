import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { raw, startGateway } from '../http/gateway.js';
import { anyPair } from '../http/over-tls.js';
import { portOf } from '../support/ports.js';

const ROLES = { viewer: ['GET /x', 'GET /live', 'WS /live'] };
const UNTIL_CLOSE = 'HTTP/1.1 200 OK\r\n\r\nhello';

/** How the connection below ends, behind what was said on the secured one. */
const ENDINGS: Readonly<Record<string, readonly [(secured: TLSSocket, below: Socket) => void, boolean]>> = {
  'says its end': [(secured) => secured.end(UNTIL_CLOSE), true],
  'says its end, and closes': [(secured) => secured.end(UNTIL_CLOSE, () => secured.destroy()), true],
  'is ended below': [(secured, below) => secured.write(UNTIL_CLOSE, () => below.end()), false],
  'is ended below at once': [(secured, below) => void [secured.write(UNTIL_CLOSE), below.end()], false],
  'is closed below': [(secured, below) => secured.write(UNTIL_CLOSE, () => below.destroy()), false],
  'is reset below': [(secured, below) => secured.write(UNTIL_CLOSE, () => below.resetAndDestroy()), false],
};

async function service(t: Test, version: 'TLSv1.2' | 'TLSv1.3', end: (secured: TLSSocket, below: Socket) => void) {
  const pair = await anyPair();
  const server = createServer((below) => {
    const secured = new TLSSocket(below, { isServer: true, ...pair, minVersion: version, maxVersion: version });
    for (const socket of [below, secured]) socket.on('error', () => {});
    secured.once('data', () => end(secured, below));
    t.teardown(() => below.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `https://127.0.0.1:${portOf(server.address())}`;
}

const ask = (line: string, handle: string, more = '') =>
  `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${more}\r\n`;
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const [name, [end, isWhole]] of Object.entries(ENDINGS)) {
    t.test(`A6: an answer that its end delimits, on a connection of ${version} that ${name}`, async (t) => {
      const gateway = await startGateway(t, { web: { url: await service(t, version, end), roles: ROLES } });
      const { handle } = gateway.issue('web');
      const plain = await raw(t, gateway.port, ask('GET /x', handle, 'Connection: close\r\n')).ended;
      t.equal(/\r\n5\r\nhello\r\n0\r\n\r\n$/.test(plain), isWhole, plain);
      const declined = await raw(t, gateway.port, ask('GET /live', handle, UPGRADE)).ended;
      t.match(declined, isWhole ? /^HTTP\/1\.1 200 [\s\S]*hello$/ : /^HTTP\/1\.1 502 /);
      const facts = (await gateway.events()).filter(({ kind }) => kind === 'result').map((event) => event.facts);
      t.equal(facts.length, 2);
      for (const fact of facts) t.equal(fact.reason === 'upstream_unavailable', !isWhole);
    });
  }
}

t.test(
  'A6: the same of a long answer that its client takes slowly, so that nothing is read of the service for a while',
  async (t) => {
    const long = Buffer.alloc(6_000_000, 'x');
    for (const [say, isWhole] of [
      [(secured: TLSSocket) => secured.end(long), true],
      [(secured: TLSSocket, below: Socket) => secured.write(long, () => below.end()), false],
    ] as const) {
      const url = await service(t, 'TLSv1.3', (secured, below) => {
        secured.write('HTTP/1.1 200 OK\r\n\r\n');
        say(secured, below);
      });
      const gateway = await startGateway(t, { web: { url, roles: ROLES } });
      const client = raw(t, gateway.port, ask('GET /x', gateway.issue('web').handle, 'Connection: close\r\n'));
      client.socket.on('data', () => {
        client.socket.pause();
        setImmediate(() => client.socket.resume());
      });
      t.equal(/\r\n0\r\n\r\n$/.test(await client.ended), isWhole);
      if (isWhole) t.ok(client.text().split('x').length > long.byteLength);
    }
  },
);
