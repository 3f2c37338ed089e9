import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { closed, waitUntil } from '../support/wait.js';
import { lockLedger, untilWaiting } from './gateway.js';
import { opened } from './open-websocket.js';
import { resetConnection } from './over-tls.js';
import { closing, masked, unmasked } from './ws-frames.js';

/* How WebSockets end, byte for byte, on both sides: by a close frame, by the end of a connection, by what is no frame. */

const MODES = ['strict', 'buffered'] as const;
const [TEXT, BINARY, CLOSE] = [0x81, 0x82, 0x88];

const ended = (socket: Socket) => (socket.readableEnded ? Promise.resolve() : once(socket, 'end'));

for (const mode of MODES) {
  t.test(
    `${mode}: what a client says before it ends its side reaches the service, and then the end does`,
    async (t) => {
      const { client, service, received, gateway } = await opened(t, mode);
      const left = closed(client);
      client.end(masked(TEXT, 'last words'));
      await ended(service);
      t.same(received(), ['81 last words']);
      await left;
      const events = await gateway.events();
      t.match(events.findLast(({ kind }) => kind === 'result')?.facts, {
        status: '1006',
        reason: 'client_left',
        messages: 1,
      });
    },
  );

  t.test(`${mode}: a client that says its close and ends its side at once has the service's close`, async (t) => {
    const { client, service, received, seen } = await opened(t, mode);
    client.end(Buffer.concat([masked(TEXT, 'last'), masked(CLOSE, closing(1000, 'why'))]));
    await waitUntil('the close came', async () => received().length === 2);
    t.same(received(), ['81 last', '88 1000 why']);
    service.end(Buffer.concat([unmasked(TEXT, 'bye'), unmasked(CLOSE, closing(1000, 'why'))]));
    await closed(client);
    t.same(seen(), ['81 bye', '88 1000 why']);
  });

  t.test(`${mode}: a client's answer to the service's close reaches it, though its end comes with it`, async (t) => {
    const { client, service, received, seen } = await opened(t, mode);
    service.write(unmasked(CLOSE, closing(1000, 'done')));
    await waitUntil('the close came', async () => seen().length === 1);
    client.end(masked(CLOSE, closing(1000, 'done')));
    await waitUntil('the answer came', async () => received().length === 1);
    t.same(received(), ['88 1000 done']);
    service.end();
    await closed(client);
    t.same(seen(), ['88 1000 done']);
  });

  t.test(`${mode}: what came before a frame that is none goes on, from both sides`, async (t) => {
    const { client, service, received, seen } = await opened(t, mode);
    client.write(Buffer.concat([masked(TEXT, 'good one'), masked(0x83, 'bad')]));
    await ended(service);
    t.same(received(), ['81 good one']);
    await ended(client);
    t.same(seen(), ['88 1002 a reserved opcode']);
    const other = await opened(t, mode);
    other.service.write(Buffer.concat([unmasked(TEXT, 'good'), unmasked(0x83, 'bad')]));
    await ended(other.client);
    t.same(other.seen(), ['81 good', '88 1014 the service does not speak WebSocket']);
  });

  t.test(`${mode}: what a service says behind its close frame is nobody's`, async (t) => {
    for (const behind of [unmasked(TEXT, 'late'), unmasked(CLOSE), unmasked(0x83), Buffer.from('\r\n')]) {
      const { client, service, seen } = await opened(t, mode);
      service.end(Buffer.concat([unmasked(CLOSE, closing(1000)), behind]));
      await ended(client);
      t.same(seen(), ['88 1000']);
    }
  });
}

t.test('a client that says close is answered, if not by its service', async (t) => {
  for (const [said, answered] of [
    [closing(1000, 'why'), '88 1000'],
    [Buffer.alloc(0), '88'],
  ] as const) {
    const { client, service, received, seen } = await opened(t);
    client.write(masked(CLOSE, said));
    await waitUntil('the close came', async () => received().length === 1);
    service.destroy();
    await ended(client);
    t.same(seen(), [answered]);
  }
});

t.test('a service that still speaks behind the close of its client is heard to its end', async (t) => {
  const { client, service, received, seen } = await opened(t);
  client.write(masked(CLOSE, closing(1000)));
  await waitUntil('the close came', async () => received().length === 1);
  service.write(unmasked(0x01, 'a'));
  for (let piece = 0; piece < 4; piece += 1) {
    await pause(1_500);
    service.write(unmasked(0x00, 'b'));
  }
  service.end(Buffer.concat([unmasked(0x80, 'c'), unmasked(CLOSE, closing(1000))]));
  await ended(client);
  t.same(seen(), ['1 a', '0 b', '0 b', '0 b', '0 b', '80 c', '88 1000']);
});

