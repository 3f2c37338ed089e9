import t, { type Test } from 'tap';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { ordersWeb } from '../support/orders-web.js';

/** A gateway with the employees dana and erik, and the contractor carol whose sponsor is dana. */
async function gatewayWithCarol(t: Test): Promise<TestGateway> {
  const gateway = await startGateway(t, { services: { 'orders-web': ordersWeb() } });
  const endsAt = new Date(Date.now() + 86_400_000).toISOString();
  const invite = (asked: object) => gateway.operator('POST', '/v1/invitations', { by: 'ops', ...asked });
  for (const subject of ['dana', 'erik']) await invite({ subject, name: subject, kind: 'employee' });
  await invite({ subject: 'carol', name: 'Carol', kind: 'contractor', sponsor: 'dana', endsAt });
  return gateway;
}

const stateOf = async (gateway: TestGateway, id: string) =>
  (await gateway.operator('GET', `/v1/grants/${id}`)).body.state;

t.test(
  'a sponsor who leaves suspends the grants of their contractors, and another sponsor lets them work again',
  async (t) => {
    const gateway = await gatewayWithCarol(t);
    const { id } = await gateway.issue({ service: 'orders-web', principal: 'carol' });
    const left = await gateway.operator('POST', '/v1/offboardings', { subject: 'dana', reason: 'left', by: 'ops' });
    t.match(left, { status: 200, body: { complete: true } });
    t.equal(await stateOf(gateway, id), 'suspended');
    const reassigned = { sponsor: 'erik', reason: 'dana left', by: 'ops' };
    t.equal((await gateway.operator('POST', '/v1/people/carol/reassign', reassigned)).status, 200);
    t.equal(await stateOf(gateway, id), 'active');
  },
);

t.test('a sponsor whose account is closed by itself has left too', async (t) => {
  const gateway = await gatewayWithCarol(t);
  const { id } = await gateway.issue({ service: 'orders-web', principal: 'carol' });
  const closed = await gateway.operator('POST', '/v1/people/dana/close', { reason: 'left', by: 'ops' });
  t.equal(closed.status, 200);
  t.equal(await stateOf(gateway, id), 'suspended');
  await gateway.operator('POST', '/v1/people/carol/reassign', { sponsor: 'erik', reason: 'dana left', by: 'ops' });
  t.equal(await stateOf(gateway, id), 'active');
});

t.test('who closes an account ends its grants with it', async (t) => {
  const gateway = await gatewayWithCarol(t);
  const { id } = await gateway.issue({ service: 'orders-web', principal: 'carol' });
  const closed = await gateway.operator('POST', '/v1/people/carol/close', { reason: 'done', by: 'ops' });
  t.match(closed, { status: 200, body: { ended: { grants: 1 } } });
  t.equal(await stateOf(gateway, id), 'revoked');
});

t.test('grants of somebody without an account work again once an invitation names another sponsor', async (t) => {
  const gateway = await gatewayWithCarol(t);
  const { id } = await gateway.issue({ service: 'orders-web', principal: 'alice' });
  const left = await gateway.operator('POST', '/v1/offboardings', { subject: 'dana', reason: 'left', by: 'ops' });
  t.match(left.body.hand, {
    reassign: [
      { subject: 'alice', suspended: 1, account: false },
      { subject: 'carol', account: true },
    ],
  });
  t.equal(await stateOf(gateway, id), 'suspended');
  const asked = { sponsor: 'erik', reason: 'dana left', by: 'ops' };
  const reassigned = await gateway.operator('POST', '/v1/people/alice/reassign', asked);
  t.match(reassigned, { status: 404, body: { error: { hint: /daypass invite/ } } });
  const endsAt = new Date(Date.now() + 86_400_000).toISOString();
  const alice = { subject: 'alice', name: 'Alice', kind: 'contractor', sponsor: 'erik', endsAt, by: 'ops' };
  t.equal((await gateway.operator('POST', '/v1/invitations', alice)).status, 201);
  t.equal(await stateOf(gateway, id), 'active');
});

t.test('a name that nothing is known of cannot be offboarded, any trace can', async (t) => {
  const gateway = await gatewayWithCarol(t);
  const offboard = (subject: string) =>
    gateway.operator('POST', '/v1/offboardings', { subject, reason: 'left', by: 'ops' });
  t.match(await offboard('carlo'), { status: 404, body: { error: { code: 'unknown_person' } } });
  await gateway.issue({ service: 'orders-web', principal: 'alice' });
  await gateway.ledger.query(`update daypass.grants set sponsor = 'frank'`);
  for (const known of ['alice', 'frank', 'carol', 'carol']) t.match(await offboard(known), { status: 200 }, known);
});

t.test('nobody who has left, and no contractor, is named as the sponsor of a new grant', async (t) => {
  const gateway = await gatewayWithCarol(t);
  const issue = (sponsor: string) =>
    gateway.operator('POST', '/v1/grants', {
      ...{ principal: 'alice', service: 'orders-web', durationSeconds: 600, sponsor, reason: 'order 7', by: 'ops' },
    });
  await gateway.operator('POST', '/v1/people/dana/close', { reason: 'left', by: 'ops' });
  for (const sponsor of ['dana', 'carol']) {
    const message = `${sponsor} cannot be a sponsor: that takes an employee whose account is open.`;
    t.match(await issue(sponsor), { status: 403, body: { error: { code: 'not_allowed', message } } });
  }
  t.match(await issue('erik'), { status: 201 });
  t.match(await issue('frank'), { status: 201 }, 'of whom the directory may know');
});
