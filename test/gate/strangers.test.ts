import { randomInt } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import t from 'tap';
import { descriptorsIn } from '../../src/gate/descriptors.js';
import { Shares } from '../../src/gate/shares.js';
import { type Guest, mostOf, Strangers } from '../../src/gate/strangers.js';
import { Metrics } from '../../src/metrics.js';
import { HastyClock } from '../http/gateway.js';

function room(most: number, shares = new Shares()) {
  const [lines, clock, metrics] = [[] as Record<string, unknown>[], new HastyClock(), new Metrics()];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const strangers = new Strangers({ log, metrics, most, clock, shares });
  const streams = new Map<string, PassThrough>();
  const came = (name: string, address: string) => {
    const stream = new PassThrough();
    streams.set(name, stream);
    return strangers.came(stream, address, 'http');
  };
  const open = () => [...streams].flatMap(([name, { destroyed }]) => (destroyed ? [] : [name])).join(' ');
  return { came, open, streams, lines, clock, metrics };
}

t.test('one too many: the oldest goes of the address that has the most', async (t) => {
  const { came, open } = room(4);
  came('other', '192.0.2.1');
  for (const name of ['a', 'b', 'c', 'd']) came(name, '192.0.2.2');
  t.equal(open(), 'other b c d');
  came('third', '192.0.2.3');
  t.equal(open(), 'other c d third');
  came('fourth', '192.0.2.4');
  t.equal(open(), 'other d third fourth', 'and of as many by each, whoever came first');
  came('fifth', '192.0.2.5');
  t.equal(open(), 'd third fourth fifth');
});

t.test('who asks whether they may come in is not the first to go', async (t) => {
  const { came, open } = room(2);
  const early = came('early', '192.0.2.1');
  came('late', '192.0.2.1');
  early.asks();
  came('last', '192.0.2.1');
  t.equal(open(), 'early last');
});

t.test('nobody has a share for whose client left while they were checked', async (t) => {
  const shares = new Shares(4);
  const { came, streams } = room(2, shares);
  const gone = came('gone', '192.0.2.1');
  streams.get('gone')?.destroy();
  await turn();
  t.ok(gone.letIn('alice'));
  const taken = [1, 2, 3].map(() => shares.take('alice'));
  t.same(taken, [true, true, false], 'half of the room, as if there had been nobody');
});

t.test('who was let in is not counted, until they are turned away; who left makes room', async (t) => {
  const { came, open, streams } = room(2);
  const known = came('known', '192.0.2.1');
  known.letIn('alice');
  for (const name of ['a', 'b', 'c']) came(name, '192.0.2.1');
  t.equal(open(), 'known b c');
  known.asks();
  known.letIn('alice');
  t.equal(open(), 'known b c');
  streams.get('b')?.destroy();
  await turn();
  known.turnedAway();
  t.equal(open(), 'known c');
  came('d', '192.0.2.1');
  came('e', '192.0.2.1');
  t.equal(open(), 'd e');
  known.turnedAway();
  came('f', '192.0.2.1');
  t.equal(open(), 'e f', 'whoever has gone takes no room');
});

t.test('who comes with a few is no crowd among thousands that come with one: the oldest of all goes', async (t) => {
  const { came, open, lines } = room(24);
  for (let at = 0; at < 22; at += 1) came(`${at}`, `192.0.2.${at}`);
  for (const name of ['a', 'b', 'c']) came(name, '198.51.100.1');
  t.match(open(), /^1 2 .* 21 a b c$/);
  t.match(lines, [{ client: '198.51.100.1', connections: 3, addresses: 23 }]);
  came('d', '198.51.100.1');
  t.match(open(), /^1 2 .* 21 b c d$/, 'more than a few are one');
});

