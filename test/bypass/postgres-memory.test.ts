import t from 'tap';
import { systemClock } from '../../src/clock.js';
import { Passage } from '../../src/gate/passage.js';
import { Conversation } from '../../src/postgres/conversation.js';
import { CopyData } from '../../src/postgres/copy-data.js';
import { Decisions } from '../../src/postgres/decisions.js';
import { weightOfStatement } from '../../src/postgres/kept.js';
import { SessionsMemory } from '../../src/postgres/memory.js';
import { postgresProtocol } from '../../src/postgres/protocol.js';
import { analyse, loadParser } from '../../src/postgres/sql/analyse.js';
import { facing, honest, READY } from '../postgres/hostile.js';
import { READER, roleOf } from '../postgres/role.js';
import { collect } from '../support/collect.js';
import { waitUntil } from '../support/wait.js';
import { bind, cstring, execute, flush, front, loggedIn, parse, shapes, sync } from '../support/wire.js';

/*
 * Nobody takes the gateway's memory by what they keep there: statements under names, and statements that wait for an answer.
 */
const MiB = 1024 * 1024;

await loadParser();

t.test('C19: statements that the server has not answered take no more memory than there is for them', async (t) => {
  const silent = honest(() => {});
  const { gatewayPort, handle } = await facing(t, silent, 10_000, 'master', {}, { memory: { texts: 8 * MiB } });
  const large = front('Q', Buffer.alloc(MiB, 'x'), Buffer.of(0));
  const { client } = await loggedIn(t, gatewayPort, handle);
  for (let i = 0; i < 3; i += 1) client.send(large);
  const heard = client.rest();
  t.equal(await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 200, 'nothing'))]), 'nothing');
  for (let i = 0; i < 3; i += 1) client.send(large);
  t.match(shapes(await heard), /^E:53200$/);
});

t.test('C19: a statement that names columns again and again has to find room for what is kept of it', async (t) => {
  const syntaxError = front(
    'E',
    cstring('SERROR'),
    cstring('C42601'),
    cstring('Mwhat was sent in its place'),
    Buffer.of(0),
  );
  const answers = [front('1'), READY, syntaxError, READY];
  const server = honest((it, asked) => it.send(answers[asked - 1] ?? READY));
  const { gatewayPort, handle } = await facing(t, server, 10_000, 'master', {}, { memory: { texts: 8 * MiB } });
  const { client } = await loggedIn(t, gatewayPort, handle);
  const columns = (n: number) => `select coalesce(${'a,'.repeat(20_000)}a), ${n}`;
  client.send(parse('a', columns(1)), sync());
  t.equal(shapes(await client.until()), '1 Z:I');
  client.send(parse('b', columns(2)), sync());
  t.equal(shapes(await client.until()), 'E:54000 Z:I');
});

t.test('C19: what a statement was found to do weighs as much as it takes', async (t) => {
  const columns = `select coalesce(${'a,'.repeat(30_000)}a)`;
  t.ok(weightOfStatement({ text: columns, analysis: analyse(columns) }) > 30_000 * 250);
  const places = `select 1 from ${'a,'.repeat(700)}a, ${'(select b) s,'.repeat(700)}c`;
  t.ok(weightOfStatement({ text: places, analysis: analyse(places) }) > 700 * 700 * 8);
});

t.test('C19: a session that has ended has nothing left to give back', async (t) => {
  const memory = new SessionsMemory({ texts: MiB });
  const ended = memory.of('alice', () => {});
  t.ok(ended.names.take(MiB));
  ended.end();
  ended.names.give(MiB);
  t.notOk(ended.names.take(MiB), 'and takes nothing more');
  t.notOk(memory.of('bob', () => {}).names.take(MiB + 1));
  t.ok(memory.of('bob', () => {}).names.take(MiB));
});

t.test(
  'C19: a client that is not answered is read no further, before its end would be the record of thousands',
  async (t) => {
    let heard = 0;
    const silent = honest((_, asked) => {
      heard = asked;
    });
    const { gate, gatewayPort, handle } = await facing(t, silent, 10_000);
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(parse('', 'select 1'), bind('', ''), flush());
    for (let i = 0; i < 40; i += 1) client.send(Buffer.concat(Array.from({ length: 1_000 }, () => execute(''))));
    await waitUntil('many are on their way', () => heard > 4_000);
    await new Promise((resolve) => setTimeout(resolve, 500));
    t.ok(heard < 8_000, `${heard} messages`);
    client.socket.resetAndDestroy();
    const noticed = () => gate.live.registry.all().length === 0;
    await waitUntil('it is noticed that it left, though it is not read', noticed, { seconds: 20 });
  },
);

t.test('C19: when the policy changes thousands that wait are decided as often as they are statements', async (t) => {
  const { gate, gatewayPort, handle, log } = await facing(
    t,
    honest((server) => server.send(READY)),
    10_000,
  );
  await loggedIn(t, gatewayPort, handle);
  const [session] = gate.live.registry.all();
  if (session === undefined) return void t.fail('nobody is in');
  const passage = new Passage(session, postgresProtocol, log);
  let judged = 0;
  const judge = passage.judge.bind(passage);
  passage.judge = (action) => {
    judged += 1;
    return judge(action);
  };
  const catalog = { current: () => null, wanted: () => {}, changed: () => {} };
  const room = { take: () => true, give: () => {} };
  const decisions = new Decisions(new Conversation(passage, catalog, systemClock, room));
  const [one, other] = [analyse('execute a'), analyse('select 1')];
  for (let i = 0; i < 1_000; i += 1) {
    decisions.again({ text: 'select 1', analysis: other, contained: [], via: 'execute' });
    decisions.again({ text: 'execute a', analysis: one, contained: [other, other], via: 'query' });
  }
  t.equal(judged, 2);
  session.role = roleOf(READER);
  decisions.again({ text: 'execute a', analysis: one, contained: [other], via: 'query' });
  t.equal(judged, 3, 'by another policy anew');
});

t.test(
  'C19: of the data of a COPY that comes a byte at a time no more is kept than stands in the record',
  async (t) => {
    const copy = new CopyData();
    for (let i = 0; i < 200; i += 1) copy.add(Buffer.allocUnsafeSlow(MiB).subarray(0, 1));
    collect();
    const { arrayBuffers } = process.memoryUsage();
    t.ok(arrayBuffers < 100 * MiB, `${arrayBuffers} bytes`);
    t.equal(copy.bytes, 200);
  },
);
