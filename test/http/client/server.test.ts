import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { connect as secure, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { HttpServer } from '../../../src/http/client/server.js';
import { clientOf, passedOnFor } from '../../../src/http/whence.js';
import { selfSigned } from '../../support/certificate.js';
import { portOf } from '../../support/ports.js';

const pair = await selfSigned('localhost');

/** A server over TLS that tells whoever asks whom their proxy passed them on for: here, the address of ours that was asked. */
async function telling(t: Test): Promise<number> {
  const server = new HttpServer({
    domain: 'localhost',
    headTimeout: 10_000,
    buffered: 256 * 1024,
    tls: pair,
    handler: {
      request: (req, res) => res.send(200, {}, `for ${clientOf(req)}`),
      upgrade() {},
      connect() {},
      unreadable() {},
      failed() {},
    },
  });
  const listener = createServer(server.settings, (socket) => {
    passedOnFor(socket, socket.localAddress ?? '');
    server.accept(socket);
  });
  listener.listen(0, '0.0.0.0');
  await once(listener, 'listening');
  t.teardown(() => {
    server.close();
    listener.close();
  });
  return portOf(listener.address());
}

t.test(
  'connections that are too slow together are refused over several turns, so that others are not kept waiting',
  async (t) => {
    let turn = 0;
    let isOver = false;
    const count = () => {
      turn += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const refused: number[] = [];
    const server = new HttpServer({
      domain: 'localhost',
      headTimeout: 300,
      buffered: 256 * 1024,
      handler: {
        request() {},
        upgrade() {},
        connect() {},
        unreadable({ socket }) {
          refused.push(turn);
          socket.destroy();
        },
        failed() {},
      },
    });
    const listener = server.listener().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const port = portOf(listener.address());
    const many = 200;
    const clients = Array.from({ length: many }, () => connect(port, '127.0.0.1'));
    t.teardown(() => {
      isOver = true;
      for (const client of clients) client.destroy();
      server.close();
      listener.close();
    });
    await Promise.all(clients.map((client) => once(client.resume(), 'close')));
    t.equal(refused.length, many);
    for (const one of new Set(refused)) t.ok(refused.filter((turn) => turn === one).length <= 64);
  },
);

t.test('A4: connections of one port to two addresses of ours are not taken for each other', async (t) => {
  const port = await telling(t);
  let mine = {};
  const clients: TLSSocket[] = [];
  for (const host of ['127.0.0.1', '127.0.0.2']) {
    const socket = connect({ host, port, localAddress: '127.0.0.1', ...mine });
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    mine = { localPort: socket.localPort };
    clients.push(secure({ socket, ca: pair.cert, servername: 'localhost' }));
  }
  const told: string[] = [];
  for (const client of clients) {
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const [answer]: Buffer[] = await once(client, 'data');
    told.push(String(answer).split('\r\n\r\n')[1] ?? '');
  }
  t.same(told, ['for 127.0.0.1', 'for 127.0.0.2']);
});
