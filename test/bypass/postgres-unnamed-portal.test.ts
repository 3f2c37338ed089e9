import t, { type Test } from 'tap';
import { gatewayToOrders } from '../postgres/fixture.js';
import { bind, execute, loggedIn, parse, query, shapes, sync, type WireMessage } from '../support/wire.js';

/** Fails on its third row, and is long: what the server keeps of it is given back to the system when it has failed. */
const COLUMNS = Array.from({ length: 1_200 }, (_, n) => `id + ${n}`);
const FAILS = query(`select 1 / (3 - id), ${COLUMNS.join(', ')} from orders`);
const BOUND = [parse('', 'select id from orders'), bind('', '')];

/** What is sent, each part once the one before is answered, and how many times the server is ready then. */
type Script = readonly (readonly [parts: readonly Buffer[], ready: number])[];

/**
 * PostgreSQL (18.4) runs a simple Query in the portal without a name. Of one that failed in a transaction the portal stays, and leads to
 * what was freed: executed, it crashes the whole server.
 */
const CRASHING: Readonly<Record<string, Script>> = {
  'nothing was bound': [
    [[query('begin')], 1],
    [[FAILS], 1],
    [[execute(''), sync()], 1],
  ],
  'bound before the Query': [
    [[query('begin')], 1],
    [[...BOUND, sync()], 1],
    [[FAILS], 1],
    [[execute(''), sync()], 1],
  ],
  'bound before the Query, in one pipeline': [[[query('begin'), ...BOUND, sync(), FAILS, execute(''), sync()], 4]],
  'a Bind behind the Query fails': [
    [[query('begin')], 1],
    [[...BOUND, sync()], 1],
    [[FAILS, ...BOUND, sync(), execute(''), sync()], 3],
  ],
  'the same in one pipeline': [[[query('begin'), ...BOUND, sync(), FAILS, ...BOUND, sync(), execute(''), sync()], 5]],
};

async function answered(t: Test, port: number, handle: string, script: Script): Promise<readonly WireMessage[]> {
  const { client } = await loggedIn(t, port, handle);
  let last: readonly WireMessage[] = [];
  for (const [parts, ready] of script) {
    client.send(...parts);
    last = await client.until('Z', ready);
  }
  return last;
}

for (const role of ['reader', 'master'])
  t.test(
    `${role}: what a failed Query left under the empty name is not executed, which crashed the database`,
    async (t) => {
      const gateway = await gatewayToOrders(t, {
        policy: { more: '  master:\n    allow:\n      - { statements: [any] }\n' },
      });
      const { handle } = await gateway.issue({ service: 'orders-db', role });
      const port = gateway.ports.postgres;
      for (const [name, script] of Object.entries(CRASHING))
        t.match(shapes(await answered(t, port, handle, script)), /E:34000 Z:E$/, name);
    },
  );

t.test('a portal without a name that the server has confirmed goes on behind a Sync', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  client.send(query('begin'));
  await client.until();
  client.send(...BOUND, execute('', 1), sync());
  t.equal(shapes(await client.until()), '1 2 D s Z:T');
  client.send(execute('', 2), sync());
  t.equal(shapes(await client.until()), 'D D s Z:T');
  client.send(query('select 1'), execute(''), sync());
  t.match(shapes(await client.until('Z', 2)), /E:34000 Z:E$/, 'a Query takes its place');
});
