import { once } from 'node:events';
import { request } from 'node:http';
import t from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { ordersWeb } from '../support/orders-web.js';

const WEB = ordersWeb();

async function status(port: number, handle: string): Promise<number | undefined> {
  const asking = request({ port, headers: { host: 'orders-web.localhost', authorization: `Bearer ${handle}` } }).end();
  const [answer] = await once(asking, 'response');
  answer.resume();
  return answer.statusCode;
}

t.test('a grant that is refused is in the record of the service it asked for, a stranger is not (D24)', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy(), 'orders-web': WEB },
    env: orders.env,
  });
  const { postgres, http } = gateway.ports;
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const brief = await gateway.issue({ service: 'orders-web', for: '3s' });
  const stranger = `${handle.slice(0, -1)}${handle.endsWith('a') ? 'b' : 'a'}`;
  const enter = (password: string, over = {}) => throughGateway(t, postgres, password, over);
  await t.rejects(enter(stranger), { code: '28P01' });
  await t.rejects(enter(stranger, { user: 'mallory' }), { code: '28P01' });
  await t.rejects(enter(handle, { user: 'mallory' }), { code: '28000' });
  for (let again = 0; again < 5; again += 1) t.equal(await status(http, handle), 403, 'a grant for another service');
  await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'over', by: 'ops' });
  for (let again = 0; again < 5; again += 1) await t.rejects(enter(handle), { code: '28P01', message: /revoked/ });
  await t.rejects(enter(stranger), { code: '28P01', message: /revoked/ });
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, Date.parse(brief.expiresAt) - Date.now() + 50)));
  t.equal(await status(http, brief.handle), 401, 'an expired grant');
  while ((await gateway.ledger.query('select 1 from daypass.sessions')).length < 4) await new Promise(setImmediate);
  t.same(await gateway.ledger.query('select distinct end_reason from daypass.sessions'), [{ end_reason: 'refused' }]);
  t.match(await gateway.operator('POST', '/v1/verify', { by: 'rita' }), { body: { ok: true, sessions: 4 } });
  await gateway.stop();
  const events = await gateway.events();
  t.same(
    events
      .filter(({ kind }) => kind === 'action')
      .map(({ facts, payload }) => [facts.verb, facts.outcome, facts.reason, facts.as, typeof payload?.text]),
    [
      ['connect', 'deny', 'wrong_principal', 'mallory', 'string'],
      ['connect', 'deny', 'wrong_service', undefined, 'string'],
      ['connect', 'deny', 'revoked', undefined, 'string'],
      ['connect', 'deny', 'expired', undefined, 'string'],
    ],
    'each once in a minute, however often it was tried',
  );
  t.same(
    events
      .filter(({ kind }) => kind === 'open')
      .map(({ facts }) => [facts.service, facts.principal, facts.grant, facts.refused]),
    [
      ['orders-db', 'alice', id, 'wrong_principal'],
      ['orders-web', 'alice', id, 'wrong_service'],
      ['orders-db', 'alice', id, 'revoked'],
      ['orders-web', 'alice', brief.id, 'expired'],
    ],
  );
  t.equal(gateway.lines.filter(({ msg }) => msg === 'not admitted').length, 15, 'and every one of them is in the log');
  t.notMatch(JSON.stringify(events), handle.slice(26), 'the secret is not (B16)');
});
