import t from 'tap';
import { proofOf } from '../../src/http/browser/proof.js';
import { startWithPeople } from '../api/ground.js';
import { askable, askedBy, type Form, tokenIn, visitorOf } from '../http/browser/request-fixture.js';

/** Attempts at the page on which approvers decide. One gateway for all of them. */
const { gateway } = await startWithPeople(t);
await askable(gateway);
await gateway.ledger.query(
  `insert into daypass.people (subject, kind, source, name, groups, created_at, created_by)
   values ('lou', 'employee', 'local', 'lou', '{leads}', now(), 'ops'), ('pia', 'employee', 'local', 'pia', '{leads}', now(), 'ops')`,
);
await gateway.ledger.query("update daypass.people set sponsor = 'pia' where subject = 'bob'");

const own = `http://localhost:${gateway.ports.http}`;
const approval = { answer: 'approve', comment: 'go ahead', seconds: '' };

async function stateOf(id: string): Promise<unknown> {
  const [row] = await gateway.ledger.query(`select state from daypass.access_requests where id = '${id}'`);
  return row?.state;
}

/** What the audit log says of decisions about a request: who, by which door, what came of it. */
async function audited(id: string): Promise<string[]> {
  const rows = await gateway.ledger.query<{ line: string }>(
    `select concat_ws(' ', actor, via, act, result, entry::jsonb #>> '{detail,code}') as line from daypass.audit
     where target = 'request:${id}' and act in ('request.approve', 'request.refuse') order by seq`,
  );
  return rows.map(({ line }) => line);
}

