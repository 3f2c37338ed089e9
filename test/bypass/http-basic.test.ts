import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { readCredential } from '../../src/http/credential.js';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

const run = promisify(execFile);
const HANDLE = `dp_${'a'.repeat(22)}_${'b'.repeat(43)}`;
const OTHER = `dp_${'c'.repeat(22)}_${'d'.repeat(43)}`;
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

t.test('a handle in either half of Basic is one credential; two that differ are none', async (t) => {
  const one: readonly (readonly [string, string])[] = [
    [basic(`alice:${HANDLE}`), HANDLE],
    [basic(`:${HANDLE}`), HANDLE],
    [basic(`${HANDLE}:`), HANDLE],
    [basic(`${HANDLE}:x-oauth-basic`), HANDLE],
    [basic(`${HANDLE}:${HANDLE}`), HANDLE],
    [basic(`müller:${HANDLE}`), HANDLE],
    [`basic  ${basic(`a:${HANDLE}`).slice(6)} `, HANDLE],
    [basic('alice:secret'), ''],
    [basic(HANDLE), ''],
    [basic(`a:${HANDLE}:b`), ''],
    [basic(`a: ${HANDLE}`), ''],
    [basic(`a:${HANDLE}\n`), ''],
    [basic(`a:${HANDLE}\0`), ''],
    [`Basic ${HANDLE}`, ''],
    ['Basic', ''],
    ['Basic !!!!', ''],
    [`Basic ${basic(`a:${HANDLE}`).slice(6)},`, ''],
    [`Digest username="${HANDLE}"`, ''],
    [`Bearer ${HANDLE}`, HANDLE],
  ];
  for (const [value, presented] of one)
    t.match(readCredential([['Authorization', value]]), { presented }, JSON.stringify(value));
  t.equal(readCredential([['Authorization', basic(`${HANDLE}:${OTHER}`)]]), null);
  const besides = (value: string) =>
    readCredential([
      ['Daypass-Handle', HANDLE],
      ['Authorization', value],
    ]);
  t.same(besides(basic('alice:secret')), { presented: HANDLE, isAmbient: false });
  t.same(besides(basic(`alice:${HANDLE}`)), { presented: HANDLE, isAmbient: false });
  t.equal(besides(basic(`alice:${OTHER}`)), null);
});

