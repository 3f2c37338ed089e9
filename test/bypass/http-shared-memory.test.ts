import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import t from 'tap';
import { maskedFrame } from '../../src/http/websocket/masked-frame.js';
import { startEcho } from '../http/echo.js';
import { lockLedger, raw, startGateway, untilWaiting } from '../http/gateway.js';
import { resetConnection } from '../http/over-tls.js';
import { bareService, rawService } from '../http/raw-service.js';
import { unmasked } from '../http/ws-frames.js';
import { waitUntil } from '../support/wait.js';

/*
 * Connections of clients are read into memory that the next one is read into, too: whatever of it is needed later must have been
 * kept. Each client here sends another letter, and each waits for something while the others send theirs.
 */
const ROLES = { viewer: ['GET /**', 'POST /**', 'WS /**'] };
const LETTERS = [...'ghijklmn'];
const SIZE = 2 * 1024 * 1024;

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const head = (line: string, handle: string, ...more: readonly string[]) =>
  `${[`${line} HTTP/1.1`, 'Host: web.localhost', `Daypass-Handle: ${handle}`, ...more].join('\r\n')}\r\n\r\n`;

/** Of a letter and numbers that say where they stand. */
function bodyOf(letter: string): Buffer {
  return Buffer.from(Array.from({ length: SIZE / 8 }, (_, at) => letter + String(at).padStart(7, '0')).join(''));
}

/** Even ones by their length, odd ones in chunks of all sizes. */
function upload(handle: string, letter: string, at: number): Buffer[] {
  const path = `POST /${letter}`;
  const body = bodyOf(letter);
  if (at % 2 === 0) return [Buffer.from(head(path, handle, `Content-Length: ${SIZE}`)), body];
  const pieces: Buffer[] = [Buffer.from(head(path, handle, 'Transfer-Encoding: chunked'))];
  for (let from = 0, size = 1; from < SIZE; from += size) {
    size = Math.min(SIZE - from, (size * 7) % 200_003);
    pieces.push(Buffer.from(`${size.toString(16)}\r\n`), body.subarray(from, from + size), Buffer.from('\r\n'));
  }
  return [...pieces, Buffer.from('0\r\n\r\n')];
}

/** What a service was sent of the body of one request, as far as it came. */
function bodyIn(received: Buffer): Buffer {
  const start = received.indexOf('\r\n\r\n') + 4;
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(received.toString('latin1', 0, start)))
    return received.subarray(start);
  const pieces: Buffer[] = [];
  for (let at = start; at < received.length; ) {
    const data = received.indexOf('\r\n', at) + 2;
    const size = Number.parseInt(received.toString('latin1', at, data), 16);
    if (data === 1 || size === 0) break;
    pieces.push(received.subarray(data, data + size));
    at = data + size + 2;
  }
  return Buffer.concat(pieces);
}

t.test('A5: a body reaches its service as it was sent, however slowly that takes it', async (t) => {
  const received = new Map<Socket, { chunks: Buffer[]; bytes: number }>();
  const service = await bareService(t, (chunk, socket) => {
    const all = received.get(socket) ?? { chunks: [], bytes: 0 };
    received.set(socket, all);
    all.chunks.push(chunk);
    all.bytes += chunk.length;
    socket.pause();
    setTimeout(() => socket.resume(), 1 + ((chunk.length * 31) % 4));
  });
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } }, { mode: 'buffered' });
  const { handle } = gateway.issue('web');
  const clients = LETTERS.map((letter, at) => {
    const client = raw(t, gateway.port, '');
    for (const piece of upload(handle, letter, at)) client.socket.write(piece);
    return client;
  });
  // One leaves by a reset, another ends its side amid its body: what they had sent may be on its way still.
  await waitUntil('they are all at the service', () => received.size === LETTERS.length);
  if (clients[6] !== undefined) resetConnection(clients[6].socket);
  clients[7]?.socket.destroy();
  const heard = () => [...received.values()].map(({ chunks }) => bodyIn(Buffer.concat(chunks)));
  const isThere = (letter: string) => heard().some((body) => body[0] === letter.charCodeAt(0) && body.length === SIZE);
  await waitUntil('all others are there', () => LETTERS.slice(0, 6).every(isThere), { seconds: 30 });
  for (const body of heard()) {
    const letter = body.toString('latin1', 0, 1);
    t.ok(body.equals(bodyOf(letter).subarray(0, body.length)), `${body.length} bytes of ${letter}`);
  }
  for (const socket of service.sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await Promise.all(clients.slice(0, 6).map((client) => client.sees(/ 200 OK/)));
  const results = (await gateway.events()).filter(({ kind, facts }) => kind === 'result' && facts.status === '200');
  const digests = results.map(({ facts }) => facts.requestSha256);
  const expected = LETTERS.slice(0, 6).map((letter) => createHash('sha256').update(bodyOf(letter)).digest('hex'));
  t.same(digests.sort(), expected.sort(), 'and its record has the digest of what was sent');
});