t.test('A29: a look at a request decides nothing, whatever its address says', async (t) => {
  const id = await askedBy(gateway, 'alice');
  const lee = await visitorOf(gateway, 'lee');
  const page = await lee.look(`/requests/${id}`);
  t.equal(page.status, 200);
  const form = new URLSearchParams({ ...approval, token: tokenIn(page.body) });
  for (const path of [`/requests/${id}?${form}`, `/requests/${id}/approve?${form}`, `/requests/${id}/`])
    await lee.look(path);
  for (const method of ['HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const headers = { cookie: `__Host-daypass=${lee.secret}`, origin: own, 'sec-fetch-site': 'same-origin' };
    const { status } = await fetch(`http://127.0.0.1:${gateway.ports.http}/requests/${id}?${form}`, {
      ...{ method, headers: { ...headers, host: `localhost:${gateway.ports.http}` } },
    });
    t.ok(status >= 400, `${method} ${status}`);
  }
  t.equal(await stateOf(id), 'pending');
  t.same(await audited(id), []);
});

t.test('A29: a form that is not of a page of ours, for this login and this request, decides nothing', async (t) => {
  const [id, other] = [await askedBy(gateway, 'alice'), await askedBy(gateway, 'alice')];
  const [lee, lou] = [await visitorOf(gateway, 'lee'), await visitorOf(gateway, 'lou')];
  const path = `/requests/${id}`;
  const token = tokenIn((await lee.look(path)).body);
  const good = { ...approval, token };
  const sibling = `http://web.localhost:${gateway.ports.http}`;
  const foreign: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['by another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
    ['by a sibling host', { origin: sibling, 'sec-fetch-site': 'same-site' }],
    ['by a sibling host, as the own origin', { 'sec-fetch-site': 'same-site' }],
    ['by a sibling host, without Sec-Fetch-Site', { origin: sibling, 'sec-fetch-site': '' }],
    ['by a sandboxed frame', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
    ['by something that says nothing of where it comes from', { origin: '', 'sec-fetch-site': '' }],
    ['by a navigation', { origin: '', 'sec-fetch-site': 'none' }],
    ['with the origin of another port', { origin: 'http://localhost:1', 'sec-fetch-site': '' }],
    ['with two logins', { cookie: `__Host-daypass=${lee.secret}; __Host-daypass=${lee.secret}` }],
  ];
  for (const [name, headers] of foreign) {
    const { status } = await lee.send(path, good, headers);
    t.ok(status === 403 || status === 400, `${name}: ${status}`);
    t.equal(await stateOf(id), 'pending', name);
  }
  const forged: readonly (readonly [string, Form])[] = [
    ['without a token', approval],
    ['with an empty token', { ...approval, token: '' }],
    ['with the token of another request', { ...approval, token: tokenIn((await lee.look(`/requests/${other}`)).body) }],
    ['with the token of another person', { ...approval, token: tokenIn((await lou.look(path)).body) }],
    ['with a good token twice', [...Object.entries(good), ['token', token]]],
  ];
  for (const [name, form] of forged) {
    t.equal((await lee.send(path, form)).status, 403, name);
    t.equal(await stateOf(id), 'pending', name);
  }
  const unclear: readonly (readonly [string, Form])[] = [
    ['with no answer', { token, comment: 'x' }],
    ['with both answers', [...Object.entries(good), ['answer', 'refuse']]],
    ['with a time that is none', { ...good, seconds: '1e3' }],
    ['with a longer time', { ...good, seconds: '7201' }],
    ['without a sentence', { ...good, comment: ' \r\n ' }],
  ];
  for (const [name, form] of unclear) {
    t.equal((await lee.send(path, form)).status, 422, name);
    t.equal(await stateOf(id), 'pending', name);
  }
  const unread = await lee.send(path, { ...good, comment: 'x'.repeat(20_000) });
  t.equal(unread.status, 403, 'a form that is too long is not read');
  t.equal(await stateOf(id), 'pending');
  t.match(await lee.send(path, good), { status: 303, location: path });
  t.equal(await stateOf(id), 'approved', 'and the form itself decides');
});

t.test(
  'A14: neither who asks, nor who answers for them, nor who is no owner decides, with a form of their own',
  async (t) => {
    const [id, bobs] = [await askedBy(gateway, 'alice'), await askedBy(gateway, 'bob')];
    const cases: readonly (readonly [string, string, RegExp, string])[] = [
      ['alice', id, /Nobody decides about their own request/, 'own_request'],
      ['dana', id, /dana is not in group:leads/, 'not_allowed'],
      ['pia', bobs, /You answer for bob: somebody else decides/, 'sponsored_by_you'],
      ['rita', id, /rita is not in group:leads/, 'not_allowed'],
      ['olga', id, /olga is not in group:leads/, 'not_allowed'],
    ];
    for (const [subject, which, words, code] of cases) {
      const visitor = await visitorOf(gateway, subject);
      const path = `/requests/${which}`;
      const page = await visitor.look(path);
      t.match(page, { status: 200, body: words }, subject);
      t.notMatch(page.body, /<form/, subject);
      for (const answer of ['approve', 'refuse']) {
        const token = proofOf(visitor.secret, ['request', which]);
        const answered = await visitor.send(path, { ...approval, answer, token });
        t.match(answered, { status: 403, body: words }, subject);
        t.equal((await audited(which)).at(-1), `${subject} browser request.${answer} refused ${code}`);
      }
      t.equal(await stateOf(which), 'pending', subject);
    }
  },
);

t.test('whoever may not see a request learns nothing of it, not even that there is one', async (t) => {
  const id = await askedBy(gateway, 'alice');
  const nowhere = id.replace(/.{12}$/, '0'.repeat(12));
  const bob = await visitorOf(gateway, 'bob');
  const seen: string[] = [];
  for (const which of [id, nowhere, 'x', '%F0%9F%98%80', "'--"]) {
    const path = `/requests/${which}`;
    const token = proofOf(bob.secret, ['request', which]);
    for (const answered of [await bob.look(path), await bob.send(path, { ...approval, token })]) {
      t.equal(answered.status, 404, which);
      seen.push(answered.body);
    }
  }
  t.equal(new Set(seen).size, 1, 'one answer to all of them');
  t.equal(await stateOf(id), 'pending');
  t.match(await audited(id), ['bob browser request.approve refused not_allowed'], 'the attempt is written down');
  const nobody = await visitorOf(gateway, 'nobody');
  t.match(await nobody.look(`/requests/${id}`), { status: 403, body: /There is no account .*nobody.* here/ });
});

t.test('of two tabs that decide at once one does, and the other is shown what came of it', async (t) => {
  const id = await askedBy(gateway, 'alice');
  const [lee, lou] = [await visitorOf(gateway, 'lee'), await visitorOf(gateway, 'lou')];
  const path = `/requests/${id}`;
  const form = { ...approval, token: tokenIn((await lee.look(path)).body) };
  const refusal = { answer: 'refuse', comment: 'not now', token: tokenIn((await lou.look(path)).body) };
  const answers = await Promise.all([lee.send(path, form), lee.send(path, form), lou.send(path, refusal)]);
  const statuses = answers.map(({ status }) => status).sort();
  t.same(statuses, [303, 409, 409]);
  for (const { status, body } of answers)
    if (status === 409) t.match(body, /Not decided.*The request (is approved|was refused)/s);
  const [row] = await gateway.ledger.query(
    `select count(*)::int as n from daypass.approvals where request_id = '${id}'`,
  );
  t.match(row, { n: 1 });
  t.equal((await audited(id)).filter((line) => line.includes(' done')).length, 1);
});

t.test('D25: what people wrote is text on the page, under a policy that allows no script', async (t) => {
  const task = `Look at <img src=x onerror=alert(1)> </textarea><script>alert(2)</script> " ' & \u200bhidden`;
  const id = await askedBy(gateway, 'alice', { task });
  const lee = await visitorOf(gateway, 'lee');
  const page = await lee.look(`/requests/${id}`);
  t.notMatch(page.body, /<img|<script|\u200b/);
  t.ok(page.body.includes('&#60;img src=x onerror=alert(1)&#62;'));
  t.ok(page.body.includes('\\u200bhidden'), 'what is invisible is shown');
  t.match(
    page.headers['content-security-policy'],
    /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'$/,
  );
  t.match(page.headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  const comment = '</textarea><script>alert(3)</script>\r\nand more';
  const again = await lee.decide(id, { answer: 'approve', comment, seconds: '99999' });
  t.equal(again.status, 422);
  t.notMatch(again.body, /<script/);
  t.ok(
    again.body.includes('&#60;/textarea&#62;&#60;script&#62;alert(3)&#60;/script&#62; and more'),
    'kept to be mended',
  );
});

t.test(
  'A29: a link that is opened while nobody is logged in leads back to its page, and to nowhere else',
  async (t) => {
    const id = await askedBy(gateway, 'alice');
    const lee = await visitorOf(gateway, 'lee');
    const out = { cookie: '' };
    const welcome = await lee.send(`/requests/${id}`, approval, out);
    t.match(welcome, { status: 401, body: new RegExp(`data-to="/requests/${id}"`) });
    for (const path of ['//evil.example', '/\\evil.example', '/requests/%2f%2fevil.example', '/requests/..%2f..']) {
      const answered = await lee.send(path, approval, out);
      t.notMatch(answered.body, /data-to/, path);
    }
    const odd = await lee.send('/requests/https:evil.example?to=//evil.example', approval, out);
    t.match(odd.body, /data-to="\/requests\/https:evil.example\?to=\/\/evil.example"/, 'a path of this host');
    t.equal(await stateOf(id), 'pending');
  },
);
