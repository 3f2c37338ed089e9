import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { harTranscript } from '../../src/http/record/har.js';
import { HttpRecaller } from '../../src/http/record/recall.js';
import type { SessionView } from '../../src/recording/read.js';
import { portOf } from '../support/ports.js';
import { type RawClient, raw, startGateway } from './gateway.js';
import { dialWebSocket } from './over-tls.js';
import { bareService } from './raw-service.js';

/* What the record says is compared with the bytes that a raw client and a raw service sent and got. */

const sha256 = (data: string) => createHash('sha256').update(data).digest('hex');
const ROLES = { viewer: { allow: ['GET /**', 'POST /**', 'WS /**'], recording: { bodies: '64KiB' } } };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

/** A service that hears pieces and says bytes; what a client asks of it through a gateway; and what is recorded. */
async function between(t: Test, hear: (socket: Socket, piece: number) => void) {
  let received = '';
  let pieces = 0;
  const service = await bareService(t, (bytes, socket) => {
    received += bytes.toString('latin1');
    pieces += 1;
    hear(socket, pieces);
  });
  const gateway = await startGateway(t, { web: { url: service.url, roles: ROLES } });
  const head = `Host: web.localhost\r\nDaypass-Handle: ${gateway.issue('web').handle}\r\n`;
  const ask = (request: string): RawClient => raw(t, gateway.port, request.replace('\r\n', `\r\n${head}`));
  const results = async () => (await gateway.events()).filter(({ kind }) => kind === 'result');
  return { gateway, head, ask, results, received: () => received };
}

t.test('a request that was sent twice is recorded once, as sent twice, and one with a body is not', async (t) => {
  const { ask, head, results, received } = await between(t, (socket, piece) => {
    // The service reads the second request and closes, as one does whose connection had rested too long.
    if (piece === 2 || piece === 4) socket.resetAndDestroy();
    else socket.write(OK);
  });
  const client = ask('GET /a HTTP/1.1\r\n\r\n');
  await client.sees(/hello$/);
  client.socket.write(`GET /b HTTP/1.1\r\n${head}\r\n`);
  await client.sees(/hello[\s\S]*hello$/);
  client.socket.write(`GET /c HTTP/1.1\r\n${head}Content-Length: 1\r\n\r\nx`);
  await client.sees(/HTTP\/1\.1 502 /);
  t.equal(received().split('GET /b ').length - 1, 2, 'the service has it twice');
  t.match(
    (await results()).map(({ facts }) => [facts.status ?? facts.reason, facts.repeated]),
    [
      ['200', undefined],
      ['200', true],
      ['upstream_unavailable', undefined],
    ],
  );
});

t.test('of a request that was answered before it was whole the record says so', async (t) => {
  const { ask, results } = await between(t, (socket, piece) => {
    if (piece === 1) socket.end(OK.replace('200', '413'));
  });
  const client = ask('POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello');
  await client.sees(/hello$/);
  const [early] = await results();
  t.match(early, {
    facts: { status: '413', bytesIn: 5, requestSha256: sha256('hello'), requestWhole: false },
    payload: { text: 'hello', whole: false, response: { text: 'hello', whole: true } },
  });
  const whole = await between(t, (socket) => socket.write(OK));
  await whole.ask('POST /a HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello').ended;
  const [proper] = await whole.results();
  t.match(proper, { payload: { text: 'hello', whole: true }, facts: { requestWhole: undefined, repeated: undefined } });
});

t.test('a body that broke off is never recorded as whole, whoever broke it off', async (t) => {
  const half = OK.replace('Content-Length: 5', 'Content-Length: 10');
  const broken = await between(t, (socket) => socket.end(half));
  await broken.ask('GET /a HTTP/1.1\r\n\r\n').ended;
  t.match(await broken.results(), [
    {
      facts: { reason: 'upstream_unavailable', bytesOut: 5, responseSha256: sha256('hello') },
      payload: { response: { text: 'hello', whole: false } },
    },
  ]);
  const left = await between(t, () => {});
  const client = left.ask('POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello');
  while (!left.received().endsWith('hello')) await new Promise((resolve) => setImmediate(resolve));
  client.socket.destroy();
  let results = await left.results();
  while (results.length === 0) results = await left.results();
  t.match(results, [{ facts: { bytesIn: 5 }, payload: { text: 'hello', whole: false } }]);
});

t.test('an answer in place of a WebSocket is recorded as any other', async (t) => {
  const { gateway, results } = await between(t, (socket) =>
    socket.end(
      'HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"token":"abc"}'.slice(0, -1),
    ),
  );
  const headers = { host: 'web.localhost', 'daypass-handle': gateway.issue('web').handle };
  const client = dialWebSocket(gateway.port, '/live', { headers });
  client.on('error', () => {});
  await once(client, 'unexpected-response');
  t.match(await results(), [
    {
      facts: {
        status: '403',
        contentType: 'application/json',
        bytesOut: 14,
        responseSha256: sha256('{"token":"abc"'),
        queueMs: Number,
        firstByteMs: Number,
      },
      payload: { response: { text: '{"token":"[redacted]"', type: 'application/json', whole: true } },
    },
  ]);
});

t.test(
  'of two sockets at one path the record, its archive and who decides it again know whose message is whose',
  async (t) => {
    const echo = await echoSockets(t);
    const gateway = await startGateway(t, {
      web: { url: echo, roles: { viewer: ['WS /live'] } },
    });
    const headers = { host: 'web.localhost', 'daypass-handle': gateway.issue('web').handle };
    const clients = ['one', 'two'].map((room) => dialWebSocket(gateway.port, `/live?room=${room}`, { headers }));
    for (const client of clients) if (client.readyState !== client.OPEN) await once(client, 'open');
    for (const [n, client] of clients.entries()) {
      const answered = once(client, 'message');
      client.send(`to ${['one', 'two'][n]}`);
      await answered;
    }
    for (const client of clients) {
      client.close();
      await once(client, 'close');
    }
    const events = await gateway.events();
    const rooms = new Map(events.map(({ seq, payload }) => [seq, /room=(\w+)/.exec(payload?.text ?? '')?.[1]]));
    const messages = events.filter(({ facts }) => facts.verb === 'message' && facts.frame === 'text');
    t.equal(messages.length, 4);
    for (const { facts, payload } of messages) t.equal(payload?.text, `to ${rooms.get(facts.of ?? 0)}`);
    let har = '';
    const session = { id: 's', principal: 'alice', service: 'web', role: 'viewer' } as SessionView;
    for await (const piece of harTranscript.write(session, Readable.from(events))) har += piece;
    for (const { request, _webSocketMessages: said } of JSON.parse(har).log.entries) {
      const room = /room=(\w+)/.exec(request.url)?.[1];
      t.match(said, [{ data: `to ${room}` }, { data: `to ${room}` }]);
    }
    const recaller = new HttpRecaller();
    for (const event of events.filter(({ kind }) => kind === 'action')) {
      const recalled = recaller.recall(event);
      if (!recalled.ok || recalled.action.kind !== 'message') continue;
      const { target } = recalled.action.opening;
      if (event.facts.frame === 'text') t.equal(target.ok && `to ${target.query.slice(6)}`, event.payload?.text);
    }
  },
);

/** A service that says each message back. */
async function echoSockets(t: Test): Promise<string> {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))));
  await once(sockets, 'listening');
  t.teardown(() => sockets.close());
  return `http://127.0.0.1:${portOf(sockets.address())}`;
}
