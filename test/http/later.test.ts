import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { parseWebAddress } from '../../src/config/address.js';
import { HttpUpstream } from '../../src/http/service/target.js';
import { UpstreamPool } from '../../src/http/service/upstream-pool.js';
import { Metrics } from '../../src/metrics.js';
import { goOnLater } from '../../src/session/later.js';
import { waitUntil } from '../support/wait.js';
import { serve } from './bare-server.js';
import { bareService } from './raw-service.js';

/* What costs work for every few bytes comes from many at once, who need no credential for it: others have their turn in between. */

/** Counts the turns of the event loop. */
function turns(t: Test): () => number {
  let turn = 0;
  let next = setImmediate(function count() {
    turn += 1;
    next = setImmediate(count);
  });
  t.teardown(() => clearImmediate(next));
  return () => turn;
}

/** How often something happened in the turn in which it happened most. */
function most(happened: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const turn of happened) counts.set(turn, (counts.get(turn) ?? 0) + 1);
  return Math.max(...counts.values());
}

const CHUNKS = 400_000;
const TINY = Buffer.from('1\r\nx\r\n'.repeat(CHUNKS));

t.test('of those that go on later a few do so in each turn, and who waits again waits behind all', async (t) => {
  const turn = turns(t);
  const went: { who: number; turn: number }[] = [];
  const wait = (who: number, times: number) =>
    goOnLater(() => {
      went.push({ who, turn: turn() });
      if (times > 1) wait(who, times - 1);
    });
  for (let who = 0; who < 40; who += 1) wait(who, 2);
  await waitUntil('all went', () => went.length === 80);
  t.equal(most(went.map((one) => one.turn)), 16);
  t.same(
    went.map(({ who }) => who),
    [...Array(40).keys(), ...Array(40).keys()],
  );
});

t.test('a client that sends its body in tiny chunks is read once in a turn, and all of it comes', async (t) => {
  const turn = turns(t);
  const reads: number[] = [];
  let bytes = 0;
  let isWhole = false;
  const { client } = await serve(t, (req, res) => {
    const data = ({ bytes: { length }, release }: { bytes: Buffer; release(): void }) => {
      reads.push(turn());
      bytes += length;
      release();
    };
    const end = () => {
      isWhole = true;
      res.send(200, {}, 'all of it');
    };
    req.receive({ data, end, fail() {} });
  });
  const one = client('POST /in HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n');
  one.socket.write(TINY);
  one.socket.write('0\r\n\r\n');
  await one.sees(/all of it$/);
  t.ok(isWhole);
  t.equal(bytes, CHUNKS);
  t.equal(most(reads), 1);
});

t.test(
  'of many clients whose requests are answered at once and stand in line, few are heard in each turn',
  async (t) => {
    const turn = turns(t);
    const [clients, requests] = [64, 50];
    const first = new Set<Socket>();
    const later: number[] = [];
    const { asked, client } = await serve(t, (req, res) => {
      if (first.has(req.socket)) later.push(turn());
      else first.add(req.socket); // it is heard when it comes
      res.send(401, {}, 'no');
    });
    const line = 'GET / HTTP/1.1\r\nHost: web.test\r\n\r\n'.repeat(requests);
    for (let one = 0; one < clients; one += 1) client(line);
    await waitUntil('all are answered', () => asked.length === clients * requests);
    t.ok(most(later) <= 16);
  },
);

t.test('a service that answers in tiny chunks is read once in a turn, and all of it comes', async (t) => {
  const turn = turns(t);
  const service = await bareService(t, (_, socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    socket.write(TINY);
    socket.write('0\r\n\r\n');
  });
  const url = parseWebAddress(`http://127.0.0.1:${service.port}`);
  if (url === undefined) throw new Error('no address');
  const addressed = new HttpUpstream(url, []).addressedAs('');
  const pool = new UpstreamPool(
    (onread) => ({ socket: connect({ host: '127.0.0.1', port: service.port, onread }), ready: 'connect' }),
    new Metrics().service('web', 'http'),
    { connect: 5_000, response: 60_000 },
    500,
  );
  t.teardown(() => pool.destroy());
  const reads: number[] = [];
  let bytes = 0;
  await new Promise<void>((resolve, reject) => {
    const onBody = (piece: Buffer, isLast: boolean) => {
      bytes += piece.length;
      if (isLast) resolve();
      else reads.push(turn());
      return true;
    };
    const heard = { onStart: () => true, onHead: () => {}, onPause: () => {}, onError: reject };
    pool.send({ method: 'GET', path: '/', addressed, lines: '', body: null }, { ...heard, onBody });
  });
  t.equal(bytes, CHUNKS);
  t.equal(most(reads), 1);
});
