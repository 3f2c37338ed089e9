import type { IncomingMessage, ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { nodeViewOf } from '../../../src/http/client/node-view.js';
import { waitUntil } from '../../support/wait.js';
import { serve } from '../bare-server.js';

/** Serves with a handler that was written for Node's own server. */
function serveAsNode(t: Test, handle: (req: IncomingMessage, res: ServerResponse) => void) {
  return serve(t, (request, response) => {
    const { req, res } = nodeViewOf(request, response, `/seen${request.target}`);
    handle(req, res);
  });
}

const NEXT = 'GET /next HTTP/1.1\r\nConnection: close\r\n\r\n';

t.test(
  'a handler of Node’s sees the request as Node would have read it, and the next one follows its answer',
  async (t) => {
    const { client } = await serveAsNode(t, (req, res) => {
      let body = '';
      req.on('data', (bytes: Buffer) => (body += bytes.toString('latin1')));
      req.once('end', () =>
        res.end(`${req.method} ${req.url} ${req.httpVersion} ${JSON.stringify(req.headers)} ${body.length}`),
      );
    });
    const long = 'x'.repeat(300_000);
    const post = `POST /in HTTP/1.1\r\nA: b\r\na: c\r\nHost: x\r\nhost: y\r\nContent-Length: ${long.length}\r\n\r\n${long}`;
    const chunked = 'POST /in HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n';
    const text = await client(post + chunked + NEXT).ended;
    t.match(text, `POST /seen/in 1.1 {"a":"b, c","host":"x","content-length":"300000"} 300000`);
    t.match(text, 'POST /seen/in 1.1 {"transfer-encoding":"chunked"} 2');
    t.match(text, 'GET /seen/next 1.1 {"connection":"close"} 0');
  },
);

t.test('the connection ends behind an answer of Node’s that says so, or that nothing else ends', async (t) => {
  const { client, asked } = await serveAsNode(t, (req, res) => {
    if (req.url === '/seen/last') res.writeHead(200, { connection: 'close' });
    res.write('in ');
    res.end('pieces');
  });
  t.match(await client(`GET /last HTTP/1.1\r\n\r\n${NEXT}`).ended, /pieces\r\n0\r\n\r\n$/);
  t.match(await client(`GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n${NEXT}`).ended, /in pieces$/);
  t.same(asked, ['GET /last', 'GET /']);
});

t.test('a handler of Node’s is told of a client that leaves', async (t) => {
  const told: string[] = [];
  const { client, asked } = await serveAsNode(t, (req, res) => {
    req.once('error', () => told.push('request'));
    req.resume();
    res.once('close', () => told.push(`response ${res.writableFinished}`));
  });
  const one = client('POST /in HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf');
  await waitUntil('it is asked', () => asked.length > 0);
  one.socket.destroy();
  await waitUntil('both are told', () => told.length === 2);
  t.same(told.sort(), ['request', 'response false']);
});
