import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Upstreams } from '../../src/http/service/upstream.js';
import { closed } from '../support/wait.js';
import { raw, startGateway } from './gateway.js';
import { bareService } from './raw-service.js';
import { SeenShares } from './seen-shares.js';

/** A connection that its user may leave, and what then has room. */
async function used(t: Test, most: number) {
  const { port } = await bareService(t, () => {});
  const socket: Socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  const shares = new SeenShares(most);
  return { socket, shares, upstreams: new Upstreams(undefined, shares) };
}

const NOTHING = { resting: 0, givers: 0 };

function taken({ resting, givers }: SeenShares) {
  return { resting, givers: givers.size };
}

t.test('a connection that was left takes room until it is closed', async (t) => {
  const { socket, shares, upstreams } = await used(t, 10);
  upstreams.left(socket);
  t.same(taken(shares), { resting: 1, givers: 1 });
  t.notOk(socket.destroyed, 'there is room for it');
  socket.destroy();
  await closed(socket);
  t.same(taken(shares), NOTHING);
  upstreams.left(socket);
  t.same(taken(shares), NOTHING, 'one that is closed takes none');
});

t.test('a connection that was left gives way to whoever comes, once', async (t) => {
  const { socket, shares, upstreams } = await used(t, 2);
  upstreams.left(socket);
  for (const person of ['alice', 'bob']) t.ok(shares.take(person));
  t.ok(socket.destroyed);
  await closed(socket);
  t.same(taken(shares), NOTHING);
});

t.test('a connection that is left where there is no room is closed at once', async (t) => {
  const { socket, shares, upstreams } = await used(t, 0);
  upstreams.left(socket);
  t.ok(socket.destroyed);
  await closed(socket);
  t.same(taken(shares), NOTHING);
});

t.test('what rests at a service is closed with its session, and with the policy that led there', async (t) => {
  const { url, sockets } = await bareService(t, (_, socket) =>
    socket.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=600\r\nContent-Length: 2\r\n\r\nok'),
  );
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /x'] } } });
  const { id, handle } = gateway.issue('web');
  const ask = () => raw(t, gateway.port, `GET /x HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n\r\n`);
  await ask().sees(/ok$/);
  await ask().sees(/ok$/);
  t.equal(sockets.length, 1, 'it rests in between');
  const first = closed(sockets[0] as Socket);
  gateway.reload('web', { url, roles: { viewer: ['GET /x', 'GET /y'] } });
  await ask().sees(/ok$/);
  await first;
  t.equal(sockets.length, 2);
  const second = closed(sockets[1] as Socket);
  gateway.revoke(id);
  await second;
});
