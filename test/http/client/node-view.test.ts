import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { nodeViewOf } from '../../../src/http/client/node-view.js';
import { HttpServer } from '../../../src/http/client/server.js';
import { portOf } from '../../support/ports.js';
import { raw } from '../gateway.js';

type NodeHandler = (req: IncomingMessage, res: ServerResponse) => void;

/** A server all of whose requests are answered by a handler that was written for Node's own. */
async function serving(t: Test, handle: NodeHandler): Promise<number> {
  const server = new HttpServer({
    domain: 'localhost',
    headTimeout: 10_000,
    buffered: 256 * 1024,
    handler: {
      request(req, res) {
        const view = nodeViewOf(req, res, req.target);
        handle(view.req, view.res);
      },
      upgrade() {},
      connect() {},
      unreadable({ socket, response }) {
        if (response?.hasBegun === true) response.breakOff();
        else socket.end('HTTP/1.1 400 Bad Request\r\n\r\n', () => socket.destroy());
      },
      failed() {},
    },
  });
  const listener = server.listener().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.teardown(() => {
    server.close();
    listener.close();
  });
  return portOf(listener.address());
}

const asking = (line: string, ...headers: string[]) => [line, 'Host: localhost', ...headers, '', ''].join('\r\n');

t.test(
  'an answer that no length and no chunks end is ended with its connection, whatever the client asked for',
  async (t) => {
    const port = await serving(t, (_req, res) => {
      res.write('a ');
      setImmediate(() => res.end('piece'));
    });
    const { ended } = raw(t, port, asking('GET / HTTP/1.0', 'Connection: keep-alive'));
    t.match(await ended, /\r\n\r\na piece$/);
  },
);

t.test('who is told that its connection closes sees it close, and nothing behind is answered', async (t) => {
  const port = await serving(t, (_req, res) => res.writeHead(413, { connection: 'close' }).end('too much'));
  const head = asking('POST / HTTP/1.1', 'Content-Length: 100');
  const client = raw(t, port, `${head}${'x'.repeat(100)}${asking('GET / HTTP/1.1')}`);
  t.match(await client.ended, /^HTTP\/1\.1 413 (?:(?!HTTP\/1\.1)[\s\S])*too much\r\n0\r\n\r\n$/);
});

t.test('who is still sending a body that nobody wants gets the answer all the same', async (t) => {
  const port = await serving(t, (_req, res) => res.writeHead(413, { connection: 'close' }).end('too much'));
  const client = raw(t, port, asking('POST / HTTP/1.1', 'Content-Length: 1000000'));
  client.socket.write('x'.repeat(500_000));
  t.match(await client.ended, /too much\r\n0\r\n\r\n$/);
});

t.test('nothing is said into an answer that was begun: it breaks off', async (t) => {
  const port = await serving(t, (_req, res) => {
    res.writeHead(200, { 'content-length': 20 });
    res.write('half');
  });
  const broken = raw(t, port, asking('POST / HTTP/1.1', 'Transfer-Encoding: chunked'));
  await broken.sees(/half$/);
  broken.socket.write('no chunk\r\n');
  t.match(await broken.ended, /half$/);
});

t.test('who ends its side amid an answer without framing sees no clean end', async (t) => {
  const port = await serving(t, (_req, res) => void res.write('half'));
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => client.destroy());
  client.write(asking('GET / HTTP/1.0'));
  const ended = new Promise((resolve) => client.once('end', () => resolve('a clean end')).once('error', resolve));
  client.once('data', () => client.end());
  t.match(await ended, { code: 'ECONNRESET' });
});

t.test('requests of one connection are answered in turn, and leave nothing on it', async (t) => {
  let listeners = 0;
  const port = await serving(t, (req, res) => {
    listeners = req.socket.eventNames().reduce((sum, name) => sum + req.socket.listenerCount(name), 0);
    res.end(req.url);
  });
  const first = raw(t, port, asking('HEAD /1 HTTP/1.1') + asking('GET /2 HTTP/1.1', 'Connection: close'));
  t.match(await first.ended, /^HTTP\/1\.1 200 (?:(?!\/1\r\n)[\s\S])*\/2$/);
  const afterTwo = listeners;
  const many = raw(t, port, asking('GET /3 HTTP/1.1').repeat(30) + asking('GET /4 HTTP/1.1', 'Connection: close'));
  await many.ended;
  t.equal(listeners, afterTwo);
});
