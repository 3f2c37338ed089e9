import { randomUUID } from 'node:crypto';
import { UnsecuredJWT } from 'jose';
import t, { type Test } from 'tap';
import { startBrowsing } from '../http/browser/fixture.js';
import { Wanderer } from '../http/browser/wanderer.js';
import { type RawProvider, startRawProvider } from '../identity/directory/raw-provider.js';
import { PROVIDER_ENV, settingsFor } from '../identity/directory/real-provider.js';

/** A gateway whose directory says whatever a test wants. */
async function hostile(t: Test, metadata: Record<string, unknown> = {}) {
  const provider = await startRawProvider(t);
  provider.metadata = metadata;
  const settings = settingsFor(Number(new URL(provider.issuer).port));
  const { gateway } = await startBrowsing(t, { settings, env: PROVIDER_ENV });
  const home = `http://localhost:${gateway.ports.http}`;
  const rows = async (table: string) => (await gateway.ledger.query(`select from daypass.${table}`)).length;
  /** A login under way: where the browser would be led back to. */
  const begin = async (browser: Wanderer, to = '') => {
    const { next, status, body } = await browser.go(`${home}/login/oidc${to}`, { 'sec-fetch-site': 'same-origin' });
    if (next === null) throw new Error(`${status} ${body}`);
    const asked = new URL(next).searchParams;
    return { nonce: asked.get('nonce') ?? '', back: backFor(home, asked.get('state') ?? '') };
  };
  return { provider, gateway, home, rows, begin };
}

function backFor(home: string, state: string, more: Record<string, string> = {}): string {
  return `${home}/oidc/callback?${new URLSearchParams({ code: 'c', state, ...more })}`;
}

function claimsOf(provider: RawProvider, nonce: string, more: Record<string, unknown> = {}) {
  const now = Math.floor(Date.now() / 1_000);
  const who = { sub: 'u-1', preferred_username: 'alice', name: 'Alice', groups: ['dev'] };
  return { iss: provider.issuer, aud: 'daypass', iat: now, exp: now + 60, nonce, ...who, ...more };
}

t.test('A9: an ID token counts only as the directory signed it, for this client and this login', async (t) => {
  const { provider, home, rows, begin } = await hostile(t, {
    id_token_signing_alg_values_supported: ['RS256', 'none', 'HS256'],
  });
  const refused = async (name: string, make: (nonce: string) => Promise<string> | string) => {
    const browser = new Wanderer();
    const { nonce, back } = await begin(browser);
    provider.idToken = await make(nonce);
    const arrived = await browser.go(back);
    t.equal(arrived.status, 403, name);
    t.match((await browser.go(`${home}/`)).body, 'Not logged in', name);
  };
  const hour = 3_600;
  const now = Math.floor(Date.now() / 1_000);
  await refused('alg none', (nonce) => new UnsecuredJWT(claimsOf(provider, nonce)).encode());
  await refused('a key of somebody else', (nonce) => provider.forge(claimsOf(provider, nonce)));
  await refused('the nonce of another login', () => provider.sign(claimsOf(provider, 'another')));
  await refused('another issuer', (nonce) => provider.sign(claimsOf(provider, nonce, { iss: 'https://evil.test' })));
  await refused('another client', (nonce) => provider.sign(claimsOf(provider, nonce, { aud: 'another' })));
  await refused('it is over', (nonce) =>
    provider.sign(claimsOf(provider, nonce, { iat: now - hour, exp: now - hour })),
  );
  t.equal(await rows('people'), 0);
  t.equal(await rows('logins'), 0);
});

t.test('a login counts once, and only in the browser that began it; nothing changes otherwise', async (t) => {
  const { provider, home, rows, begin } = await hostile(t);
  const [alice, other, none] = [new Wanderer(), new Wanderer(), new Wanderer()];
  const { nonce, back } = await begin(alice);
  await begin(other);
  provider.idToken = await provider.sign(claimsOf(provider, nonce));
  for (const browser of [other, none]) {
    const arrived = await browser.go(back);
    t.equal(arrived.status, 400);
    t.match(arrived.body, 'did not begin this login');
  }
  t.equal((await alice.go(backFor(home, 'A'.repeat(43)))).status, 400, 'a state that nobody made');
  t.equal((await alice.go(`${back}&state=x`)).status, 400, 'two states');
  t.equal(await rows('people'), 0);
  t.equal((await alice.go(back)).status, 303, 'it was not used up by that');
  t.match((await alice.go(`${home}/`)).body, 'Logged in as alice');
  t.equal((await alice.go(back)).status, 400, 'again');
  t.equal(await rows('logins'), 1);
});

t.test('an answer that another issuer gave is refused (RFC 9207)', async (t) => {
  const { provider, home, rows, begin } = await hostile(t, { authorization_response_iss_parameter_supported: true });
  const browser = new Wanderer();
  for (const more of [{ iss: 'https://evil.test' }, {}]) {
    const { nonce, back } = await begin(browser);
    provider.idToken = await provider.sign(claimsOf(provider, nonce));
    t.equal((await browser.go(backFor(home, new URL(back).searchParams.get('state') ?? '', more))).status, 403);
  }
  t.equal(await rows('logins'), 0);
});

