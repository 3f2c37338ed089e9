import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { OutlivedWrites } from '../../src/http/service/outlived-writes.js';
import { type Issued, raw, startGateway, type TestGateway } from './gateway.js';
import type { Ending } from './hasty-service.js';
import { anyPair, overTls } from './over-tls.js';
import { bareService } from './raw-service.js';

const MB = 1024 * 1024;
const SIZES = [1, 3, 8];
const TRIES = 20;
const ROLES = { viewer: ['POST /upload'] };
const WITH_LENGTH = 'HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large';
const IN_CHUNKS =
  'HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ntoo large\r\n0\r\n\r\n';
const UNTIL_CLOSE = 'HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\ntoo large';

const ENDINGS: Readonly<Record<string, Ending>> = {
  'closes, with bytes unread': 'closes',
  'says its end, and reads no more': 'ends',
  'keeps its connection open, and reads no more': 'stays',
  'is a server of Node': 'is of Node',
  'resets its connection at once': 'resets',
};

async function hastyService(t: Test, ending: Ending, answer: string): Promise<{ url: string; requests: () => number }> {
  const pair = overTls.services ? await anyPair() : null;
  const thread = new Worker(new URL('./hasty-service.js', import.meta.url), { workerData: { ending, answer, pair } });
  t.teardown(() => thread.terminate());
  let requests = 0;
  const port = await new Promise<number>((resolve, reject) => {
    thread.once('error', reject);
    thread.on('message', (told) => {
      if (told === 'connection') requests += 1;
      else resolve(z.number().parse(told));
    });
  });
  return { url: `${pair === null ? 'http' : 'https'}://127.0.0.1:${port}`, requests: () => requests };
}

function upload({ handle }: Issued, size: number, framing: 'length' | 'chunks'): Buffer {
  const how = framing === 'length' ? `Content-Length: ${size}` : 'Transfer-Encoding: chunked';
  const head = `POST /upload HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\nDaypass-Handle: ${handle}\r\n${how}\r\n\r\n`;
  const body = Buffer.alloc(size, 'x');
  if (framing === 'length') return Buffer.concat([Buffer.from(head), body]);
  return Buffer.concat([Buffer.from(`${head}${size.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]);
}

/** @returns what the client was given, up to the end of that */
async function answered(t: Test, { port }: TestGateway, request: Buffer): Promise<string> {
  const client = raw(t, port, request);
  await Promise.race([client.ended, new Promise((resolve) => client.socket.once('end', resolve))]);
  client.socket.destroy();
  return client.text();
}

async function results(gateway: TestGateway): Promise<unknown[]> {
  return (await gateway.events()).filter(({ kind }) => kind === 'result').map(({ facts }) => facts);
}

/** Uploads of every size, framed either way. @returns how many were given what is expected, of how many */
async function tries(t: Test, gateway: TestGateway, expected: RegExp): Promise<{ given: number; of: number }> {
  const issued = gateway.issue('web');
  let [given, of] = [0, 0];
  for (const size of SIZES) {
    for (const framing of ['length', 'chunks'] as const) {
      const request = upload(issued, size * MB, framing);
      for (let tried = 0; tried < TRIES; tried++) {
        of += 1;
        if (expected.test(await answered(t, gateway, request))) given += 1;
      }
    }
  }
  return { given, of };
}

// What has arrived here is kept by the kernel, also after a reset, until it is read. What it may take away is taken on the
// service's side: an answer that has not left yet when the service closes with bytes unread. On loopback so small an answer
// has always left by then, so that every try is to be answered.
for (const [name, ending] of Object.entries(ENDINGS)) {
  t.test(`a client is given the early answer of a service that ${name}`, async (t) => {
    const service = await hastyService(t, ending, WITH_LENGTH);
    const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
    const { given, of } = await tries(
      t,
      gateway,
      /^HTTP\/1\.1 413 [\s\S]*\r\n\r\n(?:9\r\n)?too large(?:\r\n0\r\n\r\n)?$/,
    );
    t.equal(given, of);
    t.equal(service.requests(), of, 'each on a connection of its own, and once');
    const facts = await results(gateway);
    t.equal(facts.length, of);
    for (const fact of facts) t.match(fact, { status: '413' });
    t.notOk(facts.some((fact) => JSON.stringify(fact).includes('upstream_unavailable')));
  });
}

for (const [name, answer] of Object.entries({ 'in chunks': IN_CHUNKS, 'that its end ends': UNTIL_CLOSE })) {
  // Behind a mere end the write of the request is still under way, and stays so.
  for (const ending of ['closes', 'ends'] as const) {
    t.test(`an early answer ${name} is whole after a proper end (${ending})`, async (t) => {
      const service = await hastyService(t, ending, answer);
      const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
      const { given, of } = await tries(t, gateway, /^HTTP\/1\.1 413 [\s\S]*\r\n9\r\ntoo large\r\n0\r\n\r\n$/);
      t.equal(given, of);
    });
  }
}

t.test('an early answer that a reset cuts off is not told as whole', async (t) => {
  for (const answer of [WITH_LENGTH.slice(0, -1), IN_CHUNKS.slice(0, -2), UNTIL_CLOSE]) {
    const service = await hastyService(t, 'resets', answer);
    const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
    const whole = /^HTTP\/1\.1 413 [\s\S]*\r\n\r\n(?:too large$|[\s\S]*\r\n0\r\n\r\n$)/;
    const { given } = await tries(t, gateway, whole);
    t.equal(given, 0, 'none is told as whole');
    for (const fact of await results(gateway)) t.match(fact, { reason: 'upstream_unavailable' });
  }
});

t.test('a service that closes without a whole head is a 502, and is not asked again', async (t) => {
  for (const begun of ['', 'HTTP/1.1 413 Content Too La']) {
    const service = await hastyService(t, 'closes', begun);
    const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
    const { given, of } = await tries(t, gateway, /^HTTP\/1\.1 502 /);
    t.equal(given, of);
    t.equal(service.requests(), of);
  }
});

const closings: Readonly<Record<string, readonly [(socket: Socket) => void, boolean]>> = {
  'a reset': [(socket) => socket.write('said', () => socket.resetAndDestroy()), true],
  'a proper end': [(socket) => socket.end('said', () => socket.destroy()), false],
};

for (const [name, [close, isReset]] of Object.entries(closings)) {
  t.test(`what came before is read after a write that met ${name}, and the two ends are told apart`, async (t) => {
    const { port } = await bareService(t, (_, socket) => close(socket));
    const socket = connect(port, '127.0.0.1').pause();
    t.teardown(() => socket.destroy());
    socket.on('error', (error) => t.fail(String(error)));
    await once(socket, 'connect');
    let seen = '';
    const writes = await new Promise<OutlivedWrites>((resolve) => {
      const watched = new OutlivedWrites(socket, () => resolve(watched));
      const timer = setInterval(() => (watched.error === null ? socket.write('more') : clearInterval(timer)), 20);
      t.teardown(() => clearInterval(timer));
      socket.write('first');
    });
    t.equal(writes.isReset(), isReset);
    t.notOk(socket.destroyed);
    socket.on('data', (bytes: Buffer) => (seen += bytes.toString()));
    socket.resume();
    await once(socket, 'end');
    t.equal(seen, 'said');
  });
}
