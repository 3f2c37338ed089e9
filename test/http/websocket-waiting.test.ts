import { once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { closed, waitUntil } from '../support/wait.js';
import { lockLedger, untilWaiting } from './gateway.js';
import { opened } from './open-websocket.js';
import { resetConnection } from './over-tls.js';
import { closing, masked, unmasked } from './ws-frames.js';

/*
 * Messages of a client that are recorded as allowed, and wait for that record, while something else happens: whoever may still
 * read is given them, and of those that did not go on the record says so.
 */

const [TEXT, CLOSE] = [0x81, 0x88];
type Open = Awaited<ReturnType<typeof opened>>;
const ended = (socket: Socket) => (socket.readableEnded ? Promise.resolve() : once(socket, 'end'));

/** A WebSocket of which `said` waits for its record. */
async function waiting(t: Test, said: readonly Buffer[]) {
  const open = await opened(t);
  await open.gateway.events();
  const unlock = await lockLedger(open.gateway);
  open.client.write(Buffer.concat(said));
  await untilWaiting(open.gateway);
  const result = async () =>
    (await open.gateway.events()).find(({ kind, facts }) => kind === 'result' && facts.messages !== undefined)?.facts;
  return { ...open, unlock, result };
}

const SAID = [masked(TEXT, 'one'), masked(TEXT, 'two'), masked(0x89, 'three')];
const HEARD = ['81 one', '81 two', '89 three'];

for (const [how, last, told, status] of [
  ['without a word', Buffer.alloc(0), ['88 1014 the service closed the connection'], '1014'],
  ['behind its close', unmasked(CLOSE, closing(1000, 'bye')), ['88 1000 bye'], '1000'],
] as const) {
  t.test(`a service that ends its side ${how} is given what was allowed before`, async (t) => {
    const { client, service, seen, received, unlock, result } = await waiting(t, SAID);
    service.end(last);
    await waitUntil('the end has come', async () => service.bytesWritten > 0 && service.writableFinished);
    client.write(masked(TEXT, 'too late'));
    await unlock();
    await Promise.all([ended(service), ended(client)]);
    t.same(received(), HEARD);
    t.same(seen(), told);
    t.match(await result(), { messages: 3, unsent: undefined, status });
  });
}

t.test('a service that ends its side first is given the close of its client, too', async (t) => {
  const { client, service, seen, received, unlock, result } = await waiting(t, [
    ...SAID,
    masked(CLOSE, closing(1000, 'enough')),
  ]);
  service.end();
  await waitUntil('the end has come', async () => service.writableFinished);
  await unlock();
  await Promise.all([ended(service), ended(client)]);
  t.same(received(), [...HEARD, '88 1000 enough']);
  t.same(seen(), ['88 1000']);
  t.match(await result(), { messages: 3, unsent: undefined, status: '1000' });
});

t.test('a service that ends its side is given no more than its record took in when the session is cut', async (t) => {
  const { gateway, id, client, service, seen, received, unlock, result } = await waiting(t, SAID);
  service.end();
  await waitUntil('the end has come', async () => service.writableFinished);
  gateway.revoke(id);
  await closed(client);
  await unlock();
  t.match(seen(), [/^88 4001 /]);
  t.same(received(), []);
  t.match(await result(), { messages: 3, unsent: 3, status: '4001', reason: 'revoked' });
});

for (const [how, breaks] of [
  ['breaks the protocol', (service: Socket) => service.write(unmasked(0x83, 'bad'))],
  ['resets its connection', (service: Socket) => resetConnection(service)],
] as const) {
  t.test(`a service that ${how} is given nothing more, and the record does not claim it was`, async (t) => {
    const { client, service, seen, received, unlock, result } = await waiting(t, SAID);
    breaks(service);
    await ended(client);
    await unlock();
    t.same(received(), []);
    t.match(seen(), [/^88 1014 /]);
    t.match(await result(), { messages: 3, unsent: 3, status: '1014' });
  });
}

/**
 * Resolves when nothing more goes onto a connection. Told by looks in a row and by no time, in all of which the process may have had
 * no core: between two looks whoever reads has a turn.
 */
async function takesNothing(socket: Socket): Promise<void> {
  let [before, same] = [-1, 0];
  const looks = () => {
    same = socket.writableLength === before ? same + 1 : 0;
    before = socket.writableLength;
    return same === 20;
  };
  await waitUntil('nothing more is read', looks, { every: 50 });
}

for (const [how, leave] of [
  ['leaves', ({ client }: Open) => client.end()],
  ['breaks the protocol', ({ client }: Open) => client.write(masked(0x83))],
  [
    'is no longer allowed it',
    ({ gateway, url }: Open) => gateway.reload('web', { url, roles: { viewer: ['GET /other'] } }),
  ],
] as const) {
  t.test(`what met a reset does not count as sent, though that is not read yet when the client ${how}`, async (t) => {
    const open = await opened(t, 'buffered');
    const { gateway, client, service } = open;
    client.pause(); // so that the service is not read, either
    service.write(unmasked(0x82, Buffer.alloc(24 * 1024 * 1024)));
    await takesNothing(service);
    resetConnection(service);
    await waitUntil('it is closed', async () => service.closed);
    client.write(masked(TEXT, 'one'));
    client.write(masked(TEXT, 'two'));
    await waitUntil('both are recorded', async () => {
      const events = await gateway.events();
      return events.filter(({ kind, facts }) => kind === 'action' && facts.verb === 'message').length === 2;
    });
    leave(open);
    const result = async () =>
      (await gateway.events()).find(({ kind, facts }) => kind === 'result' && facts.messages !== undefined);
    await waitUntil('it is over', async () => (await result()) !== undefined);
    t.match((await result())?.facts, { messages: 2, unconfirmed: 2 });
  });
}

t.test(
  'what waits when a policy is reloaded goes on where that still allows it, and else counts as not sent',
  async (t) => {
    const still = await waiting(t, SAID);
    still.gateway.reload('web', { url: still.url, roles: { viewer: ['WS /live', 'GET /other'] } });
    await still.unlock();
    await waitUntil('all has come', async () => still.received().length === 3);
    t.same(still.received(), HEARD);
    still.client.end();
    await ended(still.service);
    t.match(await still.result(), { messages: 3, unsent: undefined, reason: 'client_left' });

    const gone = await waiting(t, SAID);
    gone.gateway.reload('web', { url: gone.url, roles: { viewer: ['GET /other'] } });
    await ended(gone.client);
    await gone.unlock();
    await ended(gone.service);
    t.same(gone.received(), []);
    t.match(gone.seen(), [/^88 1008 /]);
    t.match(await gone.result(), { messages: 3, unsent: 3, reason: 'policy_gone' });
  },
);
