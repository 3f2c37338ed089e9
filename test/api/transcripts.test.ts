import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { ordersDatabase } from '../postgres/fixture.js';
import { until } from '../recording/fixture.js';
import { startGateway, type TestGateway, throughGateway } from '../support/gateway.js';
import { waitUntil } from '../support/wait.js';

const WEB = (url: string) => `
service: orders-web
protocol: http
lane: production
owner: group:payments-leads
upstream: { url: "${url}" }
roles:
  viewer: { allow: [GET /, POST /notes, WS /live] }
grants: { max_duration: 8h, max_renewals: 2 }
`;

async function gatewayOfBoth(t: Test) {
  const orders = await ordersDatabase(t);
  const server = createServer((req, response) => {
    req.resume();
    response.setHeader('content-type', 'text/plain').end(`fine ${req.url}`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${String(data)}`)));
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const services = { 'orders-db': orders.policy(), 'orders-web': WEB(url) };
  return startGateway(t, { services, env: orders.env });
}

/** What the operator's socket answers, as text. */
function read(gateway: TestGateway, path: string): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath: `${gateway.dataDirectory}/daypass.sock`, path }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      res.once('end', () => resolve({ status: res.statusCode ?? 0, type: String(res.headers['content-type']), text }));
    });
    req.once('error', reject).end();
  });
}

async function onlySession(gateway: TestGateway): Promise<string> {
  const { body } = await gateway.operator('GET', '/v1/sessions');
  const [session] = body.sessions as { id: string }[];
  return session?.id ?? '';
}

async function ask(gateway: TestGateway, handle: string, method: string, path: string, body?: string): Promise<void> {
  const headers = {
    host: `orders-web.localhost:${gateway.ports.http}`,
    authorization: `Bearer ${handle}`,
    ...(body === undefined ? {} : { 'content-type': 'text/plain' }),
  };
  const req = request({ port: gateway.ports.http, host: '127.0.0.1', method, path, headers });
  req.end(body);
  const [res] = await once(req, 'response');
  res.resume();
  await once(res, 'end');
}

t.test('a database session reads as SQL: what ran stands as it was, what was refused is a comment', async (t) => {
  const gateway = await gatewayOfBoth(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('select count(*)\nfrom orders');
  await client.query('select id from orders where id = $1', ['7']);
  await t.rejects(client.query("delete from orders where note = '\n; drop table orders'"));
  await client.end();
  await until(gateway.ledger, 'exists (select from daypass.sessions where ended_at is not null)');
  const id = await onlySession(gateway);
  const { status, type, text } = await read(gateway, `/v1/sessions/${id}/export?by=rex&format=sql`);
  t.equal(status, 200);
  t.match(type, /^application\/sql/);
  t.match(text, /^-- session .*: alice on orders-db as reader\n/);
  t.match(text, /\nselect count\(\*\)\nfrom orders;\n-- → SELECT 1/);
  t.match(text, /-- \$1 = "7"\nselect id from orders where id = \$1;\n/);
  t.match(text, /-- REFUSED: .*\n-- delete from orders where note = '\n-- ; drop table orders'\n/);
  const running = text.split('\n').filter((line) => line !== '' && !line.startsWith('--'));
  t.notOk(
    running.some((line) => /delete|drop/.test(line)),
    'nothing that was refused would run',
  );
});

t.test(
  'a web session reads as an HTTP archive, its WebSocket messages in it, secrets as redacted as in the record',
  async (t) => {
    const gateway = await gatewayOfBoth(t);
    const { handle } = await gateway.issue({ service: 'orders-web' });
    await ask(gateway, handle, 'GET', '/?a=1&token=hush');
    await ask(gateway, handle, 'POST', '/notes', 'a note');
    await ask(gateway, handle, 'GET', '/admin');
    const headers = { authorization: `Bearer ${handle}`, host: `orders-web.localhost:${gateway.ports.http}` };
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.http}/live`, { headers });
    await once(socket, 'open');
    socket.send('hello');
    await once(socket, 'message');
    socket.close(1000, 'done');
    await once(socket, 'close');
    const id = await onlySession(gateway);
    const har = async () => JSON.parse((await read(gateway, `/v1/sessions/${id}/export?by=rex&format=har`)).text);
    await waitUntil('all of the socket in the archive', async () =>
      (await har()).log.entries.some((one: { _webSocketMessages?: unknown[] }) => one._webSocketMessages?.length === 4),
    );
    const archive = await har();
    t.equal(archive.log.version, '1.2');
    const entries = archive.log.entries as Record<string, unknown>[];
    const by = (url: RegExp) => entries.find((one) => url.test(String((one.request as { url: string }).url)));
    t.match(by(/\/\?a=1/), {
      request: {
        method: 'GET',
        queryString: [
          { name: 'a', value: '1' },
          { name: 'token', value: '[redacted]' },
        ],
      },
      response: { status: 200, content: { mimeType: 'text/plain' } },
      _daypass: { outcome: 'allow', rule: 'GET /' },
    });
    t.match(by(/\/notes/), { request: { method: 'POST', postData: { mimeType: 'text/plain', text: 'a note' } } });
    t.match(by(/\/admin/), { response: { status: 0 }, _daypass: { outcome: 'deny', reason: 'out_of_scope' } });
    t.match(by(/\/live/), {
      _webSocketMessages: [
        { type: 'send', opcode: 1, data: 'hello' },
        { type: 'receive', opcode: 1, data: 'echo hello' },
        { type: 'send', opcode: 8, data: 'done' },
        { type: 'receive', opcode: 8, data: 'done' },
      ],
    });
    t.notMatch(JSON.stringify(archive), /hush|dp_[0-9A-Za-z]{22}_[0-9A-Za-z]/);
  },
);

t.test(
  'a form that a protocol does not have is refused by name, and no viewing stands in the record for it',
  async (t) => {
    const gateway = await gatewayOfBoth(t);
    const { handle } = await gateway.issue({ service: 'orders-web' });
    await ask(gateway, handle, 'GET', '/');
    const id = await onlySession(gateway);
    const { status, body } = await gateway.operator('GET', `/v1/sessions/${id}/export?by=rex&format=sql`);
    t.equal(status, 400);
    t.match(body, { error: { message: /no form "sql"/, hint: /har/ } });
    t.same(await gateway.ledger.query('select by from daypass.viewings'), []);
  },
);

t.test(
  'a search finds sessions by what was said in them, by relation and by refusal, and the search is recorded',
  async (t) => {
    const gateway = await gatewayOfBoth(t);
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    await client.query("select 'Needle_100%' from orders");
    await t.rejects(client.query('delete from order_items'));
    await client.end();
    const other = await throughGateway(t, gateway.ports.postgres, handle);
    await other.query('select 2 from order_items');
    await other.end();
    const search = async (query: string) => {
      const { body } = await gateway.operator('GET', `/v1/search?by=rex&${query}`);
      return body.found as { session: { id: string }; hits: { excerpt: string }[] }[];
    };
    await waitUntil('both sessions in the index', async () => (await search('on=public.order_items')).length === 2);
    const [hit, ...more] = await search('text=needle_100%25');
    t.equal(more.length, 0);
    t.match(hit?.hits[0]?.excerpt, /select 'Needle_100%' from orders/);
    t.equal((await search('text=needleX100')).length, 0, 'a pattern character is only itself');
    t.equal((await search('reason=out_of_scope')).length, 1);
    t.equal((await search('refused=true&text=needle')).length, 1);
    t.equal((await search(`until=${new Date(Date.now() - 3_600_000).toISOString()}`)).length, 0);
    t.ok((await gateway.ledger.query("select 1 from daypass.viewings where act = 'search'")).length > 0);
  },
);

t.test('whoever watches sees what is recorded as it is recorded, and the end', async (t) => {
  const gateway = await gatewayOfBoth(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  const id = await onlySession(gateway);
  const seen: string[] = [];
  const req = request({
    socketPath: `${gateway.dataDirectory}/daypass.sock`,
    path: `/v1/sessions/${id}/watch?by=rex&timed=true`,
  });
  req.end();
  const [res] = await once(req, 'response');
  res.setEncoding('utf8').on('data', (piece: string) => seen.push(piece));
  await client.query("select 'first' from orders");
  await waitUntil('the first statement', async () => seen.join('').includes("select 'first' from orders"));
  await client.query("select 'second' from orders");
  await waitUntil('the second statement', async () => seen.join('').includes("select 'second' from orders"));
  await client.end();
  await once(res, 'end');
  const lines = seen
    .join('')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { at: number | null; text: string });
  t.equal(lines[0]?.at, null);
  t.ok(lines.slice(1).every(({ at }) => typeof at === 'number'));
  t.match(lines.at(-1)?.text, /ended: /);
  t.match(await gateway.ledger.query('select by, act from daypass.viewings'), [{ by: 'rex', act: 'watch' }]);
});
