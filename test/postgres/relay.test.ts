import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import {
  bind,
  close,
  cstring,
  describe,
  execute,
  fields,
  flush,
  front,
  int16,
  int32,
  loggedIn,
  parse,
  query,
  shapes,
  start,
  sync,
  terminate,
  type WireClient,
  wire,
} from '../support/wire.js';
import { gatewayToOrders } from './fixture.js';

const REFUSED = 'E:42501';

/** For tests that leave the gateway, its policy and the orders as they were. */
let shared: ReturnType<typeof gatewayToOrders> | undefined;

function standing(): ReturnType<typeof gatewayToOrders> {
  shared ??= gatewayToOrders(t);
  return shared;
}

/**
 * A gateway, a client logged in through it as `role`, and the same orders asked of the database itself.
 * @param options - of a gateway of the test's own
 */
async function joined(t: Test, role = 'reader', options?: Parameters<typeof gatewayToOrders>[1]) {
  const gateway = options === undefined ? await standing() : await gatewayToOrders(t, options);
  const { handle } = await gateway.issue({ service: 'orders-db', role });
  const { client, hello } = await loggedIn(t, gateway.ports.postgres, handle);
  const status = async (id: number) =>
    (await gateway.orders.database.query<{ status: string }>('select status from orders where id = $1', [id]))[0]
      ?.status;
  return { ...gateway, handle, client, hello, status };
}

/** The same messages sent to PostgreSQL itself, as its superuser. */
async function direct(
  t: Test,
  config: { port: number; user: string; password: string; database: string },
): Promise<WireClient> {
  const { ScramClient } = await import('../../src/postgres/scram.js');
  const client = await wire(t, config.port);
  client.send(start({ user: config.user, database: config.database }));
  const scram = new ScramClient(config.password);
  await client.message();
  const first = Buffer.from(scram.first());
  client.send(front('p', cstring('SCRAM-SHA-256'), int32(first.length), first));
  client.send(front('p', Buffer.from(await scram.final((await client.message()).body.toString('utf8', 4)))));
  await client.until();
  return client;
}

const update = (id: number, status: string) => `update orders set status = '${status}' where id = ${id}`;

t.test('a simple Query of which one statement is refused does nothing at all', async (t) => {
  const { client, status } = await joined(t, 'order-editor');
  client.send(query(`${update(1, 'x')}; delete from orders where id = 2; ${update(3, 'x')}`));
  t.equal(shapes(await client.until()), `${REFUSED} Z:I`);
  t.not(await status(1), 'x');
  client.send(query(`begin; ${update(1, 'x')}; commit; delete from orders`));
  t.equal(shapes(await client.until()), `${REFUSED} Z:I`, 'not even what it would have committed before');
  t.not(await status(1), 'x');
});

t.test('a refused Query in a transaction leaves it failed, and a COMMIT rolls back', async (t) => {
  const { client, status } = await joined(t, 'order-editor');
  client.send(query('begin'));
  t.equal(shapes(await client.until()), 'C:BEGIN Z:T');
  client.send(query(update(1, 'x')));
  t.equal(shapes(await client.until()), 'C:UPDATE 1 Z:T');
  client.send(query('truncate orders'));
  t.equal(shapes(await client.until()), `${REFUSED} Z:E`);
  client.send(query('commit'));
  t.equal(shapes(await client.until()), 'C:ROLLBACK Z:I');
  t.not(await status(1), 'x');
});

t.test(
  'a pipeline in which the second statement is refused has no effect, and its answers are in PostgreSQL order',
  async (t) => {
    const { client, status, orders } = await joined(t, 'order-editor');
    const pipeline = (second: string) =>
      Buffer.concat([
        ...[parse('', update(1, 'x')), bind('', ''), describe('P', ''), execute('')],
        ...[parse('', second), bind('', ''), describe('P', ''), execute('')],
        ...[parse('', update(3, 'x')), bind('', ''), execute(''), sync(), query('select 1')],
      ]);
    client.send(pipeline('delete from orders'));
    const ours = shapes(await client.until('Z', 2));
    t.equal(ours, `1 2 n C:UPDATE 1 ${REFUSED} Z:I T D C:SELECT 1 Z:I`);
    t.not(await status(1), 'x');
    t.not(await status(3), 'x');
    const server = await direct(t, orders.database.config);
    server.send(pipeline('select nonsense('));
    t.equal(
      shapes(await server.until('Z', 2)),
      ours.replace(REFUSED, 'E:42601'),
      'as the server itself answers an error there',
    );
  },
);

