import { once } from 'node:events';
import t from 'tap';
import { WebSocketServer } from 'ws';
import { startWithPeople } from '../api/ground.js';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { dialWebSocket } from '../http/over-tls.js';
import { portOf } from '../support/ports.js';

const IDENTITY = { subject: 'X-User', role: 'X_User_Role' };
const ROLES = { viewer: ['GET /', 'WS /live'], editor: ['GET /'] };
const SPELLINGS = ['X-User', 'x-user', 'X_User', 'x_USER', 'X-User-Role', 'x_user_role', 'X-USER_ROLE'];
const isIdentity = (name: string) => /^x[-_]user/i.test(name);

t.test('A3: a service hears who asks from the gateway alone, whatever a client spells', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, identityHeaders: IDENTITY, roles: ROLES } });
  for (const [principal, role] of [
    ['alice', 'viewer'],
    ['bob@example.com', 'editor'],
  ] as const) {
    const { handle } = gateway.issue('web', { principal, role });
    const attempts = [
      '',
      ...SPELLINGS.map((name) => `${name}: mallory\r\n`),
      ...SPELLINGS.map((name) => `${name}: mallory\r\nConnection: ${name}\r\n`),
      'Connection: x-user, x_user_role, close\r\n',
      SPELLINGS.map((name) => `${name}: mallory\r\n`).join(''),
    ];
    for (const attempt of attempts) {
      const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n`;
      const client = raw(t, gateway.port, `${head}${attempt}\r\n`);
      await client.sees(/^HTTP\/1\.1 200 /);
      const told = echo.requests.at(-1)?.headers.filter(([name]) => isIdentity(name));
      t.same(
        told,
        [
          ['x-user', principal],
          ['x_user_role', role],
        ],
        JSON.stringify(attempt),
      );
      client.socket.destroy();
    }
  }
  t.notMatch(
    JSON.stringify(await gateway.events()),
    /mallory/,
    'a name that a client claims is not in the record either',
  );
});

t.test('A3: the same for a WebSocket', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const url = `http://127.0.0.1:${portOf(server.address())}`;
  const gateway = await startGateway(t, { web: { url, identityHeaders: IDENTITY, roles: ROLES } });
  const headers = { 'daypass-handle': gateway.issue('web').handle, host: 'web.localhost' };
  const spoofed = Object.fromEntries(SPELLINGS.map((name) => [name, 'mallory']));
  const arrived = once(server, 'connection');
  const socket = dialWebSocket(gateway.port, '/live', { headers: { ...headers, ...spoofed } });
  t.teardown(() => socket.terminate());
  const [[, req]] = await Promise.all([arrived, once(socket, 'open')]);
  const told = Object.entries(req.headers).filter(([name]) => isIdentity(name));
  t.same(Object.fromEntries(told), { 'x-user': 'alice', x_user_role: 'viewer' });
});

t.test('A3: what is not asked for is not told, and stays the client’s to say', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, {
    web: { url: echo.url, identityHeaders: { subject: 'X-User' }, roles: ROLES },
  });
  const { handle } = gateway.issue('web');
  const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n`;
  await raw(t, gateway.port, `${head}X-Role: kept\r\n\r\n`).ended;
  const told = Object.fromEntries(echo.requests[0]?.headers ?? []);
  t.match(told, { 'x-user': 'alice', 'x-role': 'kept', 'daypass-assertion': /^eyJ/ });
});

t.test('A3: groups are told by the gateway alone, none of them too, and one is never read as two', async (t) => {
  const echo = await startEcho(t);
  const identityHeaders = { groups: 'X-Groups' };
  const gateway = await startGateway(t, { web: { url: echo.url, identityHeaders, roles: ROLES } });
  const spoofed = ['X-Groups', 'x_groups', 'X_GROUPS'].map((name) => `${name}: admins\r\n`).join('');
  for (const [groups, told] of [
    [['payments', 'on-call'], 'payments,on-call'],
    [['a,admins', 'größe 5%', 'x\r\nX-Role: root'], 'a%2Cadmins,gr%C3%B6%C3%9Fe%205%25,x%0D%0AX-Role:%20root'],
    [[], ''],
  ] as const) {
    const { handle } = gateway.issue('web', { groups: [...groups] });
    const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n`;
    t.match(await raw(t, gateway.port, `${head}${spoofed}\r\n`).ended, /^HTTP\/1\.1 200 /);
    const headers = echo.requests.at(-1)?.headers ?? [];
    t.same(
      headers.filter(([name]) => /^x[-_]groups/i.test(name)),
      [['x-groups', told]],
    );
  }
});

t.test(
  'A3: of whom the operator gives a grant, the groups are told as they are then, and as nobody says',
  async (t) => {
    const { gateway, ask } = await startWithPeople(t);
    const groupsTold = async (handle: string) => {
      const { text } = await ask({ path: '/', host: 'web.localhost', headers: { 'daypass-handle': handle } });
      const assertion = String(JSON.parse(text)['daypass-assertion']).split('.')[1] ?? '';
      return JSON.parse(Buffer.from(assertion, 'base64url').toString()).groups;
    };
    const groupsOf = async (principal: string) =>
      groupsTold((await gateway.issue({ service: 'web', principal })).handle);
    const before = await gateway.issue({ service: 'web', principal: 'lee' });
    t.same(await groupsTold(before.handle), ['leads']);
    await gateway.ledger.query("update daypass.people set groups = '{leads,on-call}' where subject = 'lee'");
    t.same(await groupsOf('lee'), ['leads', 'on-call']);
    t.same(await groupsTold(before.handle), ['leads'], 'a grant stays what was given');
    t.same(await groupsOf('bob'), [], 'nobody gets the groups of who issues, or of who answers for them');
    t.same(await groupsOf('nobody-with-an-account'), []);
    const asked = {
      principal: 'bob',
      service: 'web',
      durationSeconds: 60,
      sponsor: 'dana',
      reason: 'a test',
      by: 'olga',
    };
    t.match(await gateway.operator('POST', '/v1/grants', { ...asked, groups: ['platform'] }), { status: 400 });
  },
);