t.test('nothing stands behind a close frame: no second one, whatever else goes wrong', async (t) => {
  for (const wrong of [
    masked(0x83, 'bad'),
    masked(CLOSE, 'x'),
    Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
  ]) {
    const { client, service, seen } = await opened(t);
    service.write(unmasked(CLOSE, closing(1001)));
    await waitUntil('the close came', async () => seen().length === 1);
    client.write(wrong);
    await ended(client);
    t.same(seen(), ['88 1001']);
  }
  const { gateway, id, client, service, seen } = await opened(t);
  service.write(unmasked(CLOSE, closing(1001)));
  await waitUntil('the close came', async () => seen().length === 1);
  gateway.revoke(id);
  await closed(client);
  t.same(seen(), ['88 1001']);
});

t.test('a close frame that nobody may send is not passed on', async (t) => {
  for (const bad of [closing(1005), closing(5000), Buffer.from([3, 232, 0xc0, 0xaf]), Buffer.from([3])]) {
    const { client, service, seen } = await opened(t);
    service.write(Buffer.concat([unmasked(TEXT, 'x'), unmasked(CLOSE, bad)]));
    await ended(client);
    t.same(seen(), ['81 x', '88 1014 the service does not speak WebSocket']);
  }
});

t.test('a client whose frames wait for their record when its service leaves is not forgotten', async (t) => {
  const { gateway, client, service } = await opened(t);
  const unlock = await lockLedger(gateway);
  client.write(Buffer.concat(Array.from({ length: 300 }, (_, number) => masked(TEXT, `message ${number}`))));
  await untilWaiting(gateway);
  resetConnection(service);
  await ended(client); // it was told, and is read
  client.end('what nobody reads any more'.repeat(1_000));
  await closed(client);
  await unlock();
  await waitUntil('its session knows it no more', async () =>
    gateway.gate.live.registry.all().every((one) => one.connections === 0),
  );
});

for (const [how, last, seconds] of [
  ['the end of its client', Buffer.alloc(0), 1],
  ['a broken frame', masked(0x83), 1],
  ['the close of its client', masked(CLOSE, closing(1000)), 6],
] as const) {
  t.test(`a service that takes its time is given all that was allowed before ${how}`, async (t) => {
    const { client, service } = await opened(t, 'buffered');
    const before = service.bytesRead;
    service.pause();
    const sent = Buffer.concat([masked(BINARY, Buffer.alloc(12 * 1024 * 1024)), masked(TEXT, 'last'), last]);
    client.write(sent);
    if (last.length === 0) client.end();
    await pause(seconds * 1_000);
    const goes = closed(service);
    service.on('end', () => service.end());
    service.resume();
    await goes;
    t.equal(service.bytesRead - before, sent.length - (last[0] === 0x83 ? last.length : 0));
  });
}

t.test('a service is not taken for silent while its client does not read', async (t) => {
  const { client, service, received } = await opened(t, 'buffered');
  client.write(masked(CLOSE, closing(1000)));
  await waitUntil('the close came', async () => received().length === 1);
  client.pause();
  const before = client.bytesRead;
  const said = unmasked(BINARY, Buffer.alloc(16 * 1024 * 1024));
  service.end(Buffer.concat([said, unmasked(CLOSE, closing(1000))]));
  await pause(6_000);
  client.resume();
  await ended(client);
  t.equal(client.bytesRead - before, said.length + 4);
});

t.test('what a service says behind both closes does not keep it', async (t) => {
  const { client, service, received } = await opened(t);
  client.write(masked(CLOSE, closing(1000)));
  await waitUntil('the close came', async () => received().length === 1);
  service.write(unmasked(CLOSE, closing(1000)));
  const timer = setInterval(() => service.write('more'), 500);
  t.teardown(() => clearInterval(timer));
  await Promise.all([closed(service), ended(client)]);
});

for (const mode of MODES) {
  t.test(`${mode}: all that was read of a client counts, also when it ends the WebSocket`, async (t) => {
    const { client, gateway } = await opened(t, mode);
    const sent = Buffer.concat([masked(TEXT, 'good one'), masked(0x83, 'bad')]);
    client.write(sent);
    await closed(client);
    const facts = (await gateway.events()).find((event) => event.facts.messages !== undefined)?.facts;
    t.match(facts, { bytesIn: sent.length, messages: 1, status: '1002' });
  });
}

