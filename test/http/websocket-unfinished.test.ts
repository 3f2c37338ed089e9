import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { closed, waitUntil } from '../support/wait.js';
import type { TestGateway } from './gateway.js';
import { opened } from './open-websocket.js';
import { closing, masked, unmasked } from './ws-frames.js';

/* Messages that somebody begins and does not end: what is held of them is not held for ever. */

const [TEXT, BINARY, BEGUN, MORE, LAST, PING, PONG] = [0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8a];
const ended = (socket: Socket) => (socket.readableEnded ? Promise.resolve() : once(socket, 'end'));
const resultOf = async (gateway: TestGateway) =>
  (await gateway.events()).find(({ kind, facts }) => kind === 'result' && facts.messages !== undefined)?.facts;

/** Sends again and again until the connection is over. */
function keepSaying(socket: Socket, bytes: Buffer): void {
  const timer = setInterval(() => socket.write(bytes), 40);
  socket.once('close', () => clearInterval(timer));
}

for (const [how, begun, then] of [
  ['half a frame', masked(BEGUN, 'half of it').subarray(0, 9), null],
  ['half a header', Buffer.from([TEXT]), null],
  ['a fragment, and pings behind it', masked(BEGUN, 'half of it'), masked(PING, 'here')],
  ['a fragment, and empty ones behind it', masked(BEGUN, 'half of it'), masked(MORE)],
] as const) {
  t.test(`a client that leaves a message unfinished is told so with 1008: ${how}`, async (t) => {
    const { client, service, gateway, seen, received } = await opened(t, 'strict', { messageTimeout: 300 });
    client.write(Buffer.concat([masked(TEXT, 'whole'), begun]));
    if (then !== null) keepSaying(client, then);
    await Promise.all([ended(client), ended(service)]);
    t.same(seen(), ['88 1008 a message was left unfinished']);
    t.equal(received()[0], '81 whole');
    t.notMatch(received().join(), /half/);
    t.match(await resultOf(gateway), { status: '1008', reason: 'unfinished', unsent: undefined });
    t.equal(gateway.lines.filter((line) => line.includes('"unfinished"')).length, 1, 'and it is told of once');
  });
}

t.test('what is held of a message that is left unfinished is there for others again', async (t) => {
  const most = 1024 * 1024;
  const open = await opened(t, 'strict', { messageTimeout: 3_000, messageMemory: most });
  const { client, gateway } = open;
  const large = masked(BINARY, Buffer.alloc(most - 1_000));
  client.write(large.subarray(0, -1));
  const other = await open.another('bob');
  await pause(500); // until it is held
  other.client.write(large); // of a smaller one the first would be crowded out
  await waitUntil('there is no room', () => {
    if (client.closed) throw new Error('too late');
    return other.seen().length > 0;
  });
  t.match(other.seen(), [/^88 1013 /]);
  await ended(client);
  const third = await open.another('carol');
  const before = third.service.bytesRead;
  third.client.write(Buffer.concat([large, masked(0x88, closing(1000))]));
  await waitUntil('all of it came', async () => third.service.bytesRead - before > large.length);
  t.match(await resultOf(gateway), { messages: 0 });
});

t.test('a message that comes slowly, but comes, passes', async (t) => {
  const { client, received } = await opened(t, 'strict', { messageTimeout: 1_500 });
  client.write(masked(BEGUN, 'a'));
  for (let piece = 0; piece < 15; piece += 1) {
    await pause(150);
    client.write(masked(MORE, 'b'));
  }
  client.write(masked(LAST, 'c'));
  await waitUntil('it came', async () => received().length > 0);
  t.same(received(), [`81 a${'b'.repeat(15)}c`]);
});

t.test('a client is not to blame while it is its service that does not read', async (t) => {
  const { client, service } = await opened(t, 'buffered', { messageTimeout: 300 });
  const before = service.bytesRead;
  service.pause();
  const large = masked(BINARY, Buffer.alloc(12 * 1024 * 1024));
  const begun = masked(BEGUN, 'begun');
  const last = masked(LAST, ' and ended');
  client.write(Buffer.concat([large, begun]));
  await pause(1_500);
  client.write(last);
  service.resume();
  const whole = large.length + masked(TEXT, 'begun and ended').length;
  await waitUntil('all of it came', async () => service.bytesRead - before >= whole);
  t.equal(service.bytesRead - before, whole);
});

for (const [how, said, seen] of [
  ['behind a frame', unmasked(BEGUN, 'half of it'), ['1 half of it', '88 1014 the service left a message unfinished']],
  ['amid a frame', unmasked(BEGUN, 'half of it').subarray(0, 6), ['1 half']],
] as const) {
  t.test(`a service that leaves a message unfinished ${how} is left`, async (t) => {
    const open = await opened(t, 'strict', { messageTimeout: 300 });
    const { client, service, gateway } = open;
    service.write(said);
    keepSaying(client, masked(PONG, 'here'));
    await Promise.all([ended(client), closed(service)]);
    t.same(open.seen(), seen);
    const status = seen.length === 2 ? '1014' : '1006';
    t.match(await resultOf(gateway), { status, reason: 'upstream_unavailable', fault: /unfinished/ });
    const begun = (await gateway.events()).find(({ facts }) => facts.from === 'service');
    t.match(begun, { facts: { whole: false }, payload: { text: /^half/ } });
  });
}

t.test('a service that pings amid a long message, or is not read, is waited for', async (t) => {
  const { client, service, seen } = await opened(t, 'buffered', { messageTimeout: 1_500 });
  service.write(unmasked(BEGUN, 'a'));
  for (let piece = 0; piece < 15; piece += 1) {
    await pause(150);
    service.write(unmasked(PING));
  }
  service.write(unmasked(LAST, 'b'));
  await waitUntil('it came', async () => seen().length === 17);
  client.pause();
  const before = client.bytesRead;
  const large = unmasked(BINARY, Buffer.alloc(16 * 1024 * 1024));
  service.write(large);
  await pause(3_000);
  client.resume();
  await waitUntil('all of it came', async () => client.bytesRead - before >= large.length);
});
