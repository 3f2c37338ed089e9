import { once } from 'node:events';
import t, { type Test } from 'tap';
import { acceptFor } from '../../src/http/websocket/handshake.js';
import { collect } from '../support/collect.js';
import { closed, waitUntil } from '../support/wait.js';
import { raw, startGateway } from './gateway.js';
import { bareService, rawService } from './raw-service.js';
import { masked, unmasked } from './ws-frames.js';

/* The opening of a WebSocket: what a client may ask for, and which answer of a service opens one. */

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ROLES = { viewer: ['WS /live'] };

const opening = (handle: string, extra = '') =>
  `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${extra}\r\n`;

t.test('who asks for a WebSocket and for 100 Continue has both, in this order', async (t) => {
  // RFC 9110 section 7.8: the 100 has to come before the 101. The service is asked for no 100.
  const heads: string[] = [];
  const { url, sockets, server } = await rawService(t);
  server.on('connection', (socket) => socket.once('data', (chunk: Buffer) => heads.push(chunk.toString('latin1'))));
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const client = raw(t, gateway.port, opening(handle, 'Expect: 100-continue\r\n'));
  await client.sees(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 101 [\s\S]*\r\n\r\n$/);
  client.socket.write(masked(0x81, 'hello'));
  const [heard] = await once(sockets.at(-1)!, 'data');
  t.equal(heard.length, 11, 'and it is open');
  t.notMatch(heads.join(''), /expect/i);
  const shut = await startGateway(t, { web: { url: 'http://127.0.0.1:1', roles: ROLES } });
  const refused = raw(t, shut.port, opening(shut.issue('web').handle, 'Expect: 100-continue\r\n'));
  t.match(await refused.ended, /^HTTP\/1\.1 502 /, 'without the 101 there is no 100, either');
});

