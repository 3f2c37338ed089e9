import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { closeFrame, textFrame } from '../../src/http/websocket/plain-frame.js';
import type { RecordedEvent } from '../../src/recording/event.js';
import { portOf } from '../support/ports.js';
import { waitUntil } from '../support/wait.js';
import {
  type GatewayOptions,
  HastyClock,
  lockLedger,
  type RoleBlock,
  startGateway,
  type TestGateway,
  untilWaiting,
} from './gateway.js';
import { dialWebSocket } from './over-tls.js';
import { rawService } from './raw-service.js';
import { unmasked } from './ws-frames.js';

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const fromService = (events: readonly RecordedEvent[]) =>
  events.filter(({ kind, facts }) => kind === 'result' && facts.verb === 'message');

/** A client whose service says bytes as they are given. */
async function opened(t: Test, role: Omit<RoleBlock, 'allow'> = {}, options: GatewayOptions = {}, forMs = 60_000) {
  const { url, sockets } = await rawService(t);
  const gateway = await startGateway(t, { web: { url, roles: { viewer: { allow: ['WS /live'], ...role } } } }, options);
  const { handle, id } = gateway.issue('web', { forMs });
  const headers = { 'daypass-handle': handle, host: 'web.localhost' };
  const another = async () => {
    const client = dialWebSocket(gateway.port, '/live', { headers });
    client.on('error', () => {});
    t.teardown(() => client.terminate());
    await once(client, 'open');
    return client;
  };
  const client = await another();
  const [service] = sockets;
  if (service === undefined) throw new Error('nothing reached the service');
  return { gateway, client, service, sockets, another, id };
}

