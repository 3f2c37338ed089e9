import { request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { webPolicy } from '../http/browser/fixture.js';
import { waitUntil } from '../support/wait.js';
import { startWithPeople } from './ground.js';

t.test('somebody who is logged in learns who they are and what they may do', async (t) => {
  const { as } = await startWithPeople(t);
  const olga = await (await as('olga'))('GET', '/me');
  t.match(olga, {
    status: 200,
    body: { subject: 'olga', kind: 'employee', duties: ['operator'], owns: [], via: 'browser' },
  });
  t.same((await (await as('lee'))('GET', '/me')).body.owns, ['shop', 'web']);
  const alice = await (await as('alice'))('GET', '/me');
  t.match(alice.body, { kind: 'contractor', sponsor: 'dana', duties: [], owns: [] });
  t.equal(alice.headers['cache-control'], 'no-store');
  t.equal(alice.headers['x-content-type-options'], 'nosniff');
  t.notOk(alice.headers['set-cookie']);
});

t.test('services are told by names and limits, with the grants of whoever asks', async (t) => {
  const { as, gateway } = await startWithPeople(t);
  const { id } = await gateway.issue({ service: 'web', principal: 'alice' });
  await gateway.issue({ service: 'web', principal: 'bob' });
  const { body, text } = await (await as('alice'))('GET', '/services');
  t.match(body, {
    services: [
      { name: 'shop', grants: [] },
      { name: 'web', protocol: 'http', lane: 'production', roles: ['viewer'], grants: [{ grant: id, role: 'viewer' }] },
    ],
  });
  const [, web] = body.services as { grants: { secondsLeft: number }[] }[];
  t.equal(web?.grants.length, 1);
  t.ok((web?.grants[0]?.secondsLeft ?? 0) > 500);
  t.notMatch(text, /127\.0\.0\.1|upstream/);
});

t.test('grants are seen by their holder, the owners of their service, reviewers and operators', async (t) => {
  const { as, gateway } = await startWithPeople(t);
  const mine = await gateway.issue({ service: 'web', principal: 'alice' });
  const other = await gateway.issue({ service: 'shop', principal: 'bob' });
  const seen = async (subject: string, query = '') => {
    const { body } = await (await as(subject))('GET', `/grants${query}`);
    return (body.grants as { id: string }[]).map(({ id }) => id);
  };
  t.same(await seen('alice'), [mine.id]);
  t.same(await seen('alice', '?principal=bob'), []);
  t.same(await seen('alice', '?service=shop'), []);
  for (const subject of ['lee', 'rita', 'olga'])
    t.same((await seen(subject)).sort(), [mine.id, other.id].sort(), subject);
  t.same(await seen('dana'), []);
  const lee = await as('lee');
  const first = await lee('GET', '/grants?limit=1');
  t.equal((first.body.grants as unknown[]).length, 1);
  const second = await lee('GET', `/grants?limit=1&cursor=${first.body.next}`);
  t.equal(second.body.next, null);
  t.not((first.body.grants as { id: string }[])[0]?.id, (second.body.grants as { id: string }[])[0]?.id);
  const bob = await as('bob');
  t.equal((await bob('GET', `/grants/${other.id}`)).status, 200);
  t.match(await bob('GET', `/grants/${mine.id}`), { status: 403, body: { code: 'not_allowed', status: 403 } });
});

t.test('owners end grants of their services, operators those of a person, and nobody else any', async (t) => {
  const { as, gateway } = await startWithPeople(t);
  const { id } = await gateway.issue({ service: 'web', principal: 'alice' });
  const { id: shop } = await gateway.issue({ service: 'shop', principal: 'alice' });
  const reason = 'the contract is over';
  for (const subject of ['alice', 'dana', 'rita', 'bob']) {
    for (const asked of [{ grant: id }, { service: 'web' }, { person: 'alice' }]) {
      const refused = await (await as(subject))('POST', '/revocations', { ...asked, reason });
      t.match(refused, { status: 403, body: { code: 'not_allowed' } }, `${subject} ${JSON.stringify(asked)}`);
    }
  }
  const lee = await as('lee');
  t.match(await lee('POST', '/revocations', { person: 'alice', reason }), { status: 403 });
  t.match(await lee('POST', '/revocations', { grant: id, reason }), {
    status: 200,
    body: { grants: [id], requests: [], ledger: 'written', failed: [] },
  });
  const olga = await as('olga');
  t.same((await olga('POST', '/revocations', { person: 'alice', reason })).body.grants, [shop]);
  t.match(await olga('GET', `/grants/${shop}`), { body: { state: 'revoked', acts: [{}, { by: 'olga', reason }] } });
  t.match(await olga('POST', '/revocations', { person: 'nobody', reason }), {
    status: 404,
    body: { code: 'unknown_person' },
  });
  t.match(await olga('POST', '/revocations', { person: 'alice', service: 'web', reason }), { status: 400 });
  t.match(await lee('GET', '/nothing'), { status: 404, body: { code: 'not_found' } });
});

t.test('what is sent again with its key is done once, and answered as it was', async (t) => {
  const { as, gateway } = await startWithPeople(t);
  const { id } = await gateway.issue({ service: 'web', principal: 'alice' });
  const lee = await as('lee');
  const body = { grant: id, reason: 'the contract is over' };
  const key = { 'idempotency-key': '"8e03978e-40d5-43e8-bc93-6894a57f9324"' };
  const first = await lee('POST', '/revocations', body, key);
  const again = await lee('POST', '/revocations', body, { 'idempotency-key': '8e03978e-40d5-43e8-bc93-6894a57f9324' });
  t.equal(first.status, 200);
  t.same([again.status, again.text], [first.status, first.text]);
  t.equal(again.headers['idempotency-replayed'], 'true');
  const acts = await gateway.ledger.query(`select from daypass.grant_acts where grant_id = '${id}' and act = 'revoke'`);
  t.equal(acts.length, 1, 'it was done once');
  t.match(await lee('POST', '/revocations', { ...body, reason: 'another reason' }, key), {
    status: 422,
    body: { code: 'key_used_differently' },
  });
  const olga = await as('olga');
  t.match(await olga('POST', '/revocations', body, key), { status: 200 }, 'of another person the same key is another');
  t.match(await lee('POST', '/revocations', body, { 'idempotency-key': 'a b' }), { status: 400 });
  t.match(await lee('POST', '/revocations', body, { 'idempotency-key': '' }), { status: 400 });
  await gateway.ledger.query(`update daypass.idempotency set status = null, answer = null`);
  const pending = await lee('POST', '/revocations', body, key);
  t.match(pending, { status: 409, body: { code: 'under_way' } });
  t.equal(pending.headers['retry-after'], '1');
  await gateway.ledger.query(`update daypass.idempotency set at = now() - interval '25 hours'`);
  const late = await lee('POST', '/revocations', body, key);
  t.notOk(late.headers['idempotency-replayed'], 'a day later the key is free');
});

t.test('two requests with one key at once are done once', async (t) => {
  const { as, gateway } = await startWithPeople(t);
  const { id } = await gateway.issue({ service: 'web', principal: 'alice' });
  const lee = await as('lee');
  const body = { grant: id, reason: 'the contract is over' };
  const answers = await Promise.all(
    [1, 2, 3, 4].map(() => lee('POST', '/revocations', body, { 'idempotency-key': 'k' })),
  );
  t.ok(
    answers.every(({ status }) => status === 200 || status === 409),
    answers.map(({ status }) => status).join(),
  );
  const acts = await gateway.ledger.query(`select from daypass.grant_acts where grant_id = '${id}' and act = 'revoke'`);
  t.equal(acts.length, 1);
});

t.test('who asks too often waits, and nobody else does', async (t) => {
  const { as } = await startWithPeople(t);
  const [alice, bob] = [await as('alice'), await as('bob')];
  for (let asked = 0; asked < 300; asked += 1) await alice('GET', '/me');
  const refused = await alice('GET', '/me');
  t.match(refused, { status: 429, body: { code: 'too_many_requests', hint: /Wait \d+ s/ } });
  t.match(refused.headers['retry-after'], /^[1-9]\d*$/);
  t.equal((await bob('GET', '/me')).status, 200);
});

t.test('a flood without logins from an address does not shut out whoever is logged in there', async (t) => {
  const { ask, as } = await startWithPeople(t);
  const alice = await as('alice');
  const statuses: number[] = [];
  for (let asked = 0; asked < 65; asked += 1) statuses.push((await ask({ path: '/api/v1/me' })).status);
  t.same([...new Set(statuses)], [401, 429]);
  t.equal(statuses.indexOf(429), 60);
  t.equal((await alice('GET', '/me')).status, 200);
  t.equal((await ask({ path: '/api/v1/openapi.json' })).status, 429);
});

t.test('recordings are for reviewers, operators and owners of the service, and each look is recorded', async (t) => {
  const { as, gateway, ask } = await startWithPeople(t);
  const { handle } = await gateway.issue({ service: 'web', principal: 'alice' });
  await ask({ path: '/x', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
  const [{ id = '' } = {}] = await gateway.ledger.query<{ id: string }>('select id from daypass.sessions');
  for (const subject of ['alice', 'dana', 'bob']) {
    const person = await as(subject);
    for (const path of ['/sessions', `/sessions/${id}`, `/sessions/${id}/events`, `/sessions/${id}/replay`])
      t.match(await person('GET', path), { status: 403, body: { code: 'not_allowed' } }, `${subject} ${path}`);
  }
  t.same(await gateway.ledger.query('select from daypass.viewings'), [], 'nobody has seen anything');
  for (const subject of ['lee', 'rita', 'olga']) {
    const person = await as(subject);
    t.match(await person('GET', '/sessions'), { status: 200, body: { sessions: [{ id }], next: null } });
    t.match(await person('GET', `/sessions/${id}`), { status: 200, body: { id, principal: 'alice', liveHere: true } });
    t.match(await person('GET', `/sessions/${id}/events`), { status: 200, text: /"kind":"action"/ });
    t.match(await person('GET', `/sessions/${id}/replay`), { status: 200, text: /GET \/x/ });
  }
  const looked = await gateway.ledger.query('select by, act from daypass.viewings order by by, act');
  t.equal(looked.length, 9);
  t.match(looked[0], { by: 'lee', act: 'export' });
  t.match(
    await (await as('rita'))('POST', `/sessions/${id}/end`, {}),
    { status: 400 },
    'nobody ends one without saying why',
  );
});

t.test(
  'reviewers and owners search, watch, export, verify and end sessions of theirs, under their names',
  async (t) => {
    const { as, gateway, ask } = await startWithPeople(t);
    const { handle } = await gateway.issue({ service: 'web', principal: 'alice' });
    await ask({ path: '/odd-path', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
    const [{ id = '' } = {}] = await gateway.ledger.query<{ id: string }>('select id from daypass.sessions');
    const reading = ['/search?text=odd', `/sessions/${id}/export?format=har`, `/sessions/${id}/watch`];
    const draft = webPolicy('http://127.0.0.1:1');
    const since = '2026-01-01T00:00:00Z';
    for (const subject of ['alice', 'dana', 'bob']) {
      const person = await as(subject);
      for (const path of reading)
        t.match(await person('GET', path), { status: 403, body: { code: 'not_allowed' } }, path);
      t.match(await person('POST', `/sessions/${id}/end`, { reason: 'mischief' }), { status: 403 });
      t.match(await person('POST', '/verify', { session: id }), { status: 403 });
      t.match(await person('POST', '/policy/replay', { draft, since }), { status: 403 });
    }
    t.same(await gateway.ledger.query('select from daypass.viewings'), [], 'nobody has seen anything');

    const [lee, rita] = [await as('lee'), await as('rita')];
    const found = async (person: typeof rita) => (await person('GET', '/search?text=odd')).body.found as unknown[];
    await waitUntil('the index', async () => (await found(rita)).length === 1);
    t.match(await found(lee), [{ session: { id, principal: 'alice' } }]);
    t.match(await rita('GET', `/sessions/${id}/export?format=har`), {
      status: 200,
      text: /odd-path/,
      body: { log: {} },
    });
    t.match(await rita('GET', `/sessions/${id}/export?format=sql`), { status: 400 });
    t.match(await rita('GET', `/sessions/${id}/watch?by=olga`), { status: 400 }, 'nobody looks under another name');
    t.match(await rita('POST', '/verify', { session: id }), { status: 200, body: { ok: true, sessions: 1 } });
    t.match(await rita('POST', '/policy/replay', { draft, since }), {
      status: 200,
      body: { service: 'web', sessions: 1 },
    });
    const watched = rita('GET', `/sessions/${id}/watch?timed=true`);
    await waitUntil('she looks', async () => {
      const looks = await gateway.ledger.query("select from daypass.viewings where act = 'watch'");
      return looks.length === 1;
    });
    t.match(await rita('POST', `/sessions/${id}/end`, { reason: 'looks odd' }), {
      status: 200,
      body: { state: 'ended' },
    });
    t.match(await watched, { status: 200, text: /odd-path.*ended: /s });
    t.match(await rita('POST', `/sessions/${id}/end`, { reason: 'again' }), {
      status: 409,
      body: { code: 'already_ended' },
    });
    const lines = await gateway.ledger.query(
      `select actor, via, act, result from daypass.audit where target = 'session:${id}' order by seq`,
    );
    const refused = ['alice', 'dana', 'bob'].map((actor) => ({ actor, act: 'session.end', result: 'refused' }));
    t.match(lines, [
      ...refused,
      ...['recording.export', 'recording.verify', 'recording.watch'].map((act) => ({ act, result: 'done' })),
      { actor: 'rita', act: 'session.end', result: 'done' },
      { actor: 'rita', act: 'session.end', result: 'refused' },
    ]);
    t.ok(lines.every(({ via }) => via === 'browser'));

    await gateway.policy('web', webPolicy('http://127.0.0.1:1').replace('group:leads', 'group:others'));
    t.same(await found(lee), [], 'owners search what is theirs');
    for (const path of reading.slice(1)) t.match(await lee('GET', path), { status: 403 }, path);
    t.match(
      await lee('POST', '/policy/replay', { draft, since }),
      { status: 403 },
      'whose service it is the draft does not say',
    );
  },
);

t.test('B11: whoever watches and is shut out meanwhile sees no more', async (t) => {
  const { as, gateway, ask } = await startWithPeople(t);
  const { handle } = await gateway.issue({ service: 'web', principal: 'alice' });
  await ask({ path: '/x', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
  const [{ id = '' } = {}] = await gateway.ledger.query<{ id: string }>('select id from daypass.sessions');
  const [rita, lee] = [await as('rita'), await as('lee')];
  const shutOut = [rita, lee].map((person) => t.rejects(person('GET', `/sessions/${id}/watch`), 'it broke off'));
  await waitUntil('both look', async () => {
    const looks = await gateway.ledger.query("select from daypass.viewings where act = 'watch'");
    return looks.length === 2;
  });
  await gateway.ledger.query("update daypass.people set groups = '{}' where subject = 'rita'");
  await gateway.ledger.query("update daypass.logins set ended_at = now() where principal = 'lee'");
  await Promise.all(shutOut);
});

t.test('what asks the ledger for as long as it is looked at, one person has a bounded number of', async (t) => {
  const { as, gateway, ask } = await startWithPeople(t);
  const { handle } = await gateway.issue({ service: 'web', principal: 'alice' });
  await ask({ path: '/x', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
  const [{ id = '' } = {}] = await gateway.ledger.query<{ id: string }>('select id from daypass.sessions');
  const [rita, lee] = [await as('rita'), await as('lee')];
  const watches = Array.from({ length: 17 }, () => lee('GET', `/sessions/${id}/watch`));
  const refused = await Promise.race(watches);
  t.match(refused, { status: 429, body: { code: 'too_many_requests' } });
  t.match(await rita('POST', `/sessions/${id}/end`, { reason: 'seen' }), { status: 200 }, 'others are not kept');
  const answers = await Promise.all(watches);
  t.equal(answers.filter(({ status }) => status === 200).length, 16);
  t.match(await lee('GET', `/sessions/${id}/watch`), { status: 200 }, 'and who has ended some may begin another');
});

t.test('the API describes itself to everyone', async (t) => {
  const { ask } = await startWithPeople(t);
  const { status, body, headers } = await ask({ path: '/api/v1/openapi.json' });
  t.equal(status, 200);
  t.match(headers['content-type'], /application\/json/);
  t.match(body, { openapi: '3.1.0', paths: { '/api/v1/me': { get: {} } } });
});

t.test('an outage of the ledger is a 503 that tells nothing of it, logged and counted once', async (t) => {
  const { as, gateway } = await startWithPeople(t);
  const alice = await as('alice');
  await gateway.ledger.query('alter table daypass.people rename to people_away');
  const answer = await alice('GET', '/me');
  await gateway.ledger.query('alter table daypass.people_away rename to people');
  t.match(answer, {
    status: 503,
    body: { code: 'ledger_unavailable', type: 'urn:daypass:problem:ledger_unavailable' },
  });
  t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8');
  t.notMatch(answer.text, /people|relation|stack/);
  const told = gateway.lines.filter(({ msg }) => msg === 'the API could not do what was asked');
  t.equal(told.length, 1);
});

t.test('who leaves before the first byte of a recording is no fault of the gateway', async (t) => {
  const { gateway, ask, login } = await startWithPeople(t);
  const { handle } = await gateway.issue({ service: 'web', principal: 'alice' });
  await ask({ path: '/x', host: 'web.localhost', headers: { authorization: `Bearer ${handle}` } });
  const [{ id = '' } = {}] = await gateway.ledger.query<{ id: string }>('select id from daypass.sessions');
  const { http: port } = gateway.ports;
  const headers = { host: `localhost:${port}`, cookie: await login('rita') };
  const holder = await gateway.ledger.client();
  await holder.query('begin; lock table daypass.viewings');
  const path = `/api/v1/sessions/${id}/watch`;
  const left = request({ host: '127.0.0.1', port, path, headers });
  left.on('error', () => {}).end();
  const waits = `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%viewings%'`;
  await waitUntil('the look is to be noted', async () => (await gateway.ledger.query(waits)).length > 0);
  left.destroy();
  await pause(200);
  await holder.query('commit');
  await waitUntil('it is', async () => (await gateway.ledger.query('select from daypass.viewings')).length > 0);
  await pause(200);
  t.same(
    gateway.lines.filter(({ level }) => Number(level) >= 50),
    [],
  );
});
