import type { EventEmitter } from 'node:events';
import t from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { faultProxy } from '../support/fault-proxy.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { freshDatabase, sharedPostgres } from '../support/postgres.js';
import { starvation } from '../support/starvation.js';

/** How long a reload may take while the ledger is silent: it waits 1 s for it. */
const RELOADED_WITHIN = 2_500;

const without = (policy: string, role: string) =>
  policy.replace(`  ${role}:\n`, `  x${role}:\n`).replaceAll(`extends: ${role}`, `extends: x${role}`);

for (const fault of ['half-open', 'stop', 'refuse'] as const) {
  t.test(
    `a narrowed policy is in force though the ledger is away (${fault}), which has its text when it is back`,
    async (t) => {
      const [server, ledger, orders] = [await sharedPostgres(), await freshDatabase(t), await ordersDatabase(t)];
      const proxy = await faultProxy(t, server.port);
      const behind = { ...ledger, url: ledger.url.replace(`:${server.port}/`, `:${proxy.port}/`) };
      const services = { 'orders-db': orders.policy() };
      const gateway = await startGateway(t, { services, env: orders.env, ledger: behind });
      const { handle } = await gateway.issue({ service: 'orders-db' });
      const client = await throughGateway(t, gateway.ports.postgres, handle);
      await client.query('select 1');
      const { connection } = client as unknown as { connection: EventEmitter };
      const told = new Promise<string>((resolve) => connection.on('errorMessage', ({ message }) => resolve(message)));
      await proxy.set({ kind: fault });

      for (const yaml of [without(orders.policy(), 'reader'), `${without(orders.policy(), 'reader')}# once more\n`]) {
        const starved = starvation();
        const asked = Date.now();
        await gateway.policy('orders-db', yaml);
        t.ok(Date.now() - asked <= RELOADED_WITHIN + starved(), `in force after ${Date.now() - asked} ms`);
      }
      t.match(await told, /policy no longer allows/);
      const loud = gateway.lines.filter(({ msg }) => /did not take the texts of the policies/.test(String(msg)));
      t.match(loud, [{ level: 50 }], 'said loudly, once');

      await proxy.heal();
      const kept = async () => (await ledger.query('select version from daypass.policies')).length;
      while ((await kept()) < 3) await new Promise((resolve) => setTimeout(resolve, 20));
      t.equal(await kept(), 3, 'the first text and both that came meanwhile');
      await gateway.stop();
      const versions = await ledger.query(
        'select policy_version from daypass.sessions where policy_version not in (select version from daypass.policies)',
      );
      t.same(versions, [], 'every version that a record names has its text');
    },
  );
}