/** Bytes in pieces of their own, so that messages are cut anywhere. */
async function dribble(socket: Socket, bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.byteLength; at += size) {
    socket.write(bytes.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

t.test('what was recorded before others came keeps no WebSocket waiting', async (t) => {
  const { client, service, another } = await opened(t);
  const got: number[] = [];
  client.on('message', (data) => got.push(String(data).length));
  // Not enough for the record to be hurried; beside 128 others it is too much.
  service.write(Buffer.concat([unmasked(0x81, 'x'.repeat(50_000)), unmasked(0x81, 'x'.repeat(50_000))]));
  await waitUntil('both came', () => got.length === 2);
  for (let at = 0; at < 128; at += 1) await another();
  const message = unmasked(0x81, 'a message in two pieces');
  await dribble(service, message, 10);
  await waitUntil('the message came', () => got.length === 3);
});

t.test('what a service says is recorded message by message: text redacted, the rest by size and digest', async (t) => {
  const { gateway, client, service } = await opened(t);
  const binary = Buffer.alloc(300, 0xff);
  const long = `${'é'.repeat(40_000)}`;
  const bytes = Buffer.concat([
    textFrame('{"token":"canary","n":1}'),
    unmasked(0x01, 'one'),
    unmasked(0x89, 'hi'),
    unmasked(0x89),
    unmasked(0x80, ' two'),
    unmasked(0x82, binary),
    unmasked(0x82, 'plain'),
    unmasked(0x81),
    unmasked(0x81, long),
    closeFrame(1000, 'done'),
  ]);
  const got: string[] = [];
  client.on('message', (data) => got.push(String(data)));
  await dribble(service, bytes, 1777);
  const [code] = await once(client, 'close');
  t.equal(code, 1000);
  t.equal(got.length, 6);
  const events = await gateway.events();
  const opening = events.find(({ facts }) => facts.verb === 'WS');
  t.same(
    fromService(events).map(({ facts, payload }) => [facts.frame, facts.bytes, facts.sha256, payload?.text]),
    [
      ['text', 24, undefined, '{"token":"[redacted]","n":1}'],
      ['ping', 2, undefined, 'hi'],
      ['text', 7, undefined, 'one two'],
      ['binary', 300, sha256(binary), undefined],
      ['binary', 5, sha256('plain'), 'plain'],
      ['text', 0, undefined, ''],
      ['text', 80_000, sha256(long), undefined],
      ['close', 4, undefined, 'done'],
    ],
  );
  t.match(fromService(events)[0]?.facts, { of: opening?.seq, on: ['/live'], from: 'service' });
  t.notMatch(JSON.stringify(events), /canary/);
});

t.test('of a message that the end cuts in two its beginning is recorded, before the receipt', async (t) => {
  const { gateway, client, service, id } = await opened(t);
  service.write(Buffer.from([0x01, 5, ...Buffer.from('half '), 0x00, 1, 0xc3, 0x89, 0]));
  await once(client, 'ping');
  gateway.revoke(id);
  await once(client, 'close');
  const events = await gateway.events();
  t.match(fromService(events), [{ facts: { frame: 'text', bytes: 6, whole: false }, payload: { text: 'half ' } }]);
  t.equal(events.at(-1)?.kind, 'close');
});

t.test('the service waits while the record does not keep up, and the session is cut when it stays so', async (t) => {
  for (const options of [{ mode: 'strict' }, { mode: 'buffered', bufferBytes: 1 }] as const) {
    const clock = new HastyClock();
    const { gateway, client, service } = await opened(t, {}, { ...options, clock });
    await gateway.events();
    const unlock = await lockLedger(gateway);
    const message = textFrame('x'.repeat(1_000));
    const closed = once(client, 'close');
    const total = 64 * 1024 * 1024;
    let got = 0;
    client.on('message', (data) => (got += String(data).length));
    const batch = Buffer.concat(Array.from({ length: 1_000 }, () => message));
    for (let sent = 0; sent < total; sent += batch.byteLength) service.write(batch);
    await untilWaiting(gateway);
    await pause(400); // while it waits for its record
    clock.ahead += 5_000;
    await closed;
    t.ok(got < 4 * 1024 * 1024, `${got} bytes passed unrecorded`);
    await unlock();
    t.match((await gateway.events()).at(-1), { kind: 'close', facts: { reason: 'recorder_stalled' } }, options.mode);
  }
});

t.test('a slow record delays a service, and nothing is lost', async (t) => {
  const { gateway, client, service } = await opened(t);
  const count = 5_000;
  let got = 0;
  const all = new Promise<void>((resolve) => client.on('message', () => ++got === count && resolve()));
  service.write(Buffer.concat(Array.from({ length: count }, (_, number) => textFrame(`${number} ${'x'.repeat(500)}`))));
  await all;
  const texts = fromService(await gateway.events()).map(({ payload }) => Number.parseInt(String(payload?.text), 10));
  t.same(
    texts,
    Array.from({ length: count }, (_, number) => number),
  );
});

t.test('a service that nests messages or continues none is told apart and ended', async (t) => {
  for (const bytes of [
    [0x80, 0],
    [0x01, 0, 0x81, 0],
  ]) {
    const { client, service } = await opened(t);
    service.write(Buffer.from(bytes));
    t.equal((await once(client, 'close'))[0], 1014);
  }
});

t.test('in-band warnings are said between messages, only where the role asks for them', async (t) => {
  const warnings = '{"ends":"{until}","left":{seconds}}';
  const clock = new HastyClock();
  /** As if the time were over until the last warning before the end. */
  const goOn = (of: TestGateway) => {
    clock.ahead += 50_500;
    of.gate.live.tick();
  };
  const { gateway, client, service, id } = await opened(t, { websocket: { warnings } }, { clock });
  const got: string[] = [];
  client.on('message', (data) => got.push(String(data)));
  const pinged = once(client, 'ping');
  service.write(Buffer.concat([unmasked(0x01, 'half'), unmasked(0x89)]));
  await pinged; // what stands before it has passed
  goOn(gateway);
  while (!(await gateway.events()).some(({ kind }) => kind === 'notice'))
    await new Promise((resolve) => setTimeout(resolve, 50));
  service.write(unmasked(0x80, ' way'));
  while (got.length < 2) await once(client, 'message');
  t.equal(got[0], 'half way', 'nothing was said within the message');
  const warned: unknown = JSON.parse(String(got[1]));
  t.match(warned, { ends: /^\d{4}-\d\d-\d\dT.*Z$/, left: Number });
  gateway.renew(id, 60_000);
  await once(client, 'message');
  t.match(got[2], /"left":(?:5[5-9]|60)\}/, 'a renewal is said too');
  const quiet = await opened(t, {}, { clock });
  quiet.client.on('message', (data) => t.fail(`said ${String(data)}`));
  goOn(quiet.gateway);
  while (!(await quiet.gateway.events()).some(({ kind }) => kind === 'notice'))
    await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(quiet.client.readyState, WebSocket.OPEN);
});

t.test('the largest message is the role’s to say', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data).length)));
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const url = `http://127.0.0.1:${portOf(server.address())}`;
  const limit = (size: string) => ({ allow: ['WS /live'], websocket: { max_message: size } });
  const gateway = await startGateway(t, { web: { url, roles: { viewer: limit('1KiB'), bulk: limit('3MiB') } } });
  const dial = async (role: string) => {
    const headers = { 'daypass-handle': gateway.issue('web', { role }).handle, host: 'web.localhost' };
    const socket = dialWebSocket(gateway.port, '/live', { headers });
    t.teardown(() => socket.terminate());
    await once(socket, 'open');
    return socket;
  };
  const small = await dial('viewer');
  small.send('x'.repeat(1024));
  t.equal(String((await once(small, 'message'))[0]), '1024');
  small.send('x'.repeat(1025));
  t.equal((await once(small, 'close'))[0], 1009);
  const large = await dial('bulk');
  const text = 'é'.repeat(1024 * 1024);
  large.send(text);
  t.equal(String((await once(large, 'message'))[0]), String(1024 * 1024));
  gateway.reload('web', { url, roles: { viewer: limit('1KiB'), bulk: limit('2KiB') } });
  large.send('x'.repeat(2049));
  t.equal((await once(large, 'close'))[0], 1009, 'a policy that allows less counts from the next message');
  const [long] = (await gateway.events()).filter(({ facts }) => facts.bytes === 2 * 1024 * 1024);
  t.match(long, { kind: 'action', facts: { sha256: sha256(text) }, payload: { whole: false } });
  t.equal(long?.payload?.text?.length, 32 * 1024 - 1, 'of a long one the beginning is recorded');
});

