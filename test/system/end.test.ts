import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readEvents } from '../support/gateway.js';
import type { GatewayProcess } from '../support/gateway-process.js';
import { starvation } from '../support/starvation.js';
import { database, refusal, webSocket } from './clients.js';
import { ground } from './fixture.js';

async function readiness({ ports }: GatewayProcess): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`http://[::1]:${ports.health}/readyz`);
  return { status: answer.status, body: await answer.json() };
}

t.test(
  'a gateway that is told to stop says so, keeps live sessions for `drain`, cuts them, and ends with 0',
  async (t) => {
    const under = await ground(t);
    const gateway = await under.gateway({ settings: 'drain: 2s' });
    const db = await gateway.issue({ service: 'orders-db' });
    const web = await gateway.issue({ service: 'orders-web' });
    const { client, ended } = await database(t, gateway.ports.postgres, db.handle);
    const socket = await webSocket(t, gateway.ports.http, web.handle);
    t.equal((await readiness(gateway)).status, 200);
    const starved = starvation(process.pid, gateway.pid);
    const asked = Date.now();
    gateway.kill('SIGTERM');
    await gateway.says('the gateway stops');
    t.match(await readiness(gateway), { status: 503, body: { missing: { accepting: 'the gateway is stopping' } } });
    t.match(await refusal(gateway.ports.postgres, db.handle), { code: '57P03', message: /shutting down/ });
    const other = await gateway.issue({ service: 'orders-web' });
    await t.rejects(webSocket(t, gateway.ports.http, other.handle), /answered 503/);
    gateway.kill('SIGHUP'); // a reload now is no reason to die
    t.equal((await client.query('select count(*)::int as n from orders')).rows[0].n, 1000, 'live sessions go on');
    for (const end of [await ended, await socket.ended]) {
      t.match(end, { code: /57P01|4001/, message: /shutting down/ });
      t.ok(end.at - asked >= 1_900 && end.at - asked < 4_000 + starved(), `cut ${end.at - asked} ms after the signal`);
    }
    t.same(await gateway.ended(), { code: 0, signal: null });
    t.notOk(existsSync(join(gateway.dataDirectory, 'daypass.sock')), 'the socket is gone');
    const sessions = await under.ledger.query('select end_reason from daypass.sessions');
    t.same(sessions, [{ end_reason: 'shutdown' }, { end_reason: 'shutdown' }]);
    const closed = (await readEvents(under.ledger)).filter(({ kind }) => kind === 'close');
    t.equal(closed.length, 2, 'and the record says so');
    t.same(await under.ledger.query('select id from daypass.gateways'), [], 'it has signed off');
  },
);

t.test('a gateway without live sessions stops at once, and so does one whose last session ends', async (t) => {
  const under = await ground(t);
  const gateway = await under.gateway({ settings: 'drain: 20s' });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await database(t, gateway.ports.postgres, handle);
  const starved = starvation(process.pid, gateway.pid);
  const asked = Date.now();
  gateway.kill('SIGTERM');
  await gateway.says('the gateway stops');
  await client.end();
  t.same(await gateway.ended(), { code: 0, signal: null });
  t.ok(Date.now() - asked < 5_000 + starved(), 'without waiting for the end of `drain`');
});

t.test(
  'SIGHUP with a wrong policy keeps the old one and says where it is wrong; a right one judges live sessions',
  async (t) => {
    const under = await ground(t);
    const gateway = await under.gateway();
    const file = join(gateway.configDirectory, 'services', 'orders-db.yaml');
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const { client } = await database(t, gateway.ports.postgres, handle);
    const ask = () => client.query('select count(*) from order_items');

    await writeFile(file, under.orders.policy().replace('statements:', 'statement:'));
    gateway.kill('SIGHUP');
    const refused = await gateway.says(/NOT reloaded/);
    t.match(refused, { level: 50, problems: [/orders-db\.yaml:\d+:\d+ .*statement/] });
    await ask();

    await writeFile(file, under.orders.policy({ reader: '{ statements: [select], relations: [public.orders] }' }));
    gateway.kill('SIGHUP');
    await gateway.says('the policies were reloaded');
    await t.rejects(ask(), { code: '42501' }, 'the open connection is judged by the new policy');
  },
);
