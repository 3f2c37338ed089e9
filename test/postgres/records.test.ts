import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { postgresProtocol } from '../../src/postgres/protocol.js';
import type { Facts } from '../../src/recording/event.js';
import { throughGateway } from '../support/gateway.js';
import { gatewayToOrders } from './fixture.js';

const READ = '{ statements: [select, copy-out], relations: [public.orders] }';

/** Runs statements as a reader with these recording keys, and gives the events of its session. */
async function recorded(
  t: Test,
  keys: string,
  run: (client: Awaited<ReturnType<typeof throughGateway>>) => Promise<unknown>,
) {
  const gateway = await gatewayToOrders(t, { policy: { reader: `${READ}\n    ${keys}` } });
  const client = await throughGateway(
    t,
    gateway.ports.postgres,
    (await gateway.issue({ service: 'orders-db' })).handle,
  );
  await run(client);
  await client.end();
  await gateway.stop();
  return gateway.events();
}

const byId = { text: 'select status from orders where id = $1 and customer = $2', values: [3, 'customer 3'] };

t.test('parameters are recorded, hashed or left out, as the role says', async (t) => {
  const sha = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  for (const [keys, parameters] of [
    ['', ['3', 'customer 3']],
    ['recording: { parameters: recorded }', ['3', 'customer 3']],
    ['recording: { parameters: hashed }', [sha('3'), sha('customer 3')]],
    ['recording: { parameters: off }', undefined],
  ] as const) {
    const events = await recorded(t, keys, (client) => client.query(byId));
    const action = events.find(({ kind, facts }) => kind === 'action' && facts.via === 'execute');
    t.same(action?.payload?.parameters, parameters, keys);
    if (parameters?.[1] !== 'customer 3')
      t.notMatch(JSON.stringify(events), /customer 3/, 'the value is nowhere in the record');
  }
});

t.test('the first rows of a result are in the record when the role asks for them', async (t) => {
  const events = await recorded(t, 'recording: { results: 2 }', async (client) => {
    await client.query('select id, customer, null as nothing from orders order by id');
    await client.query(byId);
    await client.query("select decode('00ff', 'hex') as bytes, repeat('x', 100000) as long");
    await client.query("select 'shown' as small, E'a\\tb\\x01' as control");
    await client.query({ text: 'select 1::int4 as n', binary: true } as never);
  });
  const results = events
    .filter(({ kind }) => kind === 'result')
    .map(({ payload, facts }) => ({ payload, rows: facts.rows }));
  t.match(results[0], {
    rows: 1000,
    payload: {
      columns: ['id', 'customer', 'nothing'],
      results: [
        ['1', 'customer 1', null],
        ['2', 'customer 2', null],
      ],
    },
  });
  t.equal(Array.isArray(results[0]?.payload?.results) && results[0].payload.results.length, 2);
  t.match(results[1], { rows: 1, payload: { columns: ['status'], results: [['paid']] } });
  t.equal(results[2]?.payload, null, 'a row that is too long is not kept');
  t.match(results[3]?.payload?.results, [['shown', /^\\x6109/]]);
  const [first] = events.filter(({ kind }) => kind === 'result');
  const words = first === undefined ? '' : postgresProtocol.render({ ...first, at: 0, kind: 'result' });
  t.match(
    words,
    /^ {2}→ SELECT 1000, 1000 rows, .* ms\nid, customer, nothing\n\["1","customer 1",null\]\n\["2",/,
    'replays show them',
  );
});

t.test('what has no statement has a result all the same, whichever way it is sent', async (t) => {
  const events = await recorded(t, '', async (client) => {
    for (const text of ['', ';']) {
      await client.query(text);
      await client.query({ text, values: [], name: `empty ${text}` });
    }
  });
  const seqs = events.filter(({ kind, facts }) => kind === 'action' && facts.via !== 'parse').map(({ seq }) => seq);
  const results = events.filter(({ kind }) => kind === 'result');
  t.equal(seqs.length, 4);
  t.same(
    results.map(({ facts }) => [facts.of, facts.status]),
    seqs.map((seq) => [seq, '00000']),
  );
});

t.test('without it no value of a result is in the record', async (t) => {
  const events = await recorded(t, '', (client) => client.query("select 'se' || 'cret'"));
  t.notMatch(JSON.stringify(events), /secret/);
});

t.test('a result says its SQLSTATE, rows, bytes and duration, a COPY its counts', async (t) => {
  const events = await recorded(t, '', async (client) => {
    await client.query('select id from orders limit 7');
    await t.rejects(client.query('select 1 / 0'), { code: '22012' });
    await client.query('copy orders (id) to stdout');
  });
  const results = events.filter(({ kind }) => kind === 'result').map(({ facts }) => facts);
  t.match(results[0], { status: '00000', tag: 'SELECT 7', rows: 7, bytesOut: Number, ms: Number });
  t.match(results[1], { status: '22012', rows: 0 });
  t.match(results[2], { status: '00000', tag: 'COPY 1000', bytesOut: Number });
  t.ok((results[2]?.bytesOut as number) > 1000);
  const said = (facts: Facts) =>
    postgresProtocol.render({ seq: 1, at: 0, kind: 'result', facts, payload: null }).trim();
  t.equal(said({ status: '00000', tag: 'SELECT 7', rows: 7, ms: 3 }), '→ SELECT 7, 7 rows, 3 ms');
  t.equal(said({ status: '57014', rows: 0, ms: 3 }), '→ SQLSTATE 57014, 3 ms', 'once');
  t.equal(said({ status: 'interrupted', rows: 2, ms: 3 }), '→ interrupted, after 2 rows, 3 ms');
});