t.test('messages that come by the thousand are all passed on and recorded, in their order', async (t) => {
  const { gateway, client, service } = await opened(t, {}, { mode: 'buffered' });
  const heard: string[] = [];
  client.on('message', (data) => heard.push(String(data)));
  const said = Array.from({ length: 30_000 }, (_, number) => String(number));
  service.end(Buffer.concat([...said.map(textFrame), closeFrame(1000, 'bye')]));
  await once(client, 'close');
  t.same(heard, said);
  const recorded = fromService(await gateway.events()).filter(({ facts }) => facts.frame === 'text');
  t.same(
    recorded.map(({ payload }) => payload?.text),
    said,
  );
});

t.test('of the smallest messages no more are taken than the record keeps up with', async (t) => {
  for (const options of [{ mode: 'strict' }, { mode: 'buffered', bufferBytes: 1 }] as const) {
    const { gateway, client, service } = await opened(t, {}, { ...options, stallAfter: 600_000 });
    await gateway.events();
    const unlock = await lockLedger(gateway);
    let got = 0;
    client.on('message', () => (got += 1));
    service.write(Buffer.alloc(1_000_000, Buffer.from([0x81, 0])));
    await untilWaiting(gateway);
    await pause(1_000); // as long as more might pass
    t.ok(got < 10_000, `${options.mode}: ${got} passed unrecorded`);
    await unlock();
  }
});

t.test('many WebSockets of one session share what may wait for the record, and go on when it is written', async (t) => {
  const { gateway, client, sockets, another } = await opened(t, {}, { stallAfter: 600_000 });
  const clients = [client, ...(await Promise.all(Array.from({ length: 63 }, another)))];
  await gateway.events();
  const unlock = await lockLedger(gateway);
  const each = 1_000;
  let got = 0;
  for (const one of clients) one.on('message', () => (got += 1));
  t.equal(sockets.length, clients.length);
  for (const one of sockets) one.write(Buffer.concat(Array.from({ length: each }, () => textFrame('x'.repeat(1_000)))));
  await untilWaiting(gateway);
  await pause(1_000); // as long as more might pass
  t.ok(got < 16_000, `${got} messages stand before everybody else's record`);
  await unlock();
  await waitUntil('all of it came', () => got === clients.length * each);
});
