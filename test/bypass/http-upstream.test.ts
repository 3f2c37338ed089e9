import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { parseWebAddress } from '../../src/config/address.js';
import { PAGE_BYTES } from '../../src/http/memory/pages.js';
import type { Kept } from '../../src/http/memory/reading.js';
import { HttpUpstream } from '../../src/http/service/target.js';
import type { Dial } from '../../src/http/service/upstream-connection.js';
import { UpstreamPool } from '../../src/http/service/upstream-pool.js';
import { acceptFor } from '../../src/http/websocket/handshake.js';
import { Metrics } from '../../src/metrics.js';
import { raw, startGateway } from '../http/gateway.js';
import { dialWebSocket } from '../http/over-tls.js';
import { bareService } from '../http/raw-service.js';
import { unmasked } from '../http/ws-frames.js';
import { selfSigned } from '../support/certificate.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ROLES = { viewer: ['GET /**', 'WS /**'] };

/** A service that answers each connection's bytes with whatever bytes it likes. */
function hostile(t: Test, answer: (head: string, socket: Socket) => void) {
  return bareService(t, (received, socket) => answer(received.toString('latin1'), socket));
}

const keyOf = (head: string) => /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? '';
const upgrade = (handle: string, extra = '') =>
  `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${extra}\r\n`;

t.test('A7: nothing is tunnelled before a valid 101, and the wish for extensions goes no further', async (t) => {
  const line = 'HTTP/1.1 101 Switching Protocols\r\n';
  const answers: Readonly<Record<string, (accept: string) => string>> = {
    'a wrong accept': () =>
      `${line}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(KEY)}\r\n\r\n`,
    'no accept': () => `${line}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
    'another protocol': (accept) =>
      `${line}Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    'no upgrade': (accept) => `${line}Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    'no connection': (accept) => `${line}Upgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    'an extension': (accept) =>
      `${line}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n`,
    'a subprotocol nobody offered': (accept) =>
      `${line}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: evil\r\n\r\n`,
    'no HTTP': () => 'hello there\r\n\r\n',
  };
  for (const [name, answer] of Object.entries(answers)) {
    let extensions = true;
    const service = await hostile(t, (head, socket) => {
      extensions = /sec-websocket-extensions/i.test(head);
      socket.write(`${answer(acceptFor(keyOf(head)))}tunnelled`);
    });
    const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
    const { handle } = gateway.issue('web');
    const text = await raw(t, gateway.port, upgrade(handle, 'Sec-WebSocket-Extensions: permessage-deflate\r\n')).ended;
    t.match(text, /^HTTP\/1\.1 502 /, name);
    t.notMatch(text, /tunnelled/);
    t.notOk(extensions);
    await gateway.stop();
  }
});

t.test('A7: an answer other than 101 is passed on plainly, and what follows it is not', async (t) => {
  const service = await hostile(t, (_head, socket) =>
    socket.write('HTTP/1.1 403 Nope\r\nContent-Length: 2\r\nDaypass-Expires: never\r\nX-Own: 1\r\n\r\nnotunnelled'),
  );
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const client = raw(t, gateway.port, upgrade(gateway.issue('web').handle));
  const text = await client.ended;
  t.match(text, /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*X-Own: 1[\s\S]*\r\n\r\nno$/);
  t.notMatch(text, /never/);
});

