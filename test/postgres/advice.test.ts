import t from 'tap';
import { throughGateway } from '../support/gateway.js';
import { gatewayToOrders } from './fixture.js';

t.test('a refusal says what was refused, by which rule, which role would allow it and whom to ask', async (t) => {
  const gateway = await gatewayToOrders(t, {
    policy: { more: '  admin:\n    allow: [{ statements: [any] }]' },
  });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await t.rejects(client.query("update orders set status = 'x'"), {
    code: '42501',
    message: 'Daypass: update on public.orders is outside the role reader',
    detail: 'Decided by: no rule allows update on public.orders',
    hint: 'ask group:payments-leads for a grant with the role order-editor',
  });
  await t.rejects(client.query({ text: 'select card from payment_methods where order_id = $1', values: [1] }), {
    code: '42501',
    hint: 'ask group:payments-leads for a grant with the role admin',
  });
  await t.rejects(client.query('vacuum'), {
    code: '42501',
    hint: 'ask group:payments-leads for a grant with the role admin',
  });
});

t.test('where no role of the service would allow it, the refusal says so', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await t.rejects(client.query('delete from orders'), {
    code: '42501',
    hint: 'it takes a rule { statements: [delete], relations: [public.orders] }; no role of orders-db allows it: ask group:payments-leads',
  });
  await t.rejects(client.query('set search_path = other'), {
    code: '42501',
    hint: /no role of orders-db allows it: ask group:payments-leads$/,
  });
});
