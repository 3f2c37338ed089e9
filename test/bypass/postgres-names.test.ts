import t from 'tap';
import { gatewayToOrders } from '../postgres/fixture.js';
import { bind, close, execute, loggedIn, parse, shapes, sync } from '../support/wire.js';

/** PostgreSQL compares names of protocol messages by their first 63 bytes. */
const LONG = 'n'.repeat(63);
const HARM = "update orders set customer = 'hacked' where id = 1 returning customer";

t.test('B11: two names that are one to the server are one here, in the decision and in the record', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  client.send(parse(`${LONG}a`, "select 'harmless A'"), sync());
  await client.until();
  client.send(close('S', `${LONG}b`), parse(`${LONG}b`, HARM), sync());
  await client.until();
  const narrowed = gateway.orders.policy().replace('statements: [update]', 'statements: [insert]');
  await gateway.policy('orders-db', narrowed);
  client.send(bind('', `${LONG}a`), execute(''), sync());
  t.match(shapes(await client.until()), /^E:42501/, 'what the name stands for now is what is judged');
  await gateway.stop();
  t.same(await gateway.orders.database.query("select id from orders where customer = 'hacked'"), []);
  const texts = (await gateway.events()).map(({ payload }) => payload?.text);
  t.ok(texts.includes(HARM), 'and what is recorded');
});

t.test('D24: what is parsed or bound and never run reaches the database only after it is in the record', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  const peek = "select 1 from orders where id = ('x' || pg_get_viewdef('order_summary'::regclass))::int";
  client.send(parse('', peek), bind('', ''), sync());
  t.match(shapes(await client.until()), /E:22P02/, 'planning evaluates it');
  client.send(parse('later', 'select count(*) from orders'), sync());
  await client.until();
  client.send(parse('', 'select 2'), bind('', ''), execute(''), sync());
  await client.until();
  await gateway.stop();
  const actions = (await gateway.events()).filter(({ kind }) => kind === 'action');
  t.same(
    actions.map(({ facts, payload }) => [facts.via, payload?.text]),
    [
      ['bind', peek],
      ['parse', 'select count(*) from orders'],
      ['execute', 'select 2'],
    ],
    'what is run is not recorded twice',
  );
});

t.test('B11: an old prepared statement is decided anew when it is bound, since planning evaluates it', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  client.send(parse('items', 'select * from order_items'), sync());
  await client.until();
  await gateway.policy(
    'orders-db',
    gateway.orders.policy({ reader: '{ statements: [select], relations: [public.orders] }' }),
  );
  client.send(bind('', 'items'), sync());
  t.match(shapes(await client.until()), /^E:42501/);
});
