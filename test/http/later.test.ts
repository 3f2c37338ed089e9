import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { parseWebAddress } from '../../src/config/address.js';
import { HttpUpstream } from '../../src/http/service/target.js';
import { UpstreamPool } from '../../src/http/service/upstream-pool.js';
import { Metrics } from '../../src/metrics.js';
import { goOnLater, Turns } from '../../src/session/later.js';
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

/** Connections to a service on this machine. */
function poolTo(t: Test, port: number) {
  const url = parseWebAddress(`http://127.0.0.1:${port}`);
  if (url === undefined) throw new Error('no address');
  const pool = new UpstreamPool(
    (onread) => ({ socket: connect({ host: '127.0.0.1', port, onread }), ready: 'connect' }),
    new Metrics().service('web', 'http'),
    { connect: 5_000, response: 60_000 },
    500,
  );
  t.teardown(() => pool.destroy());
  return { pool, addressed: new HttpUpstream(url, []).addressedAs('') };
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

/** So many have so much to send at once, and so much of it may be read in one turn: 4 MiB of all, and 256 KiB of each. */
const MANY = 24;
const MiB = 1024 * 1024;
const IN_TURN = 4 * MiB + MANY * (256 + 64) * 1024;

/** How much was read in the turn in which it was most, bytes. */
function mostRead(read: readonly { turn: number; bytes: number }[]): number {
  const sums = new Map<number, number>();
  for (const { turn, bytes } of read) sums.set(turn, (sums.get(turn) ?? 0) + bytes);
  return Math.max(...sums.values());
}

t.test('who reads bodies alone is not stopped; where many do, each stops when others have read enough', async (t) => {
  const [read, reads] = [64 * 1024, 32]; // as the system gives it, and how often in one turn
  const takes = (turns: Turns) => {
    let taken = 0;
    for (let i = 0; i < reads; i += 1) {
      taken += read;
      if (turns.isOver(read, read)) break;
    }
    return taken;
  };
  const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 0));
  const alone = new Turns();
  for (let turn = 0; turn < 4; turn += 1) {
    await nextTurn();
    t.equal(takes(alone), read * reads);
  }
  await nextTurn();
  const all = Array.from({ length: MANY }, () => takes(new Turns()));
  const sum = all.reduce((one, other) => one + other, 0);
  t.ok(sum <= IN_TURN, `${sum} bytes`);
});

t.test('where each piece of a body takes long, hardly more than one is read in a turn', async (t) => {
  const turn = turns(t);
  const reads: number[] = [];
  const { client } = await serve(t, (req, res) => {
    const data = ({ release }: { release(): void }) => {
      reads.push(turn());
      for (const from = performance.now(); performance.now() - from < 20; );
      release();
    };
    req.receive({ data, end: () => res.send(200, {}, 'all of it'), fail() {} });
  });
  const { socket, sees } = client(`POST /in HTTP/1.1\r\nHost: web.test\r\nContent-Length: ${2 * MiB}\r\n\r\n`);
  socket.write(Buffer.alloc(2 * MiB));
  await sees(/all of it$/);
  t.ok(reads.length > 8);
  t.ok(most(reads) <= 2, 'the first of a turn is not timed');
});

t.test('of many long bodies that are at hand no more is read in one turn than others can wait for', async (t) => {
  const turn = turns(t);
  const read: { turn: number; bytes: number }[] = [];
  const { client } = await serve(t, (req, res) => {
    const data = ({ bytes: { length }, release }: { bytes: Buffer; release(): void }) => {
      read.push({ turn: turn(), bytes: length });
      release();
    };
    req.receive({ data, end: () => res.send(200, {}, 'all of it'), fail() {} });
  });
  const head = `POST /in HTTP/1.1\r\nHost: web.test\r\nContent-Length: ${4 * MiB}\r\n\r\n`;
  const all = Array.from({ length: MANY }, () => client(head));
  for (const { socket } of all) socket.write(Buffer.alloc(4 * MiB));
  await Promise.all(all.map((one) => one.sees(/all of it$/)));
  t.equal(
    read.reduce((sum, { bytes }) => sum + bytes, 0),
    MANY * 4 * MiB,
  );
  t.ok(mostRead(read) <= IN_TURN, `${mostRead(read)} bytes`);
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
  const { pool, addressed } = poolTo(t, service.port);
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

t.test('of many long answers that are at hand no more is read in one turn than others can wait for', async (t) => {
  const turn = turns(t);
  const service = await bareService(t, (_, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${4 * MiB}\r\n\r\n`);
    socket.write(Buffer.alloc(4 * MiB));
  });
  const { pool, addressed } = poolTo(t, service.port);
  const read: { turn: number; bytes: number }[] = [];
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      const onBody = (piece: Buffer, isLast: boolean) => {
        read.push({ turn: turn(), bytes: piece.length });
        if (isLast) resolve();
        return true;
      };
      const heard = { onStart: () => true, onHead: () => {}, onPause: () => {}, onError: reject };
      pool.send({ method: 'GET', path: '/', addressed, lines: '', body: null }, { ...heard, onBody });
    });
  await Promise.all(Array.from({ length: MANY }, ask));
  t.equal(
    read.reduce((sum, { bytes }) => sum + bytes, 0),
    MANY * 4 * MiB,
  );
  t.ok(mostRead(read) <= IN_TURN, `${mostRead(read)} bytes`);
});