t.test('every position of a refusal in a pipeline answers as PostgreSQL itself would', async (t) => {
  const { client, orders } = await joined(t, 'order-editor');
  const server = await direct(t, orders.database.config);
  for (let position = 0; position < 4; position += 1) {
    const pipeline = (bad: string) => {
      const statements = ['select 1', 'select 2', update(1, 'y'), 'select 4'].map((text, i) =>
        i === position ? bad : text,
      );
      return Buffer.concat([
        ...statements.flatMap((text, i) => [parse(`s${i}`, text), bind('', `s${i}`), execute('')]),
        sync(),
        ...[0, 1, 2, 3].map((i) => close('S', `s${i}`)),
        sync(),
      ]);
    };
    client.send(pipeline('delete from orders'));
    server.send(pipeline('delete from'));
    const ours = shapes(await client.until('Z', 2));
    t.equal(ours, shapes(await server.until('Z', 2)).replace('E:42601', REFUSED), `refused at ${position}`);
  }
});

t.test(
  'a Flush in the middle gives what there is, and the refusal behind it still undoes the first half',
  async (t) => {
    const { client, status } = await joined(t, 'order-editor');
    client.send(parse('', update(5, 'x')), bind('', ''), execute(''), flush());
    t.equal(shapes(await client.until('C')), '1 2 C:UPDATE 1');
    client.send(parse('', 'drop table orders'), flush());
    t.equal(shapes(await client.until('E')), REFUSED);
    client.send(parse('', 'select 1'), bind('', ''), execute(''), sync());
    t.equal(shapes(await client.until()), 'Z:I', 'skipped up to the Sync');
    t.not(await status(5), 'x');
  },
);

t.test('unknown statements and portals, and a Bind to a refused Parse, are errors of the name', async (t) => {
  const { client } = await joined(t);
  client.send(bind('', 'nothing'), execute(''), sync());
  t.equal(shapes(await client.until()), 'E:26000 Z:I');
  client.send(execute('nothing'), sync());
  t.equal(shapes(await client.until()), 'E:34000 Z:I');
  client.send(parse('evil', 'delete from orders'), sync());
  t.equal(shapes(await client.until()), `${REFUSED} Z:I`);
  client.send(bind('', 'evil'), execute(''), sync());
  t.equal(shapes(await client.until()), 'E:26000 Z:I');
  client.send(describe('S', 'evil'), sync());
  t.equal(shapes(await client.until()), 'E:26000 Z:I');
  client.send(parse('evil', 'delete from orders'), bind('', 'evil'), execute(''), sync());
  t.equal(shapes(await client.until()), `${REFUSED} Z:I`, 'in one pipeline too');
});

t.test('a name that is parsed twice keeps what the server keeps', async (t) => {
  const { client } = await joined(t);
  client.send(parse('s', 'select 1'), sync(), parse('s', 'select 2'), sync(), bind('', 's'), execute(''), sync());
  const answers = await client.until('Z', 3);
  t.equal(shapes(answers), '1 Z:I E:42P05 Z:I 2 D C:SELECT 1 Z:I');
  t.equal(answers.find(({ type }) => type === 'D')?.body.toString('latin1', 6), '1');
  client.send(close('S', 's'), parse('s', 'select 2'), bind('', 's'), execute(''), sync());
  t.equal(shapes(await client.until()), '3 1 2 D C:SELECT 1 Z:I');
  client.send(parse('', 'select 3'), parse('', 'select 4'), bind('', ''), execute(''), sync());
  const unnamed = await client.until();
  t.equal(unnamed.find(({ type }) => type === 'D')?.body.toString('latin1', 6), '4', 'the unnamed one is replaced');
});

