import t from 'tap';
import { webPolicy } from '../http/browser/fixture.js';
import { type Answer, startWithPeople } from './ground.js';

const TASK = 'Find out why order 4711 was charged twice';

/** The ground, with a service `web` that one may ask for. */
async function asking(t: Parameters<typeof startWithPeople>[0]) {
  const ground = await startWithPeople(t);
  const access = 'access: { approvals: 1 }\n';
  await ground.gateway.policy('web', `${webPolicy('http://127.0.0.1:1')}${access}`);
  const [alice, lee] = [await ground.as('alice'), await ground.as('lee')];
  const asked = { service: 'web', task: TASK, seconds: 600 };
  const create = async () => String((await alice('POST', '/requests', asked)).body.id);
  return { ...ground, alice, lee, asked, create };
}

t.test('who has an account is shown the way without a password first, and nobody else', async (t) => {
  const { gateway } = await asking(t);
  t.match(await gateway.issue({ service: 'web' }), { connect: [/^daypass connect web$/, /curl/] });
  t.match(await gateway.issue({ service: 'web', principal: 'stranger' }), { connect: [/curl/] });
});

t.test('access is asked for, agreed to, begun, renewed and given back over the network', async (t) => {
  const { alice, lee, asked, as } = await asking(t);
  const made = await alice('POST', '/requests', asked);
  t.match(made, { status: 201, body: { state: 'pending', principal: 'alice', needed: 1, given: 0, grant: null } });
  const path = `/requests/${made.body.id}`;
  t.match(await lee('GET', '/requests?toDecide=true'), { body: { requests: [{ id: made.body.id }], next: null } });
  t.match(await alice('POST', `${path}/activate`, {}), { status: 409, body: { code: 'not_approved' } });
  t.match(await lee('POST', `${path}/approve`, { comment: 'go ahead' }), { status: 200, body: { state: 'approved' } });
  const begun = await alice('POST', `${path}/activate`, {});
  t.match(begun, {
    status: 201,
    body: { handle: /^dp_/, request: { state: 'activated' }, connect: [/^daypass connect web$/, /curl/] },
  });
  t.equal(begun.headers['cache-control'], 'no-store');
  t.match(await alice('POST', `${path}/renew`, { seconds: 60, reason: 'not done yet' }), {
    status: 200,
    body: { grant: { renewals: 1 } },
  });
  const shown = await lee('GET', path);
  t.match(shown, { status: 200, body: { approvals: [{ approver: 'lee', comment: 'go ahead' }] } });
  t.notMatch(shown.text, /dp_/, 'an approver never sees the handle');
  t.match(await alice('POST', `${path}/return`, { reason: 'done' }), { status: 200, body: { state: 'returned' } });
  t.match(await (await as('bob'))('GET', path), { status: 404, body: { code: 'unknown_request' } });
  const audited = await (await as('rita'))('GET', '/audit?act=request');
  const acts = (audited.body.entries as { act: string }[]).map(({ act }) => act);
  for (const act of ['create', 'approve', 'activate', 'renew', 'return']) t.ok(acts.includes(`request.${act}`), act);
});

t.test('A14: nobody decides about their own request, nor without owning its service', async (t) => {
  const { create, lee, as, asked, alice } = await asking(t);
  const path = `/requests/${await create()}/approve`;
  for (const subject of ['alice', 'dana', 'bob', 'rita', 'olga'])
    t.match(await (await as(subject))('POST', path, { comment: 'yes' }), { status: 403 }, subject);
  const own = await lee('POST', '/requests', asked);
  t.match(await lee('POST', `/requests/${own.body.id}/approve`, { comment: 'yes' }), {
    status: 403,
    body: { code: 'own_request' },
  });
  t.match(await alice('GET', '/requests'), { body: { requests: [{ state: 'pending' }] } });
});

