import { once } from 'node:events';
import { request } from 'node:http';
import t from 'tap';
import { WebSocket } from 'ws';
import { addPeople } from '../api/ground.js';
import { linkFor, SAME_ORIGIN, startService, TestBrowser, webPolicy } from '../http/browser/fixture.js';
import { localPort, tokenOf } from '../postgres/tunnel.js';
import { startGateway } from '../support/gateway.js';

/* `upstream.pass_authorization`: a service with a login of its own has the client's Authorization. None of ours ever passes. */

const THEIRS = 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl';
const base64 = (text: string) => Buffer.from(text).toString('base64');

t.test("a service's own Authorization", async (t) => {
  const service = await startService(t);
  const passing = (name: string) =>
    webPolicy(service.url, name).replace('upstream: {', 'upstream: { pass_authorization: true,');
  const gateway = await startGateway(t, { services: { web: passing('web'), shop: webPolicy(service.url, 'shop') } });
  await addPeople(gateway);
  const port = gateway.ports.http;
  const [web, shop, bob] = [
    await gateway.issue({ service: 'web' }),
    await gateway.issue({ service: 'shop' }),
    await gateway.issue({ service: 'web', principal: 'bob' }),
  ];
  const token = await tokenOf(gateway, 'alice');

  /** What the service got as Authorization, or the status of the refusal. */
  const passed = (host: string, headers: Record<string, string | string[]>, at = port) =>
    new Promise<string | number | undefined>((resolve, reject) => {
      const req = request(
        { host: '127.0.0.1', port: at, path: '/a', agent: false, headers: { host, ...headers } },
        (res) => {
          let body = '';
          res.setEncoding('utf8').on('data', (piece: string) => (body += piece));
          res.on('end', () => resolve(res.statusCode === 200 ? JSON.parse(body).authorization : res.statusCode));
        },
      );
      req.once('error', reject);
      req.end();
    });
  const [WEB, SHOP] = [`web.localhost:${port}`, `shop.localhost:${port}`];

  t.test('passes beside a handle of ours, where the policy says so', async (t) => {
    const ours = { 'daypass-handle': web.handle };
    for (const theirs of [
      THEIRS,
      `Basic ${base64('me:secret')}`,
      'Digest username="me"',
      'AWS4-HMAC-SHA256 Credential=x',
      'x',
    ])
      t.equal(await passed(WEB, { ...ours, authorization: theirs }), theirs);
    t.equal(await passed(WEB, ours), undefined);
    t.equal(await passed(WEB, { authorization: `Bearer ${web.handle}` }), undefined, 'ours is for us');
    t.equal(await passed(WEB, { ...ours, authorization: THEIRS, connection: 'authorization' }), undefined);
    t.equal(
      await passed(SHOP, { 'daypass-handle': shop.handle, authorization: `Basic ${base64('me:secret')}` }),
      undefined,
    );
    t.equal(await passed(SHOP, { 'daypass-handle': shop.handle, authorization: THEIRS }), 401);
  });

  t.test('lets nobody in by itself', async (t) => {
    t.equal(await passed(WEB, { authorization: THEIRS }), 401);
    t.equal(await passed(WEB, { authorization: `Basic ${base64('me:secret')}` }), 401);
  });

  t.test('is never one of ours, however it is written', async (t) => {
    const secret = bob.handle.slice(-43);
    const percent = [...bob.handle].map((one) => `%${one.charCodeAt(0).toString(16)}`).join('');
    const hidden = [
      `Bearer ${bob.handle}`,
      `bearer  ${bob.handle} `,
      `Bearer x${bob.handle}`,
      `Token token="${bob.handle}"`,
      `Basic ${base64(`me:${bob.handle}`)}`,
      `Basic ${base64(`${bob.handle}:`)}`,
      `Basic ${base64(`xx${bob.handle}y`)}`,
      `Basic ${base64(`me:${bob.handle}:x`)}`,
      `Digest username="${bob.handle}"`,
      `Bearer ${percent}`,
      `Bearer ${Buffer.from(bob.handle).toString('hex')}`,
      `Bearer ${token}`,
      `Token ${token}`,
      `Basic ${base64(`me:${token}`)}`,
      `Basic ${base64(`${token}:`)}`,
    ];
    for (const authorization of hidden) {
      const got = await passed(WEB, { 'daypass-handle': web.handle, authorization });
      t.ok(got === undefined || got === 401, `${authorization.slice(0, 16)}… ${got}`);
    }
    const told = JSON.stringify(await gateway.events()) + JSON.stringify(gateway.lines);
    for (const word of [secret, token, THEIRS.slice(7), base64('me:secret')])
      t.notOk(told.includes(word), word.slice(0, 4));
  });

  t.test('two of them are refused', async (t) => {
    t.equal(await passed(WEB, { 'daypass-handle': web.handle, authorization: [THEIRS, 'Bearer other'] }), 401);
  });

  t.test("passes with a page's requests and its WebSockets; whose idea they were is asked as ever", async (t) => {
    const alice = new TestBrowser(port);
    await alice.logIn(await linkFor(gateway));
    t.equal((await alice.visit('web.localhost', '/')).status, 200);
    const cookie = alice.cookies('web.localhost');
    t.equal(await passed(WEB, { cookie, ...SAME_ORIGIN, authorization: THEIRS }), THEIRS);
    const foreign = { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'sec-fetch-site': 'same-site' };
    t.equal(await passed(WEB, { cookie, ...foreign, authorization: THEIRS }), 403);
    const opened = alice.socket('web.localhost', '/live', `http://${WEB}`, { authorization: THEIRS });
    const [said] = await once(opened, 'message');
    t.equal(JSON.parse(String(said)).authorization, THEIRS);
    opened.terminate();
    t.equal((await alice.visit('shop.localhost', '/')).status, 200);
    const other = alice.cookies('shop.localhost');
    t.equal(
      await passed(SHOP, { cookie: other, ...SAME_ORIGIN, authorization: THEIRS }),
      401,
      'not where it is not said',
    );
  });

  t.test('passes in a tunnel', async (t) => {
    const { port: door } = await localPort(t, gateway, token, 'web');
    t.equal(await passed('127.0.0.1:1', { authorization: THEIRS }, door), THEIRS);
    t.equal(await passed('127.0.0.1:1', { authorization: `Bearer ${web.handle}` }, door), 401);
    t.equal(await passed('127.0.0.1:1', { authorization: `Bearer ${token}` }, door), 401);
  });

  t.test('is forgotten by a reloaded policy at once', async (t) => {
    const headers = { host: WEB, 'daypass-handle': web.handle, authorization: `Basic ${base64('me:secret')}` };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers });
    await once(socket, 'message');
    await gateway.policy('web', webPolicy(service.url));
    t.equal(await passed(WEB, headers), undefined);
    socket.terminate();
  });
});
