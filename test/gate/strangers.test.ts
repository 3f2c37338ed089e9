import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import t from 'tap';
import { mostOf, Strangers } from '../../src/gate/strangers.js';
import { Metrics } from '../../src/metrics.js';
import { HastyClock } from '../http/gateway.js';

function room(most: number) {
  const [lines, clock, metrics] = [[] as Record<string, unknown>[], new HastyClock(), new Metrics()];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const strangers = new Strangers({ log, metrics, most, clock });
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

t.test('who was let in is not counted, until they are turned away; who left makes room', async (t) => {
  const { came, open, streams } = room(2);
  const known = came('known', '192.0.2.1');
  known.letIn();
  for (const name of ['a', 'b', 'c']) came(name, '192.0.2.1');
  t.equal(open(), 'known b c');
  known.asks();
  known.letIn();
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

t.test('all addresses of an IPv6 network are one', async (t) => {
  const { came, open } = room(3);
  came('other', '2001:db8:0:1::1');
  for (const name of ['a', 'b', 'c']) came(name, `2001:db8:0:2::${name}`);
  t.equal(open(), 'other b c');
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
  t.equal(mostOf(limits('256')), 64);
  t.equal(mostOf(limits('65536')), 4_096);
  t.equal(mostOf(limits('unlimited')), 4_096);
  t.equal(mostOf(''), 4_096);
});
