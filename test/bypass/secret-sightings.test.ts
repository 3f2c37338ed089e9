import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { RecordedEvent } from '../../src/recording/event.js';
import { raw, startGateway } from '../http/gateway.js';
import { facing, honest, READY } from '../postgres/hostile.js';
import { UPSTREAM } from '../postgres/role.js';
import { readEvents } from '../support/gateway.js';
import { portOf } from '../support/ports.js';
import { cstring, front, int16, int32, loggedIn, query, terminate } from '../support/wire.js';

/* An injected secret that its service gives away is named for replacement, however the bytes of it arrive. */

const passed = () => new Promise((resolve) => setTimeout(resolve, 3));
const row = (text: string) => front('D', int16(1), int32(text.length), Buffer.from(text));
const DONE = Buffer.concat([front('C', cstring('SELECT 2')), READY]);

t.test('D27: a password is seen wherever the bytes of two rows are cut, and its bytes are in no record', async (t) => {
  const rows = Buffer.concat([row('x'), row(`<${UPSTREAM.password}>`)]);
  let cut = 0;
  const server = honest(async (server) => {
    server.send(rows.subarray(0, cut));
    await passed();
    server.send(rows.subarray(cut), DONE);
  });
  const { gatewayPort, handle, database, recorder, gate, lines } = await facing(t, server);
  for (; cut <= rows.length; cut += 1) {
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(query('select 1'));
    await client.until();
    client.send(terminate());
    await client.closed;
  }
  gate.live.cutAll('shutdown');
  await recorder.drain(5_000);
  const events = await readEvents(database);
  const seen = events.filter(({ kind, facts }) => kind === 'notice' && facts.about === 'secret_seen');
  t.equal(new Set(seen.map(({ session }) => session)).size, rows.length + 1, 'in every session');
  t.equal(seen.length, rows.length + 1, 'and once');
  for (const { facts, payload } of seen)
    t.same([facts, payload], [{ about: 'secret_seen', secret: 'env UPSTREAM_PASSWORD' }, null]);
  const told = lines.filter(({ msg }) => /injected towards it/.test(String(msg)));
  t.equal(told.length, rows.length + 1);
  t.notMatch(JSON.stringify(told.map(({ msg, ...facts }) => Object.values(facts))), new RegExp(UPSTREAM.password));
});

/** A service that answers every connection's first request with these bytes, cut in two. */
async function cutting(t: Test, bytes: Buffer, cut: () => number) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.setNoDelay(true).on('error', () => {});
    socket.once('data', async () => {
      socket.write(bytes.subarray(0, cut()));
      await passed();
      socket.end(bytes.subarray(cut()));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const port = portOf(server.address());
  return `http://127.0.0.1:${port}`;
}

const secretsIn = (events: readonly RecordedEvent[]) =>
  events.flatMap(({ kind, facts }) => (kind === 'notice' && facts.about === 'secret_seen' ? [facts.secret] : []));

t.test('D27: a token is seen wherever an answer is cut, in one chunk of its framing or in two', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nConnection: close\r\n';
  for (const [what, answer] of [
    ['in a body of a known length', `${head}Content-Length: 14\r\n\r\n<c4nary-token>`],
    ['in a body that ends with its connection', `${head}\r\n<c4nary-token>`],
    ['in two chunks', `${head}Transfer-Encoding: chunked\r\n\r\n7\r\n<c4nary\r\n7\r\n-token>\r\n0\r\n\r\n`],
    ['in a header', `${head}X-Debug: <c4nary-token>\r\nContent-Length: 0\r\n\r\n`],
  ] as const) {
    let cut = 0;
    const url = await cutting(t, Buffer.from(answer), () => cut);
    const headers = { authorization: 'Bearer c4nary-token' };
    const gateway = await startGateway(t, { web: { url, headers, roles: { viewer: ['GET /'] } } });
    for (; cut <= answer.length; cut += 3) {
      const { handle } = gateway.issue('web');
      const asked = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`;
      await raw(t, gateway.port, asked).ended;
    }
    const events = await gateway.events();
    t.same(new Set(secretsIn(events)), new Set(['env SECRET_0']), what);
    t.equal(secretsIn(events).length, events.filter(({ kind }) => kind === 'open').length, `${what}: in every session`);
    t.notMatch(JSON.stringify(events), /c4nary/, `${what}: nowhere in the record`);
  }
});
