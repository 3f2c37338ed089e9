import Cursor from 'pg-cursor';
import t, { type Test } from 'tap';
import { gatewayToOrders } from '../postgres/fixture.js';
import { throughGateway } from '../support/gateway.js';
import { bind, close, execute, flush, loggedIn, parse, query, shapes, sync } from '../support/wire.js';

const OVER = { code: '54000', message: /more than the 100 rows/ };

const READ = '{ statements: [select], relations: [public.orders] }';

async function limited(t: Test, limits = 'max_rows: 100') {
  const gateway = await gatewayToOrders(t, { policy: { reader: `${READ}\n    ${limits}` } });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  return { ...gateway, handle, port: gateway.ports.postgres };
}

t.test('max_rows holds for a result that a driver fetches in parts', async (t) => {
  const { port, handle } = await limited(t);
  const client = await throughGateway(t, port, handle);
  const cursor = client.query(new Cursor('select id from orders'));
  t.equal((await cursor.read(60)).length, 60);
  await t.rejects(cursor.read(60), OVER);
  await cursor.close().catch(() => {});
  const again = client.query(new Cursor('select id from orders'));
  t.equal((await again.read(60)).length, 60, 'another statement is counted anew');
  await again.close();
});

t.test('max_rows and max_bytes hold for a portal, whatever comes between its parts', async (t) => {
  const { port, handle } = await limited(t);
  const { client } = await loggedIn(t, port, handle);
  const rows = (answers: Awaited<ReturnType<typeof client.until>>) => answers.filter(({ type }) => type === 'D').length;
  client.send(query('begin'), parse('all', 'select id from orders'), bind('p', 'all'), execute('p', 60), sync());
  t.equal(rows(await client.until('Z', 2)), 60);
  client.send(parse('', 'select 1'), bind('', ''), execute(''), query('select 2'), bind('q', 'all'), execute('q', 60));
  client.send(sync());
  t.equal(rows(await client.until('Z', 2)), 62, 'others have counts of their own');
  client.send(query('savepoint s'), execute('p', 60), sync());
  const over = await client.until('Z', 2);
  t.match(shapes(over), /E:54000/);
  t.equal(rows(over), 40, 'and no row too many');
  client.send(query('rollback to s'), close('P', 'p'), bind('p', 'all'), execute('p', 60), sync());
  t.equal(rows(await client.until('Z', 2)), 60, 'a portal of the same name is another');
  const bytes = await limited(t, 'max_bytes: 2KiB');
  const { client: second } = await loggedIn(t, bytes.port, bytes.handle);
  second.send(parse('', 'select customer from orders'), bind('', ''), execute('', 50), execute('', 50), flush());
  second.send(execute('', 50), sync());
  t.match(shapes(await second.until()), /s (?:D )+E:54000 Z:I$/);
});

t.test('max_rows holds for a role with any that runs a FETCH by EXECUTE of what the protocol prepared', async (t) => {
  const more = '  admin:\n    max_rows: 100\n    allow: [{ statements: [any] }]';
  const gateway = await gatewayToOrders(t, { policy: { more } });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'admin' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  client.send(query('begin; declare c cursor for select id from orders'));
  client.send(parse('next', 'fetch 60 from c'), parse('once more', 'execute next'), sync());
  await client.until('Z', 2);
  for (const again of [
    [query('execute next')],
    [parse('', 'execute next'), bind('', ''), execute(''), sync()],
    [query('execute "once more"')],
    [query('set work_mem = 4096; execute next')],
  ]) {
    client.send(query('savepoint s'), query('fetch 60 from c'), ...again);
    const answers = await client.until('Z', 3);
    t.match(shapes(answers), /E:54000/);
    t.equal(answers.filter(({ type }) => type === 'D').length, 100, 'and no row too many');
    client.send(query('rollback to s; close c; declare c cursor for select id from orders'));
    await client.until();
  }
});

t.test('max_rows holds for a cursor of SQL, by FETCH of every form and across transactions', async (t) => {
  const { port, handle } = await limited(t);
  const client = await throughGateway(t, port, handle);
  const opened = 'declare c scroll cursor with hold for select id from orders';
  for (const fetches of [
    ['fetch 60 from c', 'fetch 60 from c'],
    ['fetch 60 from c', 'move backward all in c', 'fetch 60 from c'],
    ['fetch 60 from c', 'commit', 'select 1', 'begin', 'fetch 60 from "c"'],
    ['fetch 30 from c; fetch 30 from c; fetch 30 from c; select 1; fetch 30 from c'],
  ]) {
    await client.query(`begin; ${opened}`);
    for (const text of fetches.slice(0, -1)) await client.query(text);
    await t.rejects(client.query(fetches.at(-1) ?? ''), OVER, fetches.join('; '));
    await client.query('rollback');
    await client.query('close all');
  }
  await client.query(`begin; ${opened}`);
  await client.query({ name: 'next', text: 'fetch 60 from c' });
  await t.rejects(client.query({ name: 'next', text: 'fetch 60 from c' }), OVER, 'a prepared FETCH');
  await client.query('rollback');
  await client.query(`begin; ${opened}`);
  await client.query('fetch 60 from c');
  await client.query(`close c; ${opened}`);
  t.equal((await client.query('fetch 60 from c')).rowCount, 60, 'a cursor of the same name is another');
  await client.query('commit');
});