t.test('what a service sends right behind an opening is not held as long as the WebSocket is open', async (t) => {
  const [opened, size] = [50, 40_000];
  let behind = 0;
  const { url } = await bareService(t, (received, socket) => {
    const key = /sec-websocket-key: (\S+)/i.exec(received.toString('latin1'))?.[1] ?? '';
    const head = `HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), unmasked(0x82, `${'x'.repeat(behind)}!`)]));
  });
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const open = () => raw(t, gateway.port, opening(handle)).sees(/!$/);
  const held = () => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  /** Bytes of each. */
  const heldBy = async (bytes: number) => {
    behind = bytes;
    await open();
    const before = held();
    for (let at = 0; at < opened; at += 1) await open();
    return (held() - before) / opened;
  };
  // What each has anyway differs between Nodes, by how much of a slab a small buffer keeps.
  const anyway = await heldBy(0);
  const each = (await heldBy(size)) - anyway;
  t.ok(each < size / 4, `${each} bytes of each, beside ${anyway}`);
});

t.test('who leaves right behind the request for a WebSocket has none open', async (t) => {
  const { url, sockets } = await rawService(t);
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  for (let times = 0; times < 30; times += 1) {
    const client = raw(t, gateway.port, opening(gateway.issue('web').handle));
    client.socket.end();
    await client.ended;
  }
  await waitUntil('the service is left', () => sockets.every(({ closed }) => closed));
});

/** Which line the client is answered with when the service says this, given what `Sec-WebSocket-Accept` has to say. */
async function answered(t: Test, answer: (accept: string) => string) {
  const { url, sockets } = await bareService(t, (received, socket) => {
    const key = /sec-websocket-key: (\S+)/i.exec(received.toString('latin1'))?.[1] ?? '';
    socket.write(answer(`Sec-WebSocket-Accept: ${acceptFor(key)}`), 'latin1');
  });
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const client = raw(t, gateway.port, opening(gateway.issue('web').handle));
  await client.sees(/\r\n\r\n/);
  return { client, gateway, service: sockets.at(-1)! };
}

const SWITCHES = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade';
const HELLO = unmasked(0x81, 'hello').toString('latin1');

const UNCLEAN: Readonly<Record<string, (accept: string) => string>> = {
  'a Content-Length': (accept) => `${SWITCHES}\r\n${accept}\r\nContent-Length: 7\r\n\r\n${HELLO}`,
  'two lengths': (accept) => `${SWITCHES}\r\n${accept}\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n${HELLO}`,
  chunks: (accept) => `${SWITCHES}\r\n${accept}\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n${HELLO}\r\n0\r\n\r\n`,
  'another coding': (accept) => `${SWITCHES}\r\n${accept}\r\nTransfer-Encoding: identity\r\n\r\n${HELLO}`,
  'HTTP/1.0': (accept) => `${SWITCHES.replace('1.1', '1.0')}\r\n${accept}\r\n\r\n${HELLO}`,
  'a 100 before': (accept) => `HTTP/1.1 100 Continue\r\n\r\n${SWITCHES}\r\n${accept}\r\n\r\n${HELLO}`,
  'a hint with a body before': (accept) =>
    `HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n${SWITCHES}\r\n${accept}\r\n\r\n${HELLO}`,
  'a hint of HTTP/1.0': (accept) => `HTTP/1.0 103 Early Hints\r\n\r\n${SWITCHES}\r\n${accept}\r\n\r\n${HELLO}`,
  'an empty line before': (accept) => `\r\n${SWITCHES}\r\n${accept}\r\n\r\n${HELLO}`,
  'a CR before': (accept) => `\r${SWITCHES}\r\n${accept}\r\n\r\n${HELLO}`,
  'a NUL in its reason': (accept) => `${SWITCHES.replace('Switching', '\0')}\r\n${accept}\r\n\r\n${HELLO}`,
  'LF alone': (accept) => `${SWITCHES}\r\n${accept}\r\n\r\n${HELLO}`.replaceAll('\r\n', '\n'),
  'no end of hints': (accept) =>
    `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(65)}${SWITCHES}\r\n${accept}\r\n\r\n${HELLO}`,
};

for (const [what, answer] of Object.entries(UNCLEAN)) {
  t.test(`a 101 with ${what} opens nothing`, async (t) => {
    const { client, gateway, service } = await answered(t, answer);
    t.match(await client.ended, /^HTTP\/1\.1 502 (?![\s\S]*hello)/);
    if (!service.closed) await closed(service);
    t.match((await gateway.events()).at(-1)?.facts, { reason: 'upstream_unavailable' });
  });
}

t.test('hints before a 101 are passed over, and a length of 0 in it is nothing', async (t) => {
  const { client } = await answered(
    t,
    (accept) =>
      `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nSec-WebSocket-Accept: x\r\n\r\nHTTP/1.1 102 P\r\n\r\n${SWITCHES}\r\n${accept}\r\nContent-Length: 0\r\n\r\n${HELLO}`,
  );
  const text = await client.sees(/hello$/);
  t.match(text, /^HTTP\/1\.1 101 /);
  t.notMatch(text, /link|content-length/i);
});

t.test('subprotocols: what Kubernetes calls its own passes both ways; what is no name is refused', async (t) => {
  // kubectl port-forward offers both, and speaks SPDY in the binary messages of the first.
  const offered = ['SPDY/3.1+portforward.k8s.io', 'v4.channel.k8s.io'];
  const heads: string[] = [];
  const { url } = await bareService(t, (received, socket) => {
    const head = received.toString('latin1');
    heads.push(head);
    const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? '';
    socket.write(
      `${SWITCHES}\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\nSec-WebSocket-Protocol: ${offered[0]}\r\n\r\n`,
    );
  });
  const gateway = await startGateway(t, { web: { url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const asking = (names: string) => raw(t, gateway.port, opening(handle, `Sec-WebSocket-Protocol: ${names}\r\n`));
  const client = asking(offered.join(', '));
  await client.sees(/\r\n\r\n/);
  t.match(client.text(), /^HTTP\/1\.1 101 [\s\S]*sec-websocket-protocol: SPDY\/3\.1\+portforward\.k8s\.io\r\n/i);
  t.match(heads, [/sec-websocket-protocol: SPDY\/3\.1\+portforward\.k8s\.io, v4\.channel\.k8s\.io\r\n/i]);
  for (const names of ['', 'a,', 'a, a', 'a b', 'a;b', 'a"b"', 'a=b', 'a:b', '(a)', 'a\x80'])
    t.match(await asking(names).ended, /^HTTP\/1\.1 400 /, JSON.stringify(names));
  t.equal(heads.length, 1, 'of which the service hears nothing');
});

t.test('a 101 and what stands behind it are read the same, wherever they are split', async (t) => {
  const long = unmasked(0x82, Buffer.alloc(200_000, 'x'));
  for (const size of [1, 5, 1_000_000]) {
    const { url } = await bareService(t, async (received, socket) => {
      const key = /sec-websocket-key: (\S+)/i.exec(received.toString('latin1'))?.[1] ?? '';
      const head = `HTTP/1.1 103 E\r\n\r\n${SWITCHES}\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`;
      const bytes = Buffer.concat([Buffer.from(head), unmasked(0x81, 'hello')]);
      socket.setNoDelay(true);
      for (let at = 0; at < bytes.byteLength; at += size) {
        socket.write(Buffer.concat([bytes.subarray(at, at + size), ...(size > bytes.byteLength ? [long] : [])]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (size <= bytes.byteLength) socket.write(long);
    });
    const gateway = await startGateway(t, { web: { url, roles: ROLES } });
    const client = raw(t, gateway.port, opening(gateway.issue('web').handle));
    const given = Buffer.concat([unmasked(0x81, 'hello'), long]).toString('latin1');
    const behind = () => client.text().slice(client.text().indexOf('\r\n\r\n') + 4);
    await waitUntil('all has come', () => behind().length >= given.length);
    t.ok(behind() === given, `in pieces of ${size}`);
  }
});