t.test('A5: what waits at the gateway for its turn is what its own client sent', async (t) => {
  const answers: (() => void)[] = [];
  const echo = await startEcho(t, (req, res) => {
    req.resume();
    if (req.url === '/wait') answers.push(() => res.end());
    else req.once('end', () => res.end());
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  // Behind each pending answer waits a head, a body and the beginning of another head.
  const clients = LETTERS.map((letter) => {
    const path = letter.repeat(700);
    const body = letter.repeat(5_000);
    const rest = head(`GET /end-${path}`, handle);
    const waiting = head(`POST /${path}`, handle, `Content-Length: ${body.length}`) + body + rest.slice(0, 400);
    const client = raw(t, gateway.port, head('GET /wait', handle) + waiting);
    return { letter, path, body, client, rest: rest.slice(400) };
  });
  await waitUntil('all of them wait', () => answers.length === LETTERS.length);
  for (const { client, rest } of clients) client.socket.write(rest);
  await raw(
    t,
    gateway.port,
    head(`POST /noise`, handle, 'Content-Length: 60000', 'Connection: close') + '!'.repeat(60_000),
  ).ended;
  for (const answer of answers) answer();
  for (const { path, body } of clients) {
    const { body: came } = await echo.request(({ url }) => url === `/${path}`);
    await echo.request(({ url }) => url === `/end-${path}`);
    t.ok(
      echo.requests.some((one) => one.url === `/${path}` && one.body === body),
      `${path[0]}: ${came.length}`,
    );
  }
  t.notOk(echo.requests.some(({ url, body }) => url !== '/noise' && body.includes('!')));
});

t.test(
  'A5: a head, a body and a frame that come in pieces are not mixed with what others send meanwhile',
  async (t) => {
    const echo = await startEcho(t);
    const said = new Map<Socket, Buffer[]>();
    const socketService = await rawService(t);
    const gateway = await startGateway(t, {
      web: { url: echo.url, roles: ROLES },
      live: { url: socketService.url, roles: ROLES },
    });
    const { handle } = gateway.issue('web');
    const live = gateway.issue('live');
    const clients = LETTERS.map((letter) => {
      const body = letter.repeat(2_000);
      const text = head(`POST /${letter.repeat(500)}`, handle, 'Content-Length: 2000', 'Connection: close') + body;
      const opening = head('GET /live', live.handle, UPGRADE).replace('web.localhost', 'live.localhost');
      const frame = maskedFrame('text', Buffer.from(letter.repeat(3_000)));
      const opened = raw(t, gateway.port, opening);
      return { letter, body, text, frame, opened, client: raw(t, gateway.port, '') };
    });
    await Promise.all(clients.map(({ opened }) => opened.sees(/ 101 /)));
    for (const socket of socketService.sockets)
      socket.on('data', (chunk: Buffer) => said.set(socket, [...(said.get(socket) ?? []), chunk]));
    for (let from = 0; from < 2_700; from += 300) {
      for (const { client, text } of clients) {
        client.socket.write(text.slice(from, from + 300));
        await new Promise((resolve) => setImmediate(resolve));
      }
      for (const { opened, frame } of clients) {
        opened.socket.write(frame.subarray(from, from + 300));
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    for (const { client, opened, text, frame } of clients) {
      client.socket.write(text.slice(2_700));
      opened.socket.write(frame.subarray(2_700));
    }
    await Promise.all(clients.map(({ client }) => client.ended));
    for (const { letter, body } of clients) {
      t.ok(
        echo.requests.some((one) => one.url === `/${letter.repeat(500)}` && one.body === body),
        letter,
      );
    }
    await waitUntil(
      'all frames came',
      () => said.size === LETTERS.length && [...said.values()].every((all) => Buffer.concat(all).length >= 3_008),
    );
    const events = await gateway.events();
    const messages = events.filter(({ facts }) => facts.verb === 'message').map(({ payload }) => payload?.text);
    t.same(
      messages.sort(),
      LETTERS.map((letter) => letter.repeat(3_000)),
    );
  },
);

t.test('A5: frames that wait for the record of those before them are what their own client sent', async (t) => {
  const service = await rawService(t);
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const { handle } = gateway.issue('web');
  const clients = LETTERS.map((letter) => ({
    letter,
    client: raw(t, gateway.port, head('GET /live', handle, UPGRADE)),
  }));
  await Promise.all(clients.map(({ client }) => client.sees(/ 101 /)));
  // More at once than are decided in one turn: the rest of what was read waits for the next.
  const numbers = Array.from({ length: 300 }, (_, at) => String(at).padStart(40, '.'));
  for (const { letter, client } of clients) {
    client.socket.write(Buffer.concat(numbers.map((one) => maskedFrame('text', Buffer.from(letter + one)))));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const unlock = await lockLedger(gateway);
  const sizes = [1_000, 999, 998, 997];
  for (const size of sizes) {
    for (const { letter, client } of clients)
      client.socket.write(maskedFrame('text', Buffer.from(letter.repeat(size))));
    if (size === 1_000) await untilWaiting(gateway);
  }
  await unlock();
  const expected = LETTERS.flatMap((letter) => [
    ...numbers.map((one) => letter + one),
    ...sizes.map((size) => letter.repeat(size)),
  ]);
  const messages = async () =>
    (await gateway.events())
      .filter(({ facts }) => facts.verb === 'message')
      .map(({ payload }) => String(payload?.text));
  await waitUntil('all are recorded', async () => (await messages()).length >= expected.length);
  t.same((await messages()).sort(), expected.sort());
});

t.test('A5: what services say to clients that take their time reaches the one that it is for', async (t) => {
  const service = await rawService(t);
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } }, { mode: 'buffered' });
  const { handle } = gateway.issue('web');
  const clients = LETTERS.slice(4).map(() => raw(t, gateway.port, head('GET /live', handle, UPGRADE)));
  await Promise.all(clients.map(({ sees }) => sees(/ 101 .*\r\n\r\n$/s)));
  const came = clients.map(({ socket }) => {
    const chunks: Buffer[] = [];
    socket.pause().removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    return chunks;
  });
  const said = service.sockets.map((): Buffer[] => []);
  for (let round = 0; round < 400; round += 1) {
    for (const [at, socket] of service.sockets.entries()) {
      const frame = unmasked(0x81, LETTERS[at]?.repeat((round * 9_770) % 80_021));
      said[at]?.push(frame);
      // Now whole, now in two: what is left of a frame comes while others are read.
      const cut = round % 2 === 0 ? frame.length : frame.length >> 1;
      socket.write(frame.subarray(0, cut));
      setImmediate(() => socket.write(frame.subarray(cut)));
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const { socket } of clients) socket.resume();
  const sum = (all: readonly Buffer[][]) => all.flat().reduce((bytes, one) => bytes + one.length, 0);
  t.ok(sum(said) > 48 * 1024 * 1024, 'more than the system holds of it');
  await waitUntil('all came', () => sum(came) >= sum(said) || clients.some(({ socket }) => socket.closed));
  const digests = (all: readonly Buffer[][]) =>
    all.map((one) => createHash('sha256').update(Buffer.concat(one)).digest('hex')).sort();
  t.same(digests(came), digests(said));
});

t.test(
  'C: a body that waits at the gateway for its service costs no page of memory when its client leaves',
  async (t) => {
    const service = await bareService(t, (_chunk, socket) => socket.pause());
    const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } }, { mode: 'buffered' });
    const { handle } = gateway.issue('web');
    let made = 0;
    const Memory = globalThis.SharedArrayBuffer;
    t.teardown(() => Object.assign(globalThis, { SharedArrayBuffer: Memory }));
    const Counted = class extends Memory {
      constructor(bytes: number) {
        super(bytes);
        made += 1;
      }
    };
    Object.assign(globalThis, { SharedArrayBuffer: Counted });
    const times = 30;
    for (let at = 1; at <= times; at += 1) {
      const client = raw(t, gateway.port, head('POST /long', handle, 'Content-Length: 9000000'));
      client.socket.write(Buffer.alloc(9_000_000));
      await waitUntil('it is at the service', () => service.sockets.length === at);
      await new Promise((resolve) => setTimeout(resolve, 30));
      resetConnection(client.socket);
      service.sockets[at - 1]?.destroy();
    }
    t.ok(made < times, `${made} pages were made for ${times} bodies`);
  },
);