t.test(
  'a Parse without a name that is refused forgets what was prepared without one before, as one that fails',
  async (t) => {
    const { client } = await joined(t);
    client.send(parse('', 'select 1'), sync(), parse('', 'select * from payment_methods'), sync());
    t.equal(shapes(await client.until('Z', 2)), '1 Z:I E:42501 Z:I');
    client.send(bind('', ''), execute(''), sync());
    t.equal(shapes(await client.until()), 'E:26000 Z:I');
  },
);

t.test('a portal that is executed twice goes on, and is recorded twice; a closed one is gone', async (t) => {
  const gateway = await joined(t, 'reader', {});
  const { client } = gateway;
  client.send(parse('', 'select id from orders order by id'), bind('p', ''), execute('p', 2), execute('p', 3), sync());
  t.equal(shapes(await client.until()), '1 2 D D s D D D s Z:I');
  client.send(parse('', 'select 1'), bind('p', ''), close('P', 'p'), execute('p'), sync());
  t.match(shapes(await client.until()), /^1 2 3 E:34000 Z:I$/);
  client.send(terminate());
  await client.closed;
  await gateway.stop();
  const events = await gateway.events();
  t.equal(events.filter(({ facts }) => facts.via === 'execute' && facts.outcome === 'allow').length, 3);
  t.same(
    events.filter(({ kind, facts }) => kind === 'result' && facts.tag === 'suspended').map(({ facts }) => facts.rows),
    [2, 3],
  );
});

t.test('PREPARE, EXECUTE and DEALLOCATE work by SQL and by protocol under the same names', async (t) => {
  const { client } = await joined(t);
  client.send(
    query('prepare a as select 1'),
    query('execute a'),
    parse('b', 'select 2'),
    sync(),
    query('execute b'),
    query('deallocate a'),
    query('execute a'),
  );
  t.equal(
    shapes(await client.until('Z', 6)),
    'C:PREPARE Z:I T D C:SELECT 1 Z:I 1 Z:I T D C:SELECT 1 Z:I C:DEALLOCATE Z:I E:26000 Z:I',
  );
  client.send(query('prepare evil as delete from orders'));
  t.equal(shapes(await client.until()), `${REFUSED} Z:I`);
  client.send(query('execute evil'));
  t.equal(shapes(await client.until()), 'E:26000 Z:I');
});

t.test('one text that gives one name two meanings is judged by both when the role is narrowed (B11)', async (t) => {
  const gateway = await joined(t, 'order-editor', {});
  const { client, orders } = gateway;
  client.send(query(`prepare x as select 1; deallocate x; prepare x as ${update(9, 'late')}`));
  t.equal(shapes(await client.until()), 'C:PREPARE C:DEALLOCATE C:PREPARE Z:I');
  await gateway.policy('orders-db', orders.policy().replace('statements: [update]', 'statements: [delete]'));
  client.send(query('execute x'));
  t.equal(shapes(await client.until()), `${REFUSED} Z:I`);
  t.not(await gateway.status(9), 'late');
});

t.test('FunctionCall is refused, and the connection goes on; a role that may do anything may call', async (t) => {
  for (const [role, answer] of [
    ['reader', `${REFUSED} Z:I`],
    ['order-editor', `${REFUSED} Z:I`],
    ['master', 'V Z:I'],
  ] as const) {
    const gateway = await joined(t, role, {
      policy: { more: '  master:\n    allow:\n      - { statements: [any] }\n' },
    });
    const { client } = gateway;
    const two = [int32(1), Buffer.from('2')];
    client.send(front('F', int32(177), int16(0), int16(2), ...two, ...two, int16(0)));
    t.equal(shapes(await client.until()), answer);
    client.send(query('select 1'));
    t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I');
    client.send(terminate());
    await client.closed;
    await gateway.stop();
    const call = (await gateway.events()).find(({ payload }) => /function 177/.test(String(payload?.text)));
    t.match(call, { facts: { outcome: role === 'master' ? 'allow' : 'deny' }, payload: { parameters: ['2', '2'] } });
  }
});