t.test('what ends a WebSocket is told once, and of whose fault it was', async (t) => {
  const { gateway, client, service } = await opened(t);
  const unlock = await lockLedger(gateway);
  client.write(Buffer.concat([masked(TEXT, 'waits'), masked(0x83)]));
  await untilWaiting(gateway);
  resetConnection(service);
  await ended(client);
  await unlock();
  const result = (await gateway.events()).find((event) => event.facts.messages !== undefined);
  t.match(result?.facts, { status: '1002', reason: 'protocol_error' });
  t.equal(gateway.lines.filter((line) => line.includes('protocol_error')).length, 1);
  t.notOk(gateway.lines.some((line) => line.includes('upstream_closed')));
});

t.test('a client that does not close is nothing under way, and goes with its session', async (t) => {
  const { gateway, id, client, service, seen } = await opened(t);
  service.write(unmasked(CLOSE, closing(1000)));
  await waitUntil('the close came', async () => seen().length === 1);
  client.allowHalfOpen = true; // so it does not end its side
  service.end();
  const [session] = gateway.gate.live.registry.all();
  await waitUntil('nothing is under way', async () => session?.connections === 0);
  t.equal(session?.isAlone, false);
  gateway.revoke(id);
  await waitUntil('its session is over', async () => gateway.gate.live.registry.all().length === 0);
  const gone = closed(client);
  client.write(masked(TEXT, 'is anybody there?')); // whoever has read to the end notices a reset when it writes
  await gone;
});

t.test('what a client was allowed to say reaches the service, though its connection is reset meanwhile', async (t) => {
  for (const last of [Buffer.alloc(0), masked(CLOSE, closing(1000, 'why'))]) {
    const { gateway, client, service, received } = await opened(t);
    const unlock = await lockLedger(gateway);
    client.write(Buffer.concat([masked(TEXT, 'last words'), last]));
    await untilWaiting(gateway);
    resetConnection(client);
    service.write(unmasked(TEXT, 'is anybody there?'));
    await pause(100);
    await unlock();
    await ended(service);
    t.same(received(), last.length === 0 ? ['81 last words'] : ['81 last words', '88 1000 why']);
    const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
    t.equal(results.length, 1, 'what nobody was given was not said');
    t.match(results[0]?.facts, { reason: 'client_left', messages: 1, bytesOut: 0 });
  }
});

for (const [how, close] of [
  ['closes', (service: Socket) => service.destroy()],
  ['resets its connection', resetConnection],
] as const) {
  t.test(`a client that talks on is given the last words of a service that ${how}, with bytes unread`, async (t) => {
    const { gateway, client, service } = await opened(t, 'buffered');
    const given: Buffer[] = [];
    client.on('data', (chunk: Buffer) => given.push(chunk));
    const talking = setInterval(() => client.write(masked(BINARY, Buffer.alloc(256 * 1024))), 1);
    t.teardown(() => clearInterval(talking));
    service.pause();
    await pause(30);
    const goes = closed(service);
    service.write(
      Buffer.concat([unmasked(BINARY, Buffer.alloc(60_000)), unmasked(CLOSE, closing(4000, 'enough'))]),
      () => close(service),
    );
    await goes;
    await ended(client);
    clearInterval(talking);
    client.destroy();
    t.ok(
      Buffer.concat(given)
        .subarray(-10)
        .equals(unmasked(CLOSE, closing(4000, 'enough'))),
    );
    const [session] = gateway.gate.live.registry.all();
    await waitUntil('both connections are closed', async () => session?.isAlone === true);
    const results = (await gateway.events()).filter((event) => event.facts.messages !== undefined);
    t.match(results, [{ facts: { status: '4000', bytesOut: 60_014 } }]);
  });
}

t.test('the code of each side’s close is in the record, the client’s before it goes on', async (t) => {
  const { gateway, client, service, seen, received } = await opened(t);
  const unlock = await lockLedger(gateway);
  client.write(masked(CLOSE, closing(4200, '')));
  await untilWaiting(gateway);
  t.same(received(), []);
  await unlock();
  await waitUntil('it goes on', async () => received().length === 1);
  t.same(received(), ['88 4200']);
  service.end(unmasked(CLOSE, closing(1000, 'fine')));
  await closed(client);
  t.same(seen(), ['88 1000 fine']);
  const closes = (await gateway.events()).filter(({ facts }) => facts.frame === 'close');
  t.same(
    closes.map(({ kind, facts, payload }) => [kind, facts.code, facts.bytes, payload?.text]),
    [
      ['action', 4200, 0, ''],
      ['result', 1000, 4, 'fine'],
    ],
  );
});
