import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

/** A service that sees what a role passes on, and what is asked of it. */
async function serviceWith(t: Test, allow: readonly unknown[]) {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: allow } } });
  const { handle } = gateway.issue('web');
  const ask = (line: string, lines = '') =>
    raw(
      t,
      gateway.port,
      `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n${lines}\r\n`,
    ).ended;
  return { echo, gateway, ask };
}

t.test('A1: an escaped ? or # ends the path for Nitro (Nuxt), and what it ends at has to be allowed', async (t) => {
  const list = { route: 'GET /list/:page', query: { kind: 'book', all: { absent: true } } };
  const allow = ['DELETE /orders/:id/notes', 'GET /wiki/:page', 'GET /tenants/:id/public/**', list];
  const { echo, gateway, ask } = await serviceWith(t, allow);
  for (const line of [
    'DELETE /orders/7%3F/notes',
    'DELETE /orders/7%3f/notes',
    'DELETE /orders/7%23/notes',
    'DELETE /orders/%3F/notes',
    'GET /tenants/7%3F/public/x',
    'GET /tenants/7%3Fpublic/public/x?a=1',
    'GET /list/7%3Fall=1?kind=book',
    'GET /list/7%3Fkind=book%26all=1?kind=book',
    'GET /list/7%23?kind=book', // without any query
    'GET /list/7%3Fa%23?x&kind=book', // with no more of it than a
    'GET /list/7%3F%23%26a?x&kind=book',
    'GET /wiki/7%3F_method=DELETE',
    'GET /wiki/7%3F/delete',
    'GET /wiki/..%3F',
    'GET /wiki/%3F',
    'GET /wiki/7%3F?/delete',
    'GET /wiki/7%3Flist:method',
  ])
    t.match(await ask(line), /^HTTP\/1\.1 40[03] /, line);
  t.equal(echo.requests.length, 0);
  for (const line of ['GET /wiki/C%23', 'GET /wiki/What%3F?a=1', 'GET /wiki/Who%3F%20%C3%A9%23%26%25'])
    t.match(await ask(line), /^HTTP\/1\.1 200 /, line);
  t.same(
    echo.requests.map(({ url }) => url),
    ['/wiki/C%23', '/wiki/What%3F?a=1', '/wiki/Who%3F%20%C3%A9%23%26%25'],
  );
  const broad = await serviceWith(t, ['GET /**']);
  t.match(await broad.ask('GET /wiki/What%3F/edit'), /^HTTP\/1\.1 200 /, 'whatever it is, it is allowed');
  const passed = (await gateway.events()).filter(({ facts }) => facts.outcome === 'allow');
  t.match(passed[3], { facts: { on: ['/wiki/What'], of: passed[2]?.seq }, payload: { text: 'GET /wiki/What??a=1' } });
});

t.test(
  'A1: an & in a path begins parameters for who writes it into one: Apache, nginx, and PHP behind them',
  async (t) => {
    const list = {
      route: 'GET /list/:page',
      query: { url: { absent: true }, kind: { one_of: ['book'], optional: true } },
    };
    const { echo, ask } = await serviceWith(t, [
      'DELETE /orders/:id/notes',
      'GET /wiki/:page',
      'POST /wiki/:page',
      list,
    ]);
    for (const line of [
      'DELETE /orders/7&/notes',
      'DELETE /orders/7%26/notes',
      'DELETE /orders/7&a%3F/notes',
      'GET /list/7&url=admin/users',
      'GET /list/7%26url=admin%3Fx',
      'GET /list/7&url',
      'GET /list/7%26%75rl[]=admin?kind=book',
      'GET /list/7&kind=all?kind=book',
      'GET /list/7%23&a?kind=all',
      'GET /list/7&a%23&url=admin',
      'GET /wiki/7&_method=DELETE',
      'POST /wiki/7&method=DELETE',
      'GET /wiki/7%26%5Fmethod=DELETE',
    ])
      t.match(await ask(line), /^HTTP\/1\.1 40[03] /, line);
    t.equal(echo.requests.length, 0);
    for (const line of ['GET /wiki/R&D', 'GET /wiki/R%26D?a=1', 'GET /list/R&D?kind=book', 'GET /wiki/A&B&C%20%C3%A9'])
      t.match(await ask(line), /^HTTP\/1\.1 200 /, line);
    t.equal(echo.requests.at(-1)?.url, '/wiki/A&B&C%20%C3%A9');
  },
);