t.test(
  'a pipeline of thousands of statements is answered in order, by work that grows with their number alone',
  async (t) => {
    const { client } = await joined(t);
    const rounds = 3_000;
    const began = process.cpuUsage();
    const one = (n: number) => Buffer.concat([parse('', `select ${n}`), bind('', ''), execute(''), sync()]);
    client.send(Buffer.concat(Array.from({ length: rounds }, (_, n) => one(n))));
    const answers = await client.until('Z', rounds);
    const values = answers.filter(({ type }) => type === 'D').map(({ body }) => Number(body.toString('latin1', 6)));
    t.same(
      values,
      Array.from({ length: rounds }, (_, n) => n),
    );
    const many = Array.from({ length: rounds }, (_, n) => Buffer.concat([bind('', 'kept', String(n)), execute('')]));
    client.send(parse('kept', 'select $1::text'), sync(), ...many, sync());
    t.equal(
      (await client.until('Z', 2)).filter(({ type }) => type === 'C').length,
      rounds,
      'many Binds before one Sync, too',
    );
    t.ok(process.cpuUsage(began).user < 20e6, 'squared, this took minutes');
  },
);

const COPIER =
  '  copier:\n    extends: order-editor\n    upstream: { user: FIXER, password: { env: FIXER_PASSWORD } }\n    allow:\n      - { statements: [copy-in], relations: [public.inbox] }\n';

async function copying(t: Test) {
  const gateway = await gatewayToOrders(t);
  const { database } = gateway.orders;
  await database.query(`create table inbox (n int); grant insert, select on inbox to fixer_${database.name}`);
  await gateway.policy(
    'orders-db',
    gateway.orders.policy({ more: COPIER.replace('FIXER,', `fixer_${database.name},`) }),
  );
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'copier' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  const rows = async () => (await database.query<{ n: number }>('select n from inbox order by n')).map(({ n }) => n);
  return { ...gateway, client, rows };
}

t.test('COPY FROM STDIN works by Query and by Execute, and its bytes are in the record', async (t) => {
  const gateway = await copying(t);
  const { client } = gateway;
  client.send(query('copy inbox from stdin'));
  t.equal(shapes([await client.message()]), 'G');
  client.send(front('d', Buffer.from('1\n2\n')), front('c'));
  t.equal(shapes(await client.until()), 'C:COPY 2 Z:I');
  client.send(parse('', 'copy inbox from stdin'), bind('', ''), execute(''), sync());
  t.equal(shapes(await client.until('G')), '1 2 G');
  client.send(front('d', Buffer.from('3\n')), front('c'), sync());
  t.equal(shapes(await client.until()), 'C:COPY 1 Z:I');
  client.send(query('copy inbox from stdin'));
  await client.message();
  client.send(front('d', Buffer.from('not a number\n')), front('d', Buffer.from('4\n')), front('c'), query('select 1'));
  t.equal(shapes(await client.until('Z', 2)), 'E:22P02 Z:I T D C:SELECT 1 Z:I', 'a failing COPY');
  client.send(query('copy inbox from stdin'));
  await client.message();
  client.send(front('f', cstring('changed my mind')));
  t.equal(shapes(await client.until()), 'E:57014 Z:I');
  t.same(await gateway.rows(), [1, 2, 3]);
  client.socket.destroy();
  await gateway.stop();
  const copies = (await gateway.events()).filter(({ kind, facts }) => kind === 'result' && facts.tag === 'COPY 2');
  t.match(copies, [{ facts: { bytesIn: 9 }, payload: { copy: /1\n2\n/ } }]);
});