t.test(
  'one person has as many connections as are free, and gives back what they close or have somebody else use',
  async (t) => {
    const { came, streams } = room(100, new Shares(8));
    const letIn = (name: string, person: string) => came(name, '192.0.2.1').letIn(person);
    const guests = ['a1', 'a2', 'a3', 'a4'].map((name) => came(name, '192.0.2.1'));
    for (const guest of guests) t.ok(guest.letIn('alice'));
    t.notOk(letIn('a5', 'alice'), 'half of the room');
    for (const name of ['b1', 'b2']) t.ok(letIn(name, 'bob'));
    t.notOk(letIn('b3', 'bob'), 'half of the rest');
    t.ok(guests[0]?.letIn('alice'), 'who is in asks again');
    t.ok(letIn('c1', 'carol'));
    t.ok(guests[0]?.letIn('bob') === false && guests[0].letIn('alice'), 'it is hers still');
    t.ok(guests[0]?.letIn('dave'), 'one that is free, for which she gives hers back');
    t.ok(letIn('e1', 'erin'));
    t.notOk(letIn('f1', 'frank'), 'nothing is free');
    guests[1]?.turnedAway();
    for (const name of ['a3', 'a4', 'a5', 'f1']) streams.get(name)?.destroy();
    await turn();
    t.ok(letIn('f2', 'frank'));
    t.ok(letIn('a6', 'alice'));
  },
);

t.test('all addresses of an IPv6 /48 are one', async (t) => {
  const { came, open } = room(3);
  came('other', '2001:db8:1::1');
  for (const name of ['a', 'b', 'c']) came(name, `2001:db8:2:${name}::1`);
  t.equal(open(), 'other b c');
});

const WAYS: readonly ((guest: Guest) => unknown)[] = [
  (guest) => guest.asks(),
  (guest) => guest.turnedAway(),
  (guest) => guest.letIn('alice'),
  (guest) => guest.letIn('bob'),
];

t.test('it counts whom there is, whatever they do, and has nobody behind them', async (t) => {
  const { came, streams, metrics } = room(40);
  const guests: Guest[] = [];
  const strange = async () =>
    Number(/^daypass_strangers\{protocol="http"\} (-?\d+)$/m.exec(await metrics.registry.metrics())?.[1]);
  for (let at = 0; at < 5_000; at += 1) {
    guests.push(came(`${at}`, `192.0.2.${randomInt(at % 1_000 < 500 ? 3 : 200)}`));
    for (let turns = 0; turns < 3; turns += 1) {
      const guest = guests[guests.length - 1 - randomInt(Math.min(guests.length, 60))];
      if (guest !== undefined) WAYS[randomInt(WAYS.length)]?.(guest);
    }
    if (at % 3 === 0) streams.get(`${at - randomInt(Math.min(at + 1, 60))}`)?.destroy();
    if (at % 100 === 0) await turn();
    if (at % 500 === 0) t.ok((await strange()) <= 40);
  }
  for (const guest of guests) guest.turnedAway();
  t.equal(await strange(), 40, 'whoever has gone is not counted');
  for (const stream of streams.values()) stream.destroy();
  await turn();
  await turn();
  t.equal(await strange(), 0);
});

t.test('it is said once for a burst, and each is counted', async (t) => {
  const { came, lines, clock, metrics } = room(1);
  for (let i = 0; i < 10; i += 1) came(`${i}`, '192.0.2.1');
  const said = { msg: 'too many strangers are connected', client: '192.0.2.1', connections: 2 };
  t.match(lines, [{ ...said, closed: 1 }]);
  t.equal(lines.length, 1);
  clock.ahead += 60_001;
  came('later', '192.0.2.1');
  t.match(lines, [said, { ...said, closed: 9 }]);
  const text = await metrics.registry.metrics();
  t.match(text, /^daypass_strangers\{protocol="http"\} 1$/m);
  t.match(text, /^daypass_strangers_closed_total\{protocol="http"\} 10$/m);
});

t.test('there is room by the descriptors that the process may have', async (t) => {
  const limits = (soft: string) =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}   524288   files\n`;
  for (const [text, descriptors, room] of [
    [limits('256'), 256, 64],
    [limits('65536'), 65_536, 4_096],
    [limits('unlimited'), Number.POSITIVE_INFINITY, 4_096],
    ['', Number.POSITIVE_INFINITY, 4_096],
  ] as const) {
    t.equal(descriptorsIn(text), descriptors);
    t.equal(mostOf(descriptors), room);
  }
});
