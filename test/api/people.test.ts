import t, { type Test } from 'tap';
import { newApp } from '../../src/api/app.js';
import { faultOf } from '../../src/api/faults.js';
import type { GatewayStatus } from '../../src/api/parts.js';
import { type PeopleParts, peopleRoutes } from '../../src/api/people.js';
import { operatorsDoor } from '../../src/api/socket-door.js';
import { Ledger } from '../../src/grant/ledger.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import type { Actor } from '../../src/identity/actor.js';
import { REQUEST, silent, startAuthority } from '../grant/fixture.js';
import { networkActor, OPS, openPeople } from '../identity/fixture.js';
import { startRedis } from '../support/redis.js';

const STATUS: GatewayStatus = {
  ...{ version: '0', gatewayId: 'g', pid: 1, startedAt: '', domain: 'gw.test', scheme: 'https', httpsOnly: true },
  ...{
    listen: { http: '127.0.0.1:443', postgres: null, health: null },
    liveSessions: 0,
    notReady: [],
    problems: [],
    services: [],
  },
};

/** The routes alone, as another door would serve them; with an actor, or as the operator's socket does. */
async function routes(t: Test) {
  const opened = await openPeople(t);
  const serve = (actor?: Actor, grants: PeopleParts['grants'] = opened.grants) => {
    const app = newApp();
    app.setErrorHandler((thrown, _request, reply) => {
      const { status, body } = faultOf(thrown);
      void reply.code(status).send(body);
    });
    const parts = { ...opened, grants, status: () => STATUS };
    if (actor === undefined) operatorsDoor(app);
    else
      app.addHook('onRequest', async (request) => {
        request.actor = actor;
      });
    peopleRoutes(app, parts);
    t.teardown(() => app.close());
    return async (method: 'GET' | 'POST', url: string, payload?: object) => {
      const answer = await app.inject({ method, url, ...(payload === undefined ? {} : { payload }) });
      return { status: answer.statusCode, body: answer.json(), headers: answer.headers };
    };
  };
  const end = new Date(opened.clock.wall() + 86_400_000).toISOString();
  const carl = { subject: 'carl', name: 'Carl', kind: 'contractor', sponsor: 'dana', endsAt: end };
  return { ...opened, serve, carl };
}

t.test('the operator’s socket invites in the name that is given', async (t) => {
  const { serve, carl, lines } = await routes(t);
  const ask = serve();
  t.match(await ask('POST', '/v1/invitations', carl), { status: 400, body: { error: { message: /by/ } } });
  const invited = await ask('POST', '/v1/invitations', { ...carl, by: 'olga' });
  t.equal(invited.status, 201);
  t.match(invited.body.url, /^https:\/\/gw\.test\/invite#[\w-]{43}$/);
  t.equal(invited.headers['cache-control'], 'no-store');
  t.match(lines.at(-1), { actor: 'olga', via: 'socket' });
  const bad: object[] = [{ endsAt: 'tomorrow' }, { kind: 'guest' }, { role: 'x' }, { groups: 'a' }, { reason: 'a\nb' }];
  for (const wrong of bad) {
    const { status } = await ask('POST', '/v1/invitations', { ...carl, subject: 'cora', by: 'olga', ...wrong });
    t.equal(status, 400, JSON.stringify(wrong));
  }
  t.equal(
    (await ask('POST', '/v1/invitations', { ...carl, subject: 'cora', sponsor: 'carl', by: 'olga' })).status,
    422,
  );
});

t.test('over another door the actor is who that door says, and sees whom they answer for', async (t) => {
  const { serve, carl, lines, accounts } = await routes(t);
  const dana = serve(networkActor('dana'));
  t.equal((await dana('POST', '/v1/invitations', carl)).status, 201);
  t.match(lines.at(-1), { actor: 'dana', via: 'browser' });
  t.equal((await dana('POST', '/v1/invitations', { ...carl, subject: 'cora', sponsor: 'erik' })).status, 403);
  await accounts.invite(OPS, {
    ...carl,
    kind: 'contractor',
    subject: 'cora',
    sponsor: 'erik',
    endsAt: Date.parse(carl.endsAt),
  });
  const names = async (ask: typeof dana, query = '') =>
    (await ask('GET', `/v1/people${query}`)).body.people.map(({ subject }: { subject: string }) => subject);
  t.same(await names(dana), ['carl']);
  t.same(await names(dana, '?sponsor=erik'), ['carl'], 'whatever is asked for');
  t.equal((await dana('GET', '/v1/people/carl')).status, 200);
  t.equal((await dana('GET', '/v1/people/dana')).status, 200);
  t.equal((await dana('GET', '/v1/people/cora')).status, 404, 'others are nobody');
  t.equal((await serve(networkActor('carl'))('GET', '/v1/people/carl')).status, 200);
  t.same(await names(serve(networkActor('carl'))), []);
  const reviewer = serve(networkActor('rita', new Set(['reviewer'])));
  t.same(await names(reviewer), ['carl', 'cora', 'dana', 'erik']);
  t.equal((await reviewer('POST', '/v1/people/carl/close', { reason: 'x' })).status, 403, 'looking is not acting');
  const operator = serve(networkActor('olga', new Set(['operator'])));
  t.equal((await operator('POST', '/v1/people/carl/close', { reason: 'x' })).status, 200);
  t.match((await operator('GET', '/v1/people/carl')).body, { state: 'closed', passkeys: [] });
});

t.test('a closed account has no grant left, though the store did not hear of one of them', async (t) => {
  const { serve, carl, pool, clock } = await routes(t);
  const redis = await startRedis(t);
  const store = await RedisGrantStore.open(redis.url, silent);
  t.teardown(() => store.close());
  const grants = await startAuthority(t, { store, ledger: new Ledger(pool), clock });
  const ask = serve(undefined, grants);
  t.equal((await ask('POST', '/v1/invitations', { ...carl, by: 'olga' })).status, 201);
  for (const _ of ['one', 'two', 'three']) await grants.issue({ ...REQUEST, principal: 'carl' });
  await redis.kill();
  const closed = await ask('POST', '/v1/people/carl/close', { reason: 'done', by: 'olga' });
  t.match(closed, { status: 503, body: { error: { code: 'announce_failed' } } });
  t.same(await grants.list({ principal: 'carl', active: true }), []);
});

t.test('the list of people goes on where it stopped', async (t) => {
  const { serve } = await routes(t);
  const ask = serve();
  const first = await ask('GET', '/v1/people?limit=1');
  t.match(first.body, { people: [{ subject: 'dana' }], next: 'dana' });
  t.match((await ask('GET', '/v1/people?limit=1&cursor=dana')).body, { people: [{ subject: 'erik' }], next: null });
  t.equal((await ask('GET', '/v1/people?limit=0')).status, 400);
});
