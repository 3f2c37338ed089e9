import { inflateRawSync } from 'node:zlib';
import t from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { until } from '../recording/fixture.js';
import { startGateway, throughGateway } from '../support/gateway.js';

t.test('THREATS A16, D27: the secret of a handle is in no table, no block and no log line', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const secret = (handle.split('_')[2] ?? '').slice(0, -1);
  const hex = Buffer.from(secret).toString('hex');
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query(`select '${handle}' as x from orders limit 1`);
  await client.query('select $1::text as x from orders limit 1', [handle]);
  await client.query('select $1::bytea as x from orders limit 1', [Buffer.from(handle)]);
  // Cut off by the record's bound in the last character of the secret.
  await client.query('select $1::text as x from orders limit 1', [`${'x'.repeat(1024 - handle.length + 1)}${handle}`]);
  await t.rejects(client.query(`delete from orders where customer = '${handle}'`));
  await t.rejects(client.query(`select '${handle}' from "${handle}"`));
  await client.end();
  await t.rejects(throughGateway(t, gateway.ports.postgres, handle, { user: 'mallory' }));
  await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: `leaked ${handle}`, by: handle });
  await gateway.operator('GET', `/v1/grants/${handle}`);
  await until(gateway.ledger, `(select coalesce(sum(actions), 0) from daypass.block_index) >= 5`);
  await gateway.stop();
  const tables = await gateway.ledger.query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'daypass'`,
  );
  t.ok(tables.length > 5);
  for (const { name } of tables) {
    const rows = await gateway.ledger.query<{ row: string }>(`select r::text as row from daypass.${name} r`);
    t.notOk(
      rows.some(({ row }) => row.includes(secret) || row.includes(hex)),
      `table ${name}, ${rows.length} rows`,
    );
  }
  const blocks = await gateway.ledger.query<{ payload: Buffer }>('select payload from daypass.blocks');
  const recorded = blocks.map(({ payload }) => inflateRawSync(payload).toString()).join('\n');
  t.notOk(recorded.includes(secret), 'the blocks, unpacked');
  t.notOk(recorded.includes(hex), 'nor in hexadecimal');
  t.ok(recorded.includes(`dp_${id}_[redacted]`), 'though the statements that held it are recorded');
  t.ok(gateway.lines.length > 0);
  t.notOk(JSON.stringify(gateway.lines).includes(secret), 'the log');
});