t.test('a service that answers nonsense to a request is 502, and the next request is served', async (t) => {
  const answers: Readonly<Record<string, string>> = {
    '/switch': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ntunnelled',
    '/nonsense': 'nonsense\r\n\r\n',
    '/two-lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\na',
    '/both': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
    '/control': 'HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 1\r\n\r\na',
    '/large': `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(40_000)}\r\nContent-Length: 1\r\n\r\na`,
    '/continue': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    '/hints': 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    '/good': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsurplus',
  };
  const service = await hostile(t, (head, socket) => socket.write(answers[/^GET (\S+)/.exec(head)?.[1] ?? ''] ?? ''));
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const get = (path: string) =>
    raw(
      t,
      gateway.port,
      `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`,
    ).ended;
  for (const path of ['/switch', '/nonsense', '/two-lengths', '/both', '/control', '/large', '/continue']) {
    const text = await get(path);
    t.match(text, /^HTTP\/1\.1 502 /, path);
    t.notMatch(text, /tunnelled/);
  }
  t.match(await get('/hints'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nok$/);
  t.match(await get('/good'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nok$/);
  t.match(await get('/good'), /\r\n\r\nok$/, 'the surplus of one answer is not the next one');
});

t.test('a download and a WebSocket move at the pace of a slow client', async (t) => {
  const chunk = Buffer.alloc(64 * 1024, 0x61);
  const frame = unmasked(0x82, chunk);
  let under = { sent: 0 };
  const pump = (socket: Socket, piece: Buffer) => {
    const own = under;
    const more = () => {
      while (own.sent < 2_000) {
        own.sent += 1;
        if (!socket.write(piece)) return;
      }
    };
    socket.on('drain', more);
    more();
  };
  const service = await hostile(t, (head, socket) => {
    const key = keyOf(head);
    if (!head.startsWith('GET ')) return;
    if (key === '') socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${2_000 * chunk.length}\r\n\r\n`);
    else
      socket.write(
        `HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`,
      );
    pump(socket, key === '' ? chunk : frame);
  });
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const stalled = async () => {
    for (let last = -1; last !== under.sent; ) {
      last = under.sent;
      for (let turn = 0; turn < 2_000; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
    return under.sent;
  };
  const client = raw(t, gateway.port, `GET /big HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n\r\n`);
  await client.sees(/200 OK/);
  client.socket.pause();
  t.ok((await stalled()) < 1_000, `the service was stopped after ${under.sent} of 2000 pieces`);
  client.socket.destroy();
  under = { sent: 0 };
  const socket = dialWebSocket(gateway.port, '/live', {
    headers: { host: 'web.localhost', 'daypass-handle': handle },
  });
  socket.on('error', () => {});
  t.teardown(() => socket.terminate());
  await once(socket, 'open');
  socket.pause();
  t.ok((await stalled()) < 1_000, `and again after ${under.sent}`);
  let messages = 0;
  const all = new Promise<void>((resolve) => {
    socket.on('message', () => {
      messages += 1;
      if (messages === 2_000) resolve();
    });
  });
  socket.resume();
  await all;
  t.equal(messages, 2_000, 'all of it arrives when the client reads on');
});

t.test('C: pieces that wait for a client that does not read take no page each', async (t) => {
  for (const [size, pieces] of [
    [1, 200],
    [9_000, 40],
    [17_000, 40],
  ] as const) {
    const total = size * pieces;
    const service = await hostile(t, (_head, socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n${'x'.repeat(size)}`),
    );
    const url = parseWebAddress(service.url);
    if (url === undefined) throw new Error('no address');
    const port = Number(new URL(url.origin).port);
    const dial: Dial = (onread) => ({ socket: connect({ host: '127.0.0.1', port, onread }), ready: 'connect' });
    const limits = { connect: 5_000, response: 5_000 };
    const addressed = new HttpUpstream(url, []).addressedAs('');
    const pool = new UpstreamPool(dial, new Metrics().service('web', 'http'), limits, 500);
    t.teardown(() => pool.destroy());
    const kept: Kept[] = [];
    let read = 0;
    await new Promise<void>((resolve, reject) => {
      const sent = pool.send(
        { method: 'GET', path: '/', addressed, lines: '', body: null },
        {
          onStart: () => true,
          onHead: () => {},
          onBody: (bytes, isLast) => {
            kept.push(sent.keep(bytes));
            read += bytes.length;
            if (isLast) resolve();
            else if (read % size === 0) setImmediate(() => service.sockets[0]?.write(Buffer.alloc(size, number())));
            return true;
          },
          onPause: () => {},
          onError: reject,
        },
      );
      const number = () => 'abcdefghijklmnop'.charAt((read / size) % 16);
    });
    const expected = Array.from({ length: pieces }, (_, at) => (at === 0 ? 'x' : 'abcdefghijklmnop'.charAt(at % 16)));
    const all = expected.map((letter) => letter.repeat(size)).join('');
    const views = kept.map(({ bytes }) => bytes);
    t.ok(Buffer.concat(views).toString() === all, 'nothing that waits is written over');
    const held = new Set(views.map(({ buffer }) => buffer));
    const bytes = [...held].reduce((sum, { byteLength }) => sum + byteLength, 0);
    t.ok(bytes < 4 * (total + PAGE_BYTES), `${bytes} bytes are held for ${total}`);
  }
});

t.test('whoever cannot take an answer is told that it failed, at its last bytes too', async (t) => {
  for (const refused of ['first', 'last']) {
    const service = await hostile(t, (_head, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1');
      setTimeout(() => socket.write('2'), 20);
    });
    const url = parseWebAddress(service.url);
    if (url === undefined) throw new Error('no address');
    const dial: Dial = (onread) => ({
      socket: connect({ host: '127.0.0.1', port: service.port, onread }),
      ready: 'connect',
    });
    const limits = { connect: 5_000, response: 5_000 };
    const addressed = new HttpUpstream(url, []).addressedAs('');
    const pool = new UpstreamPool(dial, new Metrics().service('web', 'http'), limits, 500);
    t.teardown(() => pool.destroy());
    const onBody = (_bytes: Buffer, isLast: boolean) => {
      if (isLast === (refused === 'last')) throw new Error('no digest');
      return true;
    };
    const failure = await new Promise<Error>((resolve) => {
      const heard = { onStart: () => true, onHead: () => {}, onPause: () => {}, onError: resolve };
      pool.send({ method: 'GET', path: '/', addressed, lines: '', body: null }, { ...heard, onBody });
    });
    t.equal(failure.message, 'no digest', refused);
  }
});

t.test('a connection whose answer ended while its client was not reading is read again for the next', async (t) => {
  const pair = await selfSigned();
  const size = 40_000; // several TLS records, of which those that came together are told of at once
  const service = createTlsServer(pair, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`));
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  t.teardown(() => service.close());
  const { port } = service.address() as AddressInfo;
  const url = parseWebAddress(`https://localhost:${port}`);
  if (url === undefined) throw new Error('no address');
  let dials = 0;
  const dial: Dial = (onread) => {
    dials += 1;
    return { socket: connectTls({ host: '127.0.0.1', port, ...{ ca: pair.cert, onread } }), ready: 'secureConnect' };
  };
  const limits = { connect: 5_000, response: 2_000 };
  const addressed = new HttpUpstream(url, []).addressedAs('');
  const pool = new UpstreamPool(dial, new Metrics().service('web', 'http'), limits, 500);
  const rounds = setInterval(() => pool.look(), 500);
  t.teardown(() => {
    clearInterval(rounds);
    pool.destroy();
  });
  const ask = () =>
    new Promise<number>((resolve, reject) => {
      let read = 0;
      const onBody = (bytes: Buffer, isLast: boolean) => {
        read += bytes.length;
        if (isLast) setImmediate(() => resolve(read));
        else setTimeout(() => sent.resume(), 20);
        return false;
      };
      const heard = { onStart: () => true, onHead: () => {}, onPause: () => {}, onError: reject };
      const sent = pool.send({ method: 'GET', path: '/', addressed, lines: '', body: null }, { ...heard, onBody });
    });
  for (let times = 0; times < 5; times += 1) t.equal(await ask(), size, 'answered, and not only after a limit');
  t.equal(dials, 1);
});