t.test('curl lets itself in with -u and a netrc, and the service hears of neither name nor handle', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**', 'POST /**'] } } });
  const { handle } = gateway.issue('web');
  const url = `http://web.localhost:${gateway.port}/simple/`;
  const curl = async (...args: string[]) =>
    (await run('curl', ['-sS', '--max-time', '10', '-o', '/dev/null', '-w', '%{http_code}', ...args])).stdout;
  t.equal(await curl('-u', `alice:${handle}`, url), '200');
  t.equal(await curl(url.replace('//', `//${handle}:@`)), '200');
  t.equal(await curl('--anyauth', '-u', `alice:${handle}`, '-d', 'a=b', url), '200', 'it waits to be asked for Basic');
  t.equal(await curl('-u', 'alice:secret', url), '401');
  const revoked = gateway.issue('web');
  gateway.revoke(revoked.id);
  t.equal(await curl('-u', `alice:${revoked.handle}`, url), '401');
  t.equal(echo.requests.length, 3);
  const bytes = echo.connections.map((one) => one.bytes).join('');
  t.notMatch(bytes, /authorization|basic|alice/i);
  const told = JSON.stringify(await gateway.events()) + gateway.lines.join('');
  for (const secret of [handle, basic(`alice:${handle}`).slice(6), 'alice:secret', basic('alice:secret').slice(6)])
    t.notOk(told.includes(secret), secret.slice(0, 3));
});

t.test('A16: what tools keep of a handle for Basic stands in no address that is passed on or recorded', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /auth/**'] } } });
  const { handle } = gateway.issue('web');
  const kept = basic(`alice:${handle}`).slice(6);
  for (const path of ['auth', 'other']) {
    const head = `GET /${path}/${kept} HTTP/1.1\r\nHost: web.localhost\r\nAuthorization: Basic ${kept}\r\n`;
    t.match(await raw(t, gateway.port, `${head}Connection: close\r\n\r\n`).ended, /^HTTP\/1\.1 400 /);
  }
  t.same(echo.requests, []);
  t.notOk((JSON.stringify(await gateway.events()) + gateway.lines.join('')).includes(kept));
});

t.test('what a browser sends by itself is asked for by a page of the service itself', async (t) => {
  const echo = await startEcho(t);
  const roles = { viewer: ['GET /**', 'POST /**', 'WS /**'] };
  const gateway = await startGateway(t, { web: { url: echo.url, roles } });
  const { handle } = gateway.issue('web');
  const authorization = basic(`alice:${handle}`);
  const own = `http://web.localhost:${gateway.port}`;
  const ask = async (method: string, headers: Readonly<Record<string, string>>) => {
    const all = { host: `web.localhost:${gateway.port}`, authorization, connection: 'close', ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    const length = method === 'POST' ? 'content-length: 0\r\n' : '';
    return (await raw(t, gateway.port, `${method} /x HTTP/1.1\r\n${lines.join('')}${length}\r\n`).ended).slice(9, 12);
  };
  const socket = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const key = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  for (const [method, headers] of [
    ['POST', { origin: 'https://evil.test' }],
    ['POST', { origin: 'null' }],
    ['POST', { origin: 'http://shop.localhost' }],
    ['POST', { 'sec-fetch-site': 'cross-site' }],
    ['POST', { 'sec-fetch-site': 'same-site' }],
    ['GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }],
    ['GET', { origin: 'https://evil.test' }],
    ['GET', { ...socket, ...key, origin: 'https://evil.test' }],
  ] as const)
    t.equal(await ask(method, headers), '403', `${method} ${JSON.stringify(headers)}`);
  t.same(echo.requests, []);
  // The same headers, so that what was found out of them once is known again, and another method.
  t.equal(await ask('POST', { origin: own }), '200');
  t.equal(await ask('POST', {}), '200', 'a tool says nothing of it');
  t.equal(await ask('POST', { 'sec-fetch-mode': 'cors' }), '200', 'fetch of Node');
  t.equal(echo.requests.length, 3);
});

t.test('tools are asked for Basic; browsers never, and nobody who knows Bearer', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const asked = async (headers: Readonly<Record<string, string>>, host = 'web.localhost') => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `GET /v2/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${lines.join('')}\r\n`;
    const answer = await raw(t, gateway.port, head).ended;
    return answer.match(/^www-authenticate: .*$/gim)?.map((line) => line.slice(18).trim());
  };
  const [tools, others] = [['Basic realm="daypass", charset="UTF-8"'], ['Bearer realm="daypass"']];
  t.same(await asked({}), tools);
  t.same(await asked({ 'user-agent': 'git/2.47.3', accept: '*/*' }), tools);
  t.same(await asked({ authorization: basic('a:b') }), tools);
  t.same(await asked({ authorization: `Bearer ${HANDLE}` }), others);
  t.same(await asked({ 'daypass-handle': HANDLE }), others);
  t.same(await asked({ 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0' }), others);
  t.same(await asked({ 'sec-fetch-site': 'same-origin' }), others);
  t.same(await asked({ 'sec-fetch-site': 'same-origin', authorization: basic('a:b') }), others);
});

t.test(
  'where the policy does not pass it on, whoever sends a token of their own beside a handle is told so',
  async (t) => {
    const echo = await startEcho(t);
    const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
    const { handle } = gateway.issue('web');
    const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nAuthorization: Bearer mine\r\n\r\n`;
    t.match(
      await raw(t, gateway.port, head).sees(/pass_auth/),
      /^HTTP\/1\.1 401 [\s\S]*"hint":"[^"]*pass_authorization/,
    );
    t.same(echo.requests, []);
  },
);
