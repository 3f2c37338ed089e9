import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { linkFor, startBrowsing } from '../http/browser/fixture.js';
import { Wanderer } from '../http/browser/wanderer.js';

const VERIFIER = 'v'.repeat(43);
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');
const ASKED = { port: '45678', challenge: CHALLENGE, state: 's'.repeat(43), client: 'laptop' };

/** A browser that is logged in as alice, and a command line that asks. */
async function asking(t: Test) {
  const { gateway } = await startBrowsing(t);
  const home = `http://localhost:${gateway.ports.http}`;
  const alice = new Wanderer();
  await alice.go(`${home}/login`, {}, { code: await linkFor(gateway) });
  const page = await alice.go(`${home}/login/tool?${new URLSearchParams(ASKED)}`);
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(page.body) ?? [];
  const confirm = (form: Record<string, string> = {}, headers: Record<string, string> = {}) =>
    alice.go(`${home}/login/tool`, headers, { ...ASKED, token, answer: 'yes', ...form });
  const exchange = (body: object, headers: Record<string, string> = {}) =>
    fetch(`${home}/api/v1/tokens`, {
      ...{ method: 'POST', body: JSON.stringify(body) },
      headers: { 'content-type': 'application/json', ...headers },
    });
  const codes = async () => (await gateway.ledger.query('select from daypass.tool_codes')).length;
  const tokens = async () => (await gateway.ledger.query('select from daypass.tokens')).length;
  const lines = () =>
    gateway.ledger.query(`select actor, via, act, target, entry::jsonb -> 'detail' as detail from daypass.audit
      where act like 'token.%' order by seq`);
  /** What the log says of codes, links and tokens that were not good. */
  const refusals = () => gateway.lines.filter(({ rule }) => rule === 'a token for a tool').map(({ reason }) => reason);
  return { home, alice, page, confirm, exchange, codes, tokens, lines, refusals };
}

function codeOf(address: string | null): string {
  return new URL(address ?? 'http://none').searchParams.get('code') ?? '';
}

t.test('a code for a tool is made by a press on our own page alone', async (t) => {
  const { home, alice, page, confirm, codes } = await asking(t);
  const policy = String(page.headers['content-security-policy']);
  t.match(policy, /form-action 'self' http:\/\/127\.0\.0\.1:45678;/);
  t.match(policy, /frame-ancestors 'none'/);
  t.equal((await confirm({}, { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' })).status, 403);
  t.equal((await confirm({}, { 'sec-fetch-site': 'same-site', origin: 'http://web.localhost' })).status, 403);
  for (const form of [{ token: '' }, { port: '45679' }, { challenge: 'x'.repeat(43) }, { client: 'another' }])
    t.equal((await confirm(form)).status, 400, JSON.stringify(form));
  const bad = [
    { port: '80' },
    { port: '4567 8' },
    { port: '70000' },
    { port: '1@evil.test' },
    { client: '<b>' },
    { state: 'x' },
  ];
  for (const more of bad) {
    const asked = await alice.go(`${home}/login/tool?${new URLSearchParams({ ...ASKED, ...more })}`);
    t.equal(asked.status, 400, JSON.stringify(more));
  }
  t.equal((await new Wanderer().go(`${home}/login/tool`, {}, { ...ASKED, answer: 'yes' })).status, 401);
  t.equal(await codes(), 0);
  const said = await confirm();
  t.match(said.next, /^http:\/\/127\.0\.0\.1:45678\/\?code=[\w-]{43}&state=s{43}$/);
});

t.test('a code for a tool is worth nothing without its verifier, and counts once', async (t) => {
  const { confirm, exchange, tokens, refusals } = await asking(t);
  const stolen = codeOf((await confirm()).next);
  t.equal((await exchange({ code: stolen, verifier: 'w'.repeat(43) })).status, 400);
  t.equal((await exchange({ code: stolen, verifier: VERIFIER })).status, 400, 'it is used up');
  t.same(refusals(), ['code_over', 'code_over'], 'each is told of, once');
  const code = codeOf((await confirm()).next);
  t.equal((await exchange({ code, verifier: VERIFIER }, { origin: 'https://evil.test' })).status, 403);
  t.equal((await exchange({ code, verifier: VERIFIER }, { 'content-type': 'text/plain' })).status, 400);
  for (const as of ['\0', '\ud800', '', 'a b'])
    t.equal((await exchange({ link: 'l'.repeat(43), client: 'laptop', as })).status, 400, 'no fault of the ledger');
  t.equal(await tokens(), 0);
  const made = await exchange({ code, verifier: VERIFIER });
  t.equal(made.status, 201);
  t.equal(made.headers.get('cache-control'), 'no-store');
  t.match(await made.json(), { subject: 'alice', token: /^dpt_[\w-]{43}$/ });
  t.equal((await exchange({ code, verifier: VERIFIER })).status, 400, 'again');
  t.equal(await tokens(), 1);
});

t.test('a code of a login that was ended meanwhile gives no token', async (t) => {
  const { home, alice, confirm, exchange, tokens } = await asking(t);
  const code = codeOf((await confirm()).next);
  await alice.go(`${home}/logout`, {}, {});
  t.equal((await exchange({ code, verifier: VERIFIER })).status, 400);
  t.equal(await tokens(), 0);
});

t.test('no token is made or given back without its line in the audit log', async (t) => {
  const { home, confirm, exchange, lines, refusals } = await asking(t);
  const code = codeOf((await confirm()).next);
  const { token } = JSON.parse(await (await exchange({ code, verifier: VERIFIER })).text());
  await exchange({ code, verifier: VERIFIER });
  const back = () =>
    fetch(`${home}/api/v1/tokens/current`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
  t.equal((await back()).status, 200);
  t.equal((await back()).status, 401);
  t.same(refusals(), ['code_over', 'unauthorised']);
  const about = { actor: 'alice', target: 'person:alice', detail: { client: 'laptop' } };
  t.same(await lines(), [
    { ...about, via: 'browser', act: 'token.create' },
    { ...about, via: 'token', act: 'token.end' },
  ]);
});