t.test('a COPY both ways says its rows and bytes, and what is sent beside one is counted with none', async (t) => {
  const gateway = await copying(t);
  const { client } = gateway;
  const data = front('d', Buffer.from('1\n2\n'));
  client.send(query('copy inbox from stdin'), data, front('c'));
  t.equal(shapes(await client.until()), 'G C:COPY 2 Z:I', 'data that does not wait for the server to ask');
  client.send(query('copy inbox from stdin'));
  await client.until('G');
  client.send(front('d', Buffer.from('x\n')));
  await client.until();
  client.send(data, data, front('c'));
  client.send(query('copy inbox from stdin'));
  await client.until('G');
  client.send(front('d', Buffer.from('3\n')), front('c'));
  await client.until();
  client.send(data, query('copy (select id, id from orders limit 3) to stdout csv header'));
  await client.until();
  client.send(query('copy inbox from stdin'));
  await client.until('G');
  client.send(data);
  client.socket.end();
  await client.closed;
  await gateway.stop();
  const results = (await gateway.events()).filter(({ kind }) => kind === 'result').map(({ facts }) => facts);
  t.match(results, [
    { tag: 'COPY 2', rows: 2, bytesIn: data.length, bytesOut: 0 },
    { status: '22P02', rows: 0, bytesIn: 7 },
    { tag: 'COPY 1', rows: 1, bytesIn: 7 },
    { tag: 'COPY 3', rows: 3, bytesOut: Number },
    { status: 'interrupted', rows: 0, bytesIn: data.length },
  ]);
  t.equal(results[3]?.bytesIn, undefined);
});

t.test(
  'data that comes whole before it is asked for is that of its COPY, and what is sent behind it is answered',
  async (t) => {
    const gateway = await copying(t);
    const { client } = gateway;
    const data = (text: string) => front('d', Buffer.from(text));
    const [copy, done] = [query('copy inbox from stdin'), front('c')];
    const byExecute = [parse('', 'copy inbox from stdin'), bind('', ''), execute('')];
    client.send(copy, data('1\n'), done, ...byExecute, data('2\n'), data('3\n'), done, sync(), query('select 1'));
    t.equal(shapes(await client.until('Z', 3)), 'G C:COPY 1 Z:I 1 2 G C:COPY 2 Z:I T D C:SELECT 1 Z:I');
    client.send(query('select 1'), data('nobody\n'), done, ...byExecute, sync(), data('x\n'), done, sync(), copy, done);
    t.equal(shapes(await client.until('Z', 3)), 'T D C:SELECT 1 Z:I 1 2 G E:22P02 Z:I G C:COPY 0 Z:I');
    client.send(query('copy missing from stdin'), data('4\n'), done, ...byExecute, front('f', cstring('no')), sync());
    t.equal(shapes(await client.until('Z', 2)), 'E:42501 Z:I 1 2 G E:57014 Z:I');
    t.same(await gateway.rows(), [1, 2, 3]);
    client.socket.destroy();
    await gateway.stop();
    const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
    t.match(
      results.map(({ facts: { status, bytesIn }, payload }) => [status, bytesIn, payload]),
      [
        ['00000', 7, { copy: /1\n$/ }],
        ['00000', 14, { copy: /2\n.*3\n$/s }],
        ['00000', undefined, null],
        ['00000', undefined, null],
        ['22P02', 7, { copy: /x\n$/ }],
        ['00000', 0, null],
        ['57014', 0, null],
      ],
    );
  },
);

t.test(
  'a message behind a COPY that takes its data first ends the session: no result is told of the wrong one',
  async (t) => {
    const gateway = await copying(t);
    const { database } = gateway.orders;
    const { handle } = await gateway.issue({ service: 'orders-db', role: 'copier' });
    for (const behind of [
      query('select 1'),
      Buffer.concat([parse('', 'select 1'), bind('', ''), execute(''), sync()]),
      Buffer.concat([sync(), parse('s', 'select 1')]),
      close('S', 'x'),
    ]) {
      const { client } = await loggedIn(t, gateway.ports.postgres, handle);
      client.send(query('copy inbox from stdin'), behind, query('select 2'));
      const answers = await client.rest();
      t.match(shapes(answers), /^E:08P01$/);
      t.match(fields(answers.at(-1)!).M, /behind a COPY/);
    }
    t.same(await database.query('select * from inbox'), []);
    await gateway.stop();
    const events = await gateway.events();
    const ran = events.filter(({ kind, facts }) => kind === 'result' && facts.status === '00000');
    t.same(ran, [], 'nothing is recorded as done');
  },
);

