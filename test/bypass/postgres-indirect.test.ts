import t from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway } from '../support/gateway.js';
import { bind, close, execute, loggedIn, parse, query, shapes, sync } from '../support/wire.js';

const SECRET = 'select * from order_items';

t.test('B11: no name leads to what its role has lost, however many names are in between', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  const ask = async (...messages: Buffer[]) => {
    client.send(...messages);
    return shapes(await client.until());
  };
  await ask(parse('q', SECRET), sync());
  await ask(parse('p', 'execute q'), parse('st', 'execute q'), sync());
  t.match(await ask(query('execute q')), /C:SELECT/, 'a name of its own runs what it stands for');
  t.match(await ask(bind('', 'st'), execute(''), sync()), /C:SELECT/, 'also through the protocol');

  t.match(
    await ask(query('execute p')),
    /^E:42501 Z:I$/,
    'a name that stands for a name is refused, without any change',
  );
  for (const about of [
    'prepare z as select 1',
    'deallocate q',
    'declare c cursor with hold for select 1 from orders',
    'explain execute q',
  ]) {
    await ask(parse('n', about), sync());
    t.match(await ask(query('execute n')), /^E:42501 Z:I$/, about);
    await ask(close('S', 'n'), sync());
  }

  await gateway.policy('orders-db', orders.policy().replaceAll('public.order_items', 'public.nothing_such'));
  t.match(await ask(query('execute q')), /^E:42501 Z:I$/, 'what was lost');
  t.match(await ask(bind('', 'st'), execute(''), sync()), /^E:42501 Z:I$/, 'through a name of the protocol');
  // The server refuses the second Parse of a name and would run the first.
  client.send(parse('st', 'select 1'), sync(), bind('', 'st'), execute(''), sync());
  t.match(shapes(await client.until('Z', 2)), /^E:42P05 Z:I E:42501 Z:I$/, 'nor under cover of another meaning');
});

t.test(
  'D24: each Bind is in the record with its own parameters, though another one of its statement is run',
  async (t) => {
    const orders = await ordersDatabase(t);
    const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const { client } = await loggedIn(t, gateway.ports.postgres, handle);
    client.send(
      parse('s', 'select id from orders where customer = $1'),
      bind('p1', 's', 'probed'),
      bind('p2', 's', 'run'),
      execute('p2'),
      sync(),
    );
    t.match(shapes(await client.until()), /C:SELECT/);
    await gateway.stop();
    const recorded = (await gateway.events()).filter(({ kind }) => kind === 'action');
    t.same(
      recorded.map(({ payload }) => payload?.parameters),
      [['run'], ['probed']],
    );
  },
);
