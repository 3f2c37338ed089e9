import t, { type Test } from 'tap';
import type { MemoryLimits } from '../../src/postgres/memory.js';
import { weightOfPortal, weightOfStatement } from '../../src/postgres/names.js';
import { analyse, loadParser } from '../../src/postgres/sql/analyse.js';
import { close, cstring, front, int32, loggedIn, parse, shapes, sync } from '../support/wire.js';
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
  const { gatewayPort, handle } = await inFrontOf(t, { names: 64 * KiB }, answers);
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
  const { gatewayPort, handle } = await inFrontOf(t, { names: 64 * KiB }, [front('1'), READY]);
  for (let i = 0; i < 4; i += 1) {
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(parse('a', `select '${'x'.repeat(10 * KiB)}'`), sync());
    t.match(shapes(await client.until()), /^1 Z/);
    client.send(front('X'));
    await client.closed;
  }
});

t.test('a portal weighs its parameters and what it runs, however it is called later', async (t) => {
  const statement = { text: 'select 1', analysis: analyse('select 1') };
  const portal = { statements: [statement], parameters: ['x'.repeat(1_000), null] };
  t.ok(weightOfPortal(portal) > 2_000 + weightOfStatement(statement));
});

t.test('of one person large messages under way find no more room together than there is for one person', async (t) => {
  const { gatewayPort, handle } = await inFrontOf(t, { messages: 8 * MiB }, []);
  const half = Buffer.concat([Buffer.from('B'), int32(7 * MiB), Buffer.alloc(6 * MiB)]);
  const clients = [await loggedIn(t, gatewayPort, handle), await loggedIn(t, gatewayPort, handle)];
  for (const { client } of clients) client.send(half);
  t.match(shapes(await Promise.race(clients.map(({ client }) => client.rest()))), /^E:53200$/);
});