t.test('names that SQL gives and drops again are no fewer than the server has', async (t) => {
  const { client } = await joined(t);
  const run = async (...texts: string[]) => {
    client.send(...texts.map(query));
    return shapes(await client.until('Z', texts.length));
  };
  await run('begin');
  for (let n = 0; n < 150; n += 1) {
    const answers = await run(
      `declare c cursor for select ${n} from orders; fetch 1 from c; close c; prepare p as select ${n}; execute p; deallocate p`,
    );
    if (answers.includes('E:')) t.fail(`${n}: ${answers}`);
  }
  t.match(await run('fetch 1 from c', 'rollback', 'execute p'), /^E:34000 Z:E C:ROLLBACK Z:I E:26000 Z:I$/);
  t.notMatch(await run('begin', 'prepare p as select 1', 'deallocate p', 'prepare p as select 2', 'rollback'), /E:/);
  t.match(await run('execute p'), /D/, 'a prepared statement is not undone');
  t.match(await run('begin', 'deallocate p', 'rollback', 'execute p'), /E:26000 Z:I$/, 'and does not come back');
  client.send(parse('q', 'select 3'), sync(), query('deallocate all'), bind('', 'q'), sync());
  t.equal(shapes(await client.until('Z', 3)), '1 Z:I C:DEALLOCATE ALL Z:I E:26000 Z:I');
  client.send(parse('d', 'deallocate r'), bind('', 'd'), execute(''), sync(), parse('r', 'select 5'), sync());
  client.send(bind('', 'r'), execute(''), bind('', 'd'), execute(''), sync(), bind('', 'r'), sync());
  t.equal(
    shapes(await client.until('Z', 4)),
    '1 2 E:26000 Z:I 1 Z:I 2 D C:SELECT 1 2 C:DEALLOCATE Z:I E:26000 Z:I',
    'what failed dropped nothing',
  );
});

t.test('B11: a name whose DEALLOCATE failed, or was refused, is judged as before', async (t) => {
  const gateway = await joined(t, 'reader', {});
  const { client } = gateway;
  client.send(query('prepare p as select sku from order_items'), query('select 1 / 0; deallocate p'));
  client.send(query('deallocate p; select * from payment_methods'));
  t.equal(shapes(await client.until('Z', 3)), 'C:PREPARE Z:I E:22012 Z:I E:42501 Z:I');
  await gateway.policy(
    'orders-db',
    gateway.orders.policy({ reader: '{ statements: [select], relations: [public.orders] }' }),
  );
  client.send(query('execute p'));
  t.match(shapes(await client.until()), /^E:42501/);
});

t.test('a role that may do anything has as many names as the server lets it', async (t) => {
  const gateway = await gatewayToOrders(t, { policy: { more: '  admin:\n    allow: [{ statements: [any] }]' } });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'admin' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  const many = Array.from({ length: 10_100 }, (_, n) => parse(`s${n}`, 'select 1'));
  client.send(Buffer.concat(many), sync());
  t.equal((await client.until()).filter(({ type }) => type === '1').length, many.length);
  client.send(bind('', 's10099'), execute(''), sync());
  t.equal(shapes(await client.until()), '2 D C:SELECT 1 Z:I');
  const unnamed = Array.from({ length: 300 }, (_, n) => [parse('', `select ${n}`), sync()]).flat();
  client.send(...unnamed, bind('', ''), execute(''), sync());
  t.match(shapes(await client.until('Z', 301)), /2 D C:SELECT 1 Z:I$/, 'and need not wait for answers');
  const odd = Buffer.from([0xff, 0xfe, 0]);
  client.send(query('set client_encoding = latin1'));
  await client.until();
  const named = front('P', odd, cstring('select 7'), int16(0));
  client.send(named, front('B', odd, odd, int16(0), int16(0), int16(0)), front('E', odd, int32(0)), sync());
  t.equal(shapes(await client.until()), '1 2 D C:SELECT 1 Z:I', 'a name need not be UTF-8');
});

/** Longer than the timeout, the gateway's patience with the server and the time between two looks together, milliseconds. */
const THINKING = 2_600;

