import t from 'tap';
import { readChallenges } from '../../src/http/headers/challenges.js';
import { render } from '../../src/http/record/render.js';
import { startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';

/* What a service asks its clients for in `WWW-Authenticate`, where their answer reaches it and where it does not. */

const TOKENS = 'Bearer realm="https://auth.example.test/token",service="registry",scope="repository:a/b:pull,push"';
/** The same, put together anew. */
const REJOINED = TOKENS.replaceAll('",', '", ');

/** A value, what of it goes on, and which schemes do not. */
const VALUES: readonly (readonly [string, string, readonly string[]])[] = [
  ['Basic realm="x"', '', ['basic']],
  ['basic', '', ['basic']],
  ['BASIC\trealm="x", charset="UTF-8"', '', ['basic']],
  ['Negotiate', '', ['negotiate']],
  ['NTLM TlRMTVNTUAACAAAA==', '', ['ntlm']],
  ['Digest realm="a, b", qop="auth, auth-int", nonce="x\\", Bearer y", algorithm=SHA-256', '', ['digest']],
  ['Digest realm = "a" , nonce = "b"', '', ['digest']],
  ['Negotiate, NTLM,Basic realm="x"', '', ['negotiate', 'ntlm', 'basic']],
  [', ,Basic realm="x",', '', ['basic']],
  [TOKENS, '*', []],
  ['Bearer error="invalid_token", error_description="use no Basic, Basic is over"', '*', []],
  ['Bearer realm="a, Basic b"', '*', []],
  ['Bearer basic="x", digest=y', '*', []],
  ['Basics realm="x"', '*', []],
  ['DPoP algs="ES256"', '*', []],
  ['', '*', []],
  [`${TOKENS}, Basic realm="x"`, REJOINED, ['basic']],
  ['Basic realm="x", Bearer', 'Bearer', ['basic']],
  ['Basic realm="x", Bearer realm="y", Digest nonce="z", Hawk', 'Bearer realm="y", Hawk', ['basic', 'digest']],
  ['Basic realm="x', '', ['basic']],
  ['Basic realm="x\\', '', ['basic']],
];

t.test('challenges for which a browser asks for a password are told from others', async (t) => {
  for (const [value, passed, withheld] of VALUES) {
    t.same(readChallenges(value).withheld, withheld, value);
    if (passed !== '*') t.equal(readChallenges(value).passed, passed, value);
  }
  // What is quadratic or worse would not come to its end.
  for (const piece of ['"', '\\"', ',', 'a ', 'Basic ', '"\\', ' \t', 'a'])
    t.notMatch(readChallenges(piece.repeat(1_000_000)).passed, /basic/i, JSON.stringify(piece));
});

/** What a service says, by path. */
const SAID: Readonly<Record<string, string | string[]>> = {
  '/basic': 'Basic realm="Tomcat Manager"',
  '/many': ['Negotiate', 'NTLM', TOKENS],
  '/one-line': `Negotiate, ${TOKENS}`,
  '/tokens': TOKENS,
  '/live': 'Digest realm="x", nonce="y"',
};
const OPENING =
  'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\n';

t.test("a service's challenge reaches a client where the client's answer would reach the service", async (t) => {
  const echo = await startEcho(t, (req, res) => {
    req.resume();
    res.writeHead(401, { 'www-authenticate': SAID[req.url ?? ''] ?? 'Basic realm="x"' }).end('who are you?');
  });
  const roles = { viewer: ['GET /**', 'WS /live'] };
  const services = {
    web: { url: echo.url, roles },
    hosted: { url: echo.url, roles, preserveHost: true },
    passing: { url: echo.url, roles, passAuthorization: true },
    injected: { url: echo.url, roles, headers: { authorization: 'Basic eDp3cm9uZw==' } },
  };
  const gateway = await startGateway(t, services);
  const handles = new Map(Object.keys(services).map((name) => [name, gateway.issue(name).handle]));
  const asked = async (service: string, path: string) => {
    const rest = path === '/live' ? OPENING : 'Connection: close\r\n';
    const head = `Host: ${service}.localhost\r\nDaypass-Handle: ${handles.get(service)}\r\n${rest}`;
    const answer = await raw(t, gateway.port, `GET ${path} HTTP/1.1\r\n${head}\r\n`).ended;
    t.match(
      answer,
      /^HTTP\/1\.1 401 [\s\S]*\r\n\r\n(?:c\r\n)?who are you\?/,
      `${service}${path}: the rest of the answer stands`,
    );
    return [...answer.matchAll(/^www-authenticate: (.*)\r$/gim)].map(([, value]) => value);
  };
  for (const service of ['web', 'hosted', 'injected']) {
    t.same(await asked(service, '/basic'), [], service);
    t.same(await asked(service, '/many'), [TOKENS], service);
    t.same(await asked(service, '/one-line'), [REJOINED], service);
    t.same(
      await asked(service, '/tokens'),
      [TOKENS],
      `${service}: nobody is asked for a password, and it may say what is wrong`,
    );
    t.same(await asked(service, '/live'), [], `${service}: in place of a WebSocket`);
  }
  for (const [path, said] of Object.entries(SAID)) t.same(await asked('passing', path), [said].flat(), path);

  const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
  const withheld = ['basic', 'negotiate, ntlm', 'negotiate', undefined, 'digest'];
  t.same(
    results.map(({ facts }) => facts.withheld).sort(),
    [...withheld, ...withheld, ...withheld, ...withheld.map(() => undefined)].sort(),
    'the record says which did not go on',
  );
  const [result] = results;
  t.match(result && render(result), /^→ 401, .*, its challenge \(basic\) not passed on/);

  gateway.reload('web', { url: echo.url, roles, passAuthorization: true });
  t.same(await asked('web', '/basic'), [SAID['/basic']], 'under a new policy at once');
});