t.test('D29: a login never leads off this host', async (t) => {
  const { provider, home, begin } = await hostile(t);
  const targets = [
    '//evil.test',
    '/\\evil.test',
    'https://evil.test',
    '/%2F/evil.test',
    '/x//y',
    '/../x',
    'evil',
    '/\t/e',
  ];
  for (const target of [...targets, '@evil.test', '/a\r\nlocation: x']) {
    const browser = new Wanderer();
    const { nonce, back } = await begin(browser, `?to=${encodeURIComponent(target)}`);
    provider.idToken = await provider.sign(claimsOf(provider, nonce));
    t.equal((await browser.go(back)).next, `${home}/`, target);
  }
  const browser = new Wanderer();
  const { nonce, back } = await begin(browser, '?to=%2Flogin%2Ftool%3Fport%3D1');
  provider.idToken = await provider.sign(claimsOf(provider, nonce));
  t.equal((await browser.go(back)).next, `${home}/login/tool?port=1`);
});

t.test('another site begins no login: its visitor is asked first', async (t) => {
  const { home, rows } = await hostile(t);
  for (const site of ['cross-site', 'same-site']) {
    const arrived = await new Wanderer().go(`${home}/login/oidc`, { 'sec-fetch-site': site });
    t.equal(arrived.status, 200);
    t.match(arrived.body, 'href="/login/oidc"');
  }
  t.equal(await rows('oidc_flows'), 0);
});

t.test('a directory that is down, silent or endless is a page that says so; nobody is logged in', async (t) => {
  const { provider, rows, begin } = await hostile(t);
  const browser = new Wanderer();
  const away = async (name: string, answer: RawProvider['answer']) => {
    const { back } = await begin(browser);
    provider.answer = answer;
    const asked = Date.now();
    const arrived = await browser.go(back);
    t.equal(arrived.status, name === 'endless' ? 403 : 503, name);
    return Date.now() - asked;
  };
  await away('broken', (_req, res) => res.writeHead(500).end());
  await away('gone', (_req, res) => res.destroy());
  await away('endless', (_req, res) => {
    res.setHeader('content-type', 'application/json');
    const more = () => {
      while (!res.destroyed && res.write('x'.repeat(65_536)));
    };
    res.on('drain', more);
    more();
  });
  const took = await away('silent', () => {});
  t.ok(took >= 9_000, `it was waited for: ${took} ms`);
  t.equal(await rows('logins'), 0);
  const dead = await startBrowsing(t, { settings: settingsFor(1), env: PROVIDER_ENV });
  const arrived = await browser.go(`http://localhost:${dead.gateway.ports.http}/login/oidc`);
  t.equal(arrived.status, 503);
  t.equal(arrived.headers['retry-after'], '10');
  t.match(arrived.body, 'does not answer at the moment');
});

t.test('a logout token counts once, fresh, signed by the directory, for this client', async (t) => {
  const { provider, home, begin } = await hostile(t);
  const browser = new Wanderer();
  const { nonce, back } = await begin(browser);
  provider.idToken = await provider.sign(claimsOf(provider, nonce, { sid: 's-1' }));
  await browser.go(back);
  const now = Math.floor(Date.now() / 1_000);
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
  const good = { iss: provider.issuer, aud: 'daypass', iat: now, exp: now + 60, sub: 'u-1', events };
  const send = async (token: string) => {
    const answer = await new Wanderer().go(`${home}/oidc/backchannel-logout`, {}, { logout_token: token });
    t.equal(answer.headers['cache-control'], 'no-store');
    return answer.status;
  };
  const signed = (more: Record<string, unknown>) => provider.sign({ ...good, jti: randomUUID(), ...more });
  const bad: Record<string, Record<string, unknown>> = {
    'another client': { aud: 'another' },
    'another issuer': { iss: 'https://evil.test' },
    'it is over': { iat: now - 7_200, exp: now - 3_600 },
    'it is old': { iat: now - 600 },
    'it is of the future': { iat: now + 600, exp: now + 900 },
    'a nonce': { nonce: 'x' },
    'no event': { events: {} },
    'an event that is none': { events: { 'http://schemas.openid.net/event/backchannel-logout': true } },
    'no jti': { jti: undefined },
    nobody: { sub: undefined },
  };
  for (const [name, more] of Object.entries(bad)) t.equal(await send(await signed(more)), 400, name);
  t.equal(await send(await provider.forge({ ...good, jti: 'f' })), 400, 'a key of somebody else');
  t.equal(await send(new UnsecuredJWT({ ...good, jti: 'n' }).encode()), 400, 'alg none');
  t.equal(await send(provider.idToken), 400, 'an ID token');
  t.equal(await send(''), 400);
  t.match((await browser.go(`${home}/`)).body, 'Logged in as alice', 'none of them ended anything');
  t.equal(await send(await signed({ sub: undefined, sid: 's-2' })), 200, 'another session');
  t.match((await browser.go(`${home}/`)).body, 'Logged in as alice');
  const right = await signed({ sub: undefined, sid: 's-1' });
  t.equal(await send(right), 200);
  t.match((await browser.go(`${home}/`)).body, 'Not logged in');
  t.equal(await send(right), 400, 'again');
  // The directory ended this session: a login of it that is still under way comes too late.
  const late = await begin(browser);
  provider.idToken = await provider.sign(claimsOf(provider, late.nonce, { sid: 's-1' }));
  t.equal((await browser.go(late.back)).status, 403);
  t.match((await browser.go(`${home}/`)).body, 'Not logged in');
});