t.test('the time of a statement is not that of the person who thought before it', async (t) => {
  const gateway = await gatewayToOrders(t, {
    policy: { more: '  admin:\n    statement_timeout: 1s\n    allow: [{ statements: [any] }]' },
  });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'admin' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  // The server's own clock would count it.
  client.send(query('set statement_timeout = 0'));
  await client.until();
  client.send(parse('', 'select id, pg_sleep(0.3) from orders'), describe('S', ''), flush());
  await client.until('T');
  const starved = starvation();
  await pause(THINKING);
  client.send(bind('', ''), execute('', 2), flush());
  await client.until('s');
  await pause(THINKING);
  client.send(execute('', 2));
  await pause(THINKING);
  client.send(execute('', 1), sync());
  t.match(shapes(await client.until()), /^D D s D s Z:I$/, 'not cancelled');
  client.socket.destroy();
  await gateway.stop();
  const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
  t.equal(results.length, 4);
  for (const { facts } of results) t.ok((facts.ms as number) < THINKING + starved(), `${facts.ms} ms`);
});

t.test('a Query inside a COPY ends the session; the COPY has no effect', async (t) => {
  const { client, rows } = await copying(t);
  client.send(query('copy inbox from stdin'));
  await client.message();
  client.send(front('d', Buffer.from('1\n')), query('select 1'));
  t.equal(shapes(await client.rest()), 'E:08P01');
  t.same(await rows(), []);
});

t.test('CopyData out of place has no effect', async (t) => {
  const { client, rows } = await copying(t);
  client.send(front('d', Buffer.from('1\n')), front('c'), query('select 1'));
  t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I');
  t.same(await rows(), []);
});

t.test('Syncs that lead answers astray end the session at the latest when an answer fits nothing', async (t) => {
  const { client } = await copying(t);
  client.send(query('copy inbox from stdin'), sync(), sync());
  t.equal(shapes([await client.message()]), 'G');
  client.send(front('c'), query('select 1'), sync());
  const answers = shapes(await client.until('Z', 3));
  t.equal(answers, 'C:COPY 0 Z:I T D C:SELECT 1 Z:I Z:I', 'Syncs inside a COPY are no answers to wait for');
});

t.test('a flood of Syncs, Flushes and Closes is answered one by one', async (t) => {
  const { client } = await joined(t);
  client.send(Buffer.concat(Array.from({ length: 20_000 }, () => sync())));
  t.equal((await client.until('Z', 20_000)).length, 20_000);
  client.send(
    Buffer.concat(Array.from({ length: 5_000 }, () => Buffer.concat([flush(), close('P', 'x'), close('S', 'y')]))),
    sync(),
  );
  t.equal((await client.until()).filter(({ type }) => type === '3').length, 10_000);
});

t.test('a framing error ends the session with the reason, and nothing after it is run', async (t) => {
  for (const [bytes, code] of [
    [Buffer.concat([Buffer.from('Q'), int32(3)]), '08P01'],
    [Buffer.concat([Buffer.from('Q'), int32(2 ** 25)]), '54000'],
    [Buffer.concat([Buffer.from('~'), int32(4)]), '08P01'],
    [front('Q', Buffer.from('no end')), '08P01'],
    [front('p', cstring('again')), '08P01'],
    [front('E', cstring(''), int32(0), int32(0)), '08P01'],
  ] as const) {
    const { client, status } = await joined(t, 'order-editor');
    client.send(bytes, query(update(1, 'x')));
    const [error] = await client.rest();
    t.match(error && fields(error), { S: 'FATAL', C: code });
    t.not(await status(1), 'x');
  }
});

t.test('what a client leaves running ends with it: it would run on past its grant, unseen', async (t) => {
  for (const goodbye of ['socket', 'terminate'] as const) {
    const { client, status, orders } = await joined(t, 'order-editor');
    client.send(query(`${update(1, 'late')} and pg_sleep(30) is not null`));
    const running = async () =>
      (
        await orders.database.query(
          `select 1 from pg_stat_activity where datname = current_database() and state = 'active' and query like '%late%' and pid <> pg_backend_pid()`,
        )
      ).length;
    while ((await running()) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    if (goodbye === 'socket') client.socket.destroy();
    else client.send(terminate());
    await client.closed;
    await waitUntil(goodbye, async () => (await running()) === 0, { seconds: 20 }); // before its own end
    t.not(await status(1), 'late');
  }
});
