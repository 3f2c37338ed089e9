import t, { type Test } from 'tap';
import { Kept, weightOfExpectation, weightOfStatement } from '../../src/postgres/kept.js';
import type { MemoryLimits } from '../../src/postgres/memory.js';
import { analyse, loadParser } from '../../src/postgres/sql/analyse.js';
import { bind, close, cstring, execute, front, int32, loggedIn, parse, shapes, sync } from '../support/wire.js';
import { facing, honest, READY } from './hostile.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const SYNTAX_ERROR = front(
  'E',
  cstring('SERROR'),
  cstring('C42601'),
  cstring('Mwhat was sent in its place'),
  Buffer.of(0),
);

await loadParser();

/** A port whose sessions have so much memory, in front of a server that answers one message after the other so. */
function inFrontOf(t: Test, memory: MemoryLimits, answers: readonly Buffer[]) {
  const script = honest((server, asked) => server.send(answers[asked - 1] ?? READY));
  return facing(t, script, 10_000, 'master', {}, { memory });
}

t.test('names take no more memory than there is for them, and none when they are closed', async (t) => {
  const [parsed, closed] = [front('1'), front('3')];
  const answers = [parsed, READY, SYNTAX_ERROR, READY, closed, READY, parsed, READY];
  const { gatewayPort, handle } = await inFrontOf(t, { texts: 64 * KiB }, answers);
  const { client } = await loggedIn(t, gatewayPort, handle);
  const heard = async (message: Buffer) => {
    client.send(message, sync());
    return shapes(await client.until());
  };
  const long = (n: number) => `select '${'x'.repeat(10 * KiB)}', ${n}`;
  t.match(await heard(parse('a', long(1))), /^1 Z/);
  t.match(await heard(parse('b', long(2))), /^E:54000 Z/);
  t.match(await heard(close('S', 'a')), /^3 Z/);
  t.match(await heard(parse('b', long(2))), /^1 Z/);
});

t.test('what a session kept is there for others when it has ended', async (t) => {
  const { gatewayPort, handle } = await inFrontOf(t, { texts: 64 * KiB }, [front('1'), READY]);
  for (let i = 0; i < 4; i += 1) {
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(parse('a', `select '${'x'.repeat(10 * KiB)}'`), sync());
    t.match(shapes(await client.until()), /^1 Z/);
    client.send(front('X'));
    await client.closed;
  }
});

/** What a session keeps, in a room without end. */
function kept() {
  const room = { bytes: 0 };
  const change = (bytes: number) => {
    room.bytes += bytes;
    return true;
  };
  const { statements, portals } = new Kept({ take: change, give: (bytes) => void change(-bytes) });
  return { room, statements, portals };
}

t.test('a statement weighs once, however many portals run it, and until the last of them is gone', async (t) => {
  const { room, statements, portals } = kept();
  const statement = { text: 'x'.repeat(10_000), analysis: analyse('select 1') };
  const first = { statements: [statement], parameters: ['x'.repeat(1_000), null] };
  const second = { statements: [statement, { ...statement }], parameters: [] };
  statements.take(statement);
  t.ok(room.bytes >= weightOfStatement(statement));
  portals.take(first);
  t.ok(room.bytes > 2_000 + weightOfStatement(statement) && room.bytes < 2 * weightOfStatement(statement));
  portals.take(second);
  t.ok(room.bytes > 2 * weightOfStatement(statement));
  statements.give(statement);
  portals.give(first);
  t.ok(room.bytes > 2 * weightOfStatement(statement), 'its name is forgotten, but not what runs it');
  portals.give(second);
  t.equal(room.bytes, 0);
});

t.test('a statement that is refused for want of memory is not kept, nor counted', async (t) => {
  const { statements } = new Kept({ take: () => false, give: (bytes) => t.equal(bytes, 256) });
  const statement = { text: 'select 1', analysis: analyse('select 1') };
  t.notOk(statements.take(statement));
  statements.give(statement);
});

t.test('of thousands of Binds under way each counts by itself, and what they run once', async (t) => {
  const silent = honest(() => {});
  const { gatewayPort, handle } = await facing(t, silent, 10_000, 'master', {}, { memory: { texts: 2 * MiB } });
  const { client } = await loggedIn(t, gatewayPort, handle);
  const pipeline = Array.from({ length: 2_000 }, (_, i) => [bind('', 'a', String(i)), execute('')]).flat();
  client.send(parse('a', `select $1 ${' '.repeat(10_000)}`), ...pipeline, sync());
  const refused = Promise.race([client.rest(), new Promise((resolve) => setTimeout(resolve, 500, 'nothing'))]);
  t.equal(await refused, 'nothing');
});

t.test('what is answered makes room for what comes next', async (t) => {
  const { gatewayPort, handle } = await inFrontOf(t, { texts: 8 * MiB }, []);
  const { client } = await loggedIn(t, gatewayPort, handle);
  for (let i = 0; i < 12; i += 1) {
    client.send(front('Q', Buffer.alloc(MiB, 'x'), Buffer.of(0)));
    t.equal(shapes(await client.until()), 'Z:I');
  }
});

t.test('of one person large messages under way find no more room together than there is for one person', async (t) => {
  const { gatewayPort, handle } = await inFrontOf(t, { messages: 8 * MiB }, []);
  const half = Buffer.concat([Buffer.from('B'), int32(7 * MiB), Buffer.alloc(6 * MiB)]);
  const clients = [await loggedIn(t, gatewayPort, handle), await loggedIn(t, gatewayPort, handle)];
  for (const { client } of clients) client.send(half);
  t.match(shapes(await Promise.race(clients.map(({ client }) => client.rest()))), /^E:53200$/);
});

t.test('a message whose name may mean thousands of statements weighs as many', (t) => {
  const analysis = analyse('select 1');
  const contained = Array.from({ length: 5_000 }, () => analysis);
  const action = { text: 'select 1', analysis, contained, via: 'execute' } as const;
  t.ok(weightOfExpectation({ kind: 'execute', seq: 1, action, portal: '', defined: [] }) >= 40_000);
  const { room, portals } = kept();
  const statement = { text: 'select 1', analysis };
  portals.take({ statements: contained.map(() => statement), parameters: [] });
  t.ok(room.bytes >= 40_000);
  t.end();
});