t.test('a handle is kept nowhere: what is activated again with its key is told so', async (t) => {
  const { create, alice, lee, gateway } = await asking(t);
  const path = `/requests/${await create()}`;
  await lee('POST', `${path}/approve`, { comment: 'go ahead' });
  const key = { 'idempotency-key': 'once' };
  const { body } = await alice('POST', `${path}/activate`, {}, key);
  t.match(await alice('POST', `${path}/activate`, {}, key), { status: 409, body: { code: 'not_repeatable' } });
  const rows = await gateway.ledger.query('select * from daypass.idempotency');
  t.match(rows, [{ status: 201, answer: null }]);
  t.notMatch(JSON.stringify(rows), String(body.handle).slice(-43));
});

t.test('the operator of the socket acts by the same routes, under the name they give, and is nobody', async (t) => {
  const { create, gateway } = await asking(t);
  const id = await create();
  t.match(await gateway.operator('GET', '/v1/requests'), { status: 200, body: { requests: [{ id }] } });
  const refused = await gateway.operator('POST', `/v1/requests/${id}/approve`, { comment: 'yes', by: 'lee' });
  t.match(refused, { status: 403, body: { error: { code: 'not_allowed' } } });
  t.match(await gateway.operator('POST', `/v1/requests/${id}/revoke`, { reason: 'not any more' }), { status: 400 });
  t.match(await gateway.operator('POST', `/v1/requests/${id}/revoke`, { reason: 'not any more', by: 'ops' }), {
    status: 200,
    body: { state: 'revoked', ledger: 'written' },
  });
});

t.test(
  'NDAs are registered by operators and owners, seen by whom they bind, and taken back by operators',
  async (t) => {
    const { as, alice, asked } = await asking(t);
    const olga = await as('olga');
    const nda = {
      party: 'alice',
      title: 'NDA 2026',
      textHash: 'a'.repeat(64),
      signedOn: '2026-01-01',
      validUntil: `${new Date().getUTCFullYear() + 2}-01-01`,
    };
    t.match(await alice('POST', '/ndas', nda), { status: 403 });
    const made: Answer = await olga('POST', '/ndas', nda);
    t.match(made, { status: 201, body: { party: 'alice', registeredBy: 'olga', endedAt: null } });
    t.match(await alice('GET', '/ndas'), { body: { ndas: [{ id: made.body.id }], next: null } });
    t.match(await (await as('bob'))('GET', '/ndas'), { body: { ndas: [] } });
    const lee = await as('lee');
    t.match((await lee('GET', '/ndas')).body, { ndas: [] }, 'nobody asked for a service of theirs');
    t.match(await lee('POST', '/ndas', { ...nda, party: 'lee' }), { status: 403 }, 'not for themselves');
    const bobs = await lee('POST', '/ndas', { ...nda, party: 'bob' });
    t.match(bobs, { status: 201, body: { party: 'bob', registeredBy: 'lee' } });
    t.match((await lee('GET', '/ndas')).body, { ndas: [{ id: bobs.body.id }], next: null });
    await alice('POST', '/requests', asked);
    const seen = (await lee('GET', '/ndas')).body.ndas as { id: string }[];
    t.same(seen.map(({ id }) => id).sort(), [made.body.id, bobs.body.id].sort(), 'who asks for their service');
    t.match(await lee('POST', `/ndas/${bobs.body.id}/end`, { reason: 'mistaken' }), { status: 403 });
    t.match(await olga('POST', `/ndas/${made.body.id}/end`, { reason: 'taken back' }), { body: { endedBy: 'olga' } });
  },
);

t.test('what the door refuses is in the audit log too', async (t) => {
  const { alice, gateway } = await asking(t);
  await alice('POST', '/revocations', { service: 'web', reason: 'mischief' });
  const rows = await gateway.operator('GET', '/v1/audit?result=refused');
  t.match(rows.body, { entries: [{ actor: 'alice', via: 'browser', result: 'refused' }] });
});
