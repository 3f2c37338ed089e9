import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway } from '../support/gateway.js';
import { datagramReceiver, httpReceiver } from './receivers.js';

t.test('a gateway streams what is done to the receivers its configuration names', async (t) => {
  const orders = await ordersDatabase(t);
  const { posts, url } = await httpReceiver(t);
  const { messages, address } = await datagramReceiver(t);
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy() },
    env: { ...orders.env, HOOK: `whsec_${Buffer.alloc(32, 7).toString('base64')}` },
    settings: `drain: 0s
audit:
  webhook: { url: "${url.href}", secret: { env: HOOK } }
  syslog: { address: "127.0.0.1:${address.port}", protocol: udp }`,
  });
  const { id } = await gateway.issue({ service: 'orders-db' });
  const target = `grant:${id}`;
  while (!posts.some(({ entries }) => entries.some((entry) => entry.target === target))) await pause(20);
  while (!messages.some((message) => message.includes(`target="${target}"`))) await pause(20);
  t.pass('both were told');
});

t.test('changed files are read again without anybody asking, and the log says so', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  await gateway.policy('orders-db', `${orders.policy()}\n# seen\n`);
  const found = async () => (await gateway.operator('GET', '/v1/audit?act=config.reload')).body.entries as object[];
  while ((await found()).length < 2) await pause(20);
  t.match(
    (await found()).find((entry) => 'via' in entry && entry.via === 'system'),
    { actor: 'gateway', result: 'done' },
  );
});
