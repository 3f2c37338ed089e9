import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { parseWebAddress } from '../../src/config/address.js';
import { Shares } from '../../src/gate/shares.js';
import type { BodySink, RequestBody } from '../../src/http/body/body.js';
import { lasting } from '../../src/http/memory/reading.js';
import { HttpUpstream } from '../../src/http/service/target.js';
import type { AnswerHandler, Dial } from '../../src/http/service/upstream-connection.js';
import { UpstreamPool } from '../../src/http/service/upstream-pool.js';
import { Metrics } from '../../src/metrics.js';
import { closed, waitUntil } from '../support/wait.js';
import { bareService } from './raw-service.js';
import { SeenShares } from './seen-shares.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const ROUND = 100;
/** A service may take less long to answer than to be reached: its policy says so. */
const LIMITS = { connect: 3 * ROUND, response: 6 * ROUND };

/** What is asked with a request, and who hears its answer, where that matters. */
interface Asked extends Partial<AnswerHandler> {
  readonly body?: RequestBody | null;
}

/** A pool without a clock: a round goes by when the test says so. */
async function pooled(
  t: Test,
  hear: (path: string, socket: Socket) => void,
  { limits = LIMITS, shares = new Shares(), mayStart = (_path: string): boolean => true } = {},
) {
  const asked: string[] = [];
  const { port, url, sockets } = await bareService(t, (received, socket) => {
    const [, path = ''] = /^\S+ (\S+) HTTP/.exec(received.toString('latin1')) ?? [];
    asked.push(path);
    hear(path, socket);
  });
  const address = parseWebAddress(url);
  if (address === undefined) throw new Error('no address');
  const addressed = new HttpUpstream(address, []).addressedAs('');
  const dial: Dial = (onread) => ({ socket: connect({ host: '127.0.0.1', port, onread }), ready: 'connect' });
  const pool = new UpstreamPool(dial, new Metrics().service('web', 'http'), limits, ROUND, shares);
  t.teardown(() => pool.destroy());
  const [failures, heads]: [string[], string[]] = [[], []];
  const send = (path: string, over: (how: string) => void, { body = null, ...hears }: Asked = {}) => {
    const sent = pool.send(
      { method: body === null ? 'GET' : 'POST', path, addressed, lines: '', body },
      {
        onStart: () => mayStart(path),
        onHead: () => void heads.push(path),
        // Not before the connection rests.
        onBody: (_bytes, isLast) => {
          if (isLast) setImmediate(() => over(sent.isRepeated ? 'answered, asked twice' : 'answered'));
          return true;
        },
        onPause: () => {},
        onError: ({ message }) => {
          failures.push(message);
          over(message);
        },
        ...hears,
      },
    );
    return sent;
  };
  const ask = (path: string, more?: Asked) => new Promise<string>((resolve) => void send(path, resolve, more));
  return { pool, send, ask, asked, sockets, failures, heads };
}

function wait(pool: UpstreamPool, rounds: number): void {
  for (let round = 0; round < rounds; round += 1) pool.look();
}

t.test(
  'what meets the end of a connection that rested is asked anew, unless the service may have had it',
  async (t) => {
    const far = { connect: 6 * ROUND, response: 2 * ROUND };
    const ends: readonly (readonly [string, typeof LIMITS, (pool: UpstreamPool, socket: Socket) => void, string])[] = [
      ['at once', LIMITS, (_pool, socket) => socket.destroy(), 'answered, asked twice'],
      [
        'when it has had it for long',
        LIMITS,
        (pool, socket) => {
          wait(pool, 4);
          socket.destroy();
        },
        'the service closed before its answer was whole',
      ],
      [
        'when it has begun to answer',
        LIMITS,
        (_pool, socket) => void socket.end('HTTP/1.1 2'),
        'the service closed before its answer was whole',
      ],
      ['as it did not answer in time', far, (pool) => wait(pool, 4), 'no answer within 200 ms'],
      ['with the session', LIMITS, (pool) => pool.destroy(), 'the session is over'],
    ];
    for (const [name, limits, end, expected] of ends) {
      const { pool, ask, asked, sockets } = await pooled(
        t,
        (_path, socket) => {
          if (asked.length !== 2) socket.write(OK);
        },
        { limits },
      );
      t.equal(await ask('/first'), 'answered');
      const answer = ask('/second');
      await waitUntil('the service has it', () => asked.length === 2);
      end(pool, sockets[0] as Socket);
      t.equal(await answer, expected, name);
    }
  },
);

t.test(
  'a connection rests as long as its service keeps it, less what a request takes on its way, and ten minutes at most',
  async (t) => {
    for (const [said, rounds] of [
      ['', 40],
      ['Keep-Alive: timeout=5, max=9\r\n', 30],
      ['Keep-Alive: timeout=602\r\n', 6_000],
      ['Keep-Alive: timeout=99999\r\n', 6_000],
    ] as const) {
      const { pool, ask, sockets } = await pooled(t, (_path, socket) =>
        socket.write(OK.replace('\r\n', `\r\n${said}`)),
      );
      await ask('/first');
      wait(pool, rounds - 1);
      const second = ask('/second');
      await new Promise((resolve) => setImmediate(resolve));
      pool.look(); // it waits for this answer since now
      t.equal(await second, 'answered');
      t.equal(sockets.length, 1, `${said}: it is used again`);
      wait(pool, rounds);
      t.equal(await ask('/third'), 'answered');
      t.equal(sockets.length, 2, `${said}: not any more`);
    }
  },
);

t.test('a connection that the service says it closes is not used again, though it is open still', async (t) => {
  const { ask, sockets } = await pooled(t, (_path, socket) =>
    socket.write(OK.replace('\r\n', '\r\nConnection: close\r\n')),
  );
  for (const path of ['/one', '/two']) t.equal(await ask(path), 'answered');
  t.equal(sockets.length, 2);
});

t.test('a connection on which more came than was asked for is not used again', async (t) => {
  const { ask, asked, sockets, failures } = await pooled(t, (path, socket) =>
    socket.write(path === '/more' ? `${OK}x` : OK),
  );
  t.equal(await ask('/more'), 'answered');
  t.equal(await ask('/two'), 'answered');
  t.equal(sockets.length, 2, 'more came with its answer');
  sockets[1]?.write(OK);
  await closed(sockets[1] as Socket);
  t.equal(await ask('/three'), 'answered');
  t.equal(sockets.length, 3, 'more came when it rested');
  t.same([asked, failures], [['/more', '/two', '/three'], []]);
});

/** A small body of which only so much comes; it could be taken for no request. */
function begun(bytes: string, length: number): RequestBody {
  const start = (sink: BodySink) => void sink.write(lasting(Buffer.from(bytes)));
  return { length, isInert: true, start, resume() {}, destroy() {} } as unknown as RequestBody;
}

t.test('what is asked after an answer that came early is no part of the body that it did not wait for', async (t) => {
  const { ask, sockets, failures } = await pooled(t, (_path, socket) => socket.write(OK));
  t.equal(await ask('/early', { body: begun('{', 100) }), 'answered');
  t.equal(await ask('/two'), 'answered');
  t.equal(sockets.length, 2);
  t.same(failures, []);
});

t.test('whoever has been answered has no say in how fast the next answer is read', async (t) => {
  const { send, ask, sockets } = await pooled(t, (path, socket) =>
    socket.write(path === '/slow' ? OK.replace(': 2', ': 9') : OK),
  );
  const first = await new Promise<ReturnType<typeof send>>((resolve) => {
    const sent = send('/one', () => resolve(sent));
  });
  const read: string[] = [];
  let slow: ReturnType<typeof send> | undefined;
  const isAnswered = new Promise<string>((resolve) => {
    slow = send('/slow', resolve, {
      onBody: (bytes, isLast) => {
        read.push(bytes.toString());
        if (isLast) resolve('answered');
        return false;
      },
    });
  });
  await waitUntil('it has begun', () => read.length === 1);
  sockets[0]?.setNoDelay().write(' is all');
  first.resume();
  for (const path of ['/two', '/three']) t.equal(await ask(path), 'answered');
  t.same(read, ['ok']);
  slow?.resume();
  t.equal(await isAnswered, 'answered');
  t.equal(read.join(''), 'ok is all');
  t.equal(sockets.length, 2);
});

t.test('a pool that is closed finishes what is under way, keeps nothing, and is looked at no more', async (t) => {
  const held: Socket[] = [];
  const { pool, ask, asked, sockets, failures } = await pooled(t, (path, socket) => {
    if (path === '/slow') held.push(socket);
    else socket.write(OK);
  });
  t.equal(await ask('/one'), 'answered');
  const slow = ask('/slow');
  await waitUntil('it is under way', () => held.length === 1);
  t.equal(await ask('/two'), 'answered');
  t.ok(pool.look());
  pool.close();
  await closed(sockets[1] as Socket);
  t.equal(await ask('/three'), 'the session is over');
  t.ok(pool.look(), 'one is under way');
  held[0]?.write(OK);
  t.equal(await slow, 'answered');
  await closed(sockets[0] as Socket);
  await waitUntil('nothing is left', () => !pool.look());
  t.same(asked, ['/one', '/slow', '/two']);
  t.same(failures, ['the session is over'], 'what was answered has not failed as well');
});

t.test('nothing is asked of a service once the session is over, not even what waits for its turn', async (t) => {
  const { pool, ask, asked } = await pooled(t, (_path, socket) => socket.write(OK));
  t.equal(await ask('/one'), 'answered');
  const waiting = ask('/two');
  pool.destroy();
  t.equal(await waiting, 'the session is over');
  t.equal(await ask('/three'), 'the session is over');
  await waitUntil('nothing is left', () => !pool.look());
  t.same(asked, ['/one']);
});

t.test('an answer that has begun takes as long as it takes', async (t) => {
  const { pool, ask, heads, sockets } = await pooled(t, (_path, socket) => socket.write(OK.slice(0, -1)));
  for (const path of ['/first', '/second']) {
    const answer = ask(path);
    await waitUntil('its head is there', () => heads.includes(path));
    wait(pool, 1_000);
    sockets[0]?.write('k');
    t.equal(await answer, 'answered');
  }
  t.equal(sockets.length, 1);
});

t.test('of what was given up nothing is heard, nor is the service asked, as far as it is not yet', async (t) => {
  const { pool, send, ask, asked, failures } = await pooled(t, (path, socket) => path !== '/held' && socket.write(OK));
  const heard: string[] = [];
  const giveUp = (path: string) => send(path, (how) => void heard.push(how)).abort();
  giveUp('/dialled');
  t.equal(await ask('/one'), 'answered');
  giveUp('/chosen');
  const held = send('/held', (how) => void heard.push(how));
  await waitUntil('the service has it', () => asked.includes('/held'));
  held.abort();
  pool.close();
  await waitUntil('nothing is left', () => !pool.look());
  t.same([heard, failures], [[], []]);
  t.same(asked, ['/one', '/held']);
});

t.test('whether a request may still be sent is asked when it is about to be, each time anew', async (t) => {
  let isLive = true;
  const { pool, ask, send, asked, sockets, failures } = await pooled(
    t,
    (path, socket) => path !== '/held' && socket.write(OK),
    { mayStart: (path) => isLive && path !== '/dialled' },
  );
  const heard: string[] = [];
  const over = (how: string) => void heard.push(how);
  send('/dialled', over);
  t.equal(await ask('/one'), 'answered');
  send('/held', over);
  await waitUntil('the service has it', () => asked.includes('/held'));
  isLive = false;
  sockets.at(-1)?.destroy(); // it would be asked again
  send('/late', over);
  await waitUntil('nothing is under way', () => {
    pool.close();
    return !pool.look();
  });
  t.same([asked, heard, failures], [['/one', '/held'], [], []], 'who says no knows why');
});

t.test('to give up what was answered takes the connection from nobody who has it now', async (t) => {
  const { send, ask, asked, sockets } = await pooled(t, (path, socket) => path !== '/held' && socket.write(OK));
  const first = await new Promise<ReturnType<typeof send>>((resolve) => {
    const sent = send('/one', () => resolve(sent));
  });
  const answer = ask('/held');
  await waitUntil('the service has it', () => asked.includes('/held'));
  first.abort();
  sockets[0]?.write(OK);
  t.equal(await answer, 'answered');
  t.equal(sockets.length, 1);
});

t.test('what rests takes room as long as it rests, and a pool that is over is not kept for it', async (t) => {
  const shares = new SeenShares();
  for (const end of ['close', 'destroy'] as const) {
    const { pool, ask, sockets } = await pooled(t, (path, socket) => path !== '/held' && socket.write(OK), { shares });
    t.equal(shares.resting, 0);
    await ask('/one');
    t.equal(shares.resting, 1);
    void ask('/held');
    t.equal(shares.resting, 0, 'it is used again');
    await Promise.all([ask('/two'), ask('/three')]);
    t.equal(shares.resting, 2);
    t.ok(pool.giveWay());
    t.equal(shares.resting, 1, 'one gave way');
    await Promise.race(sockets.slice(1).map(closed));
    t.equal(shares.resting, 1);
    for (const socket of sockets.slice(1)) socket.destroy();
    await waitUntil('its service has closed the other', () => shares.resting === 0);
    t.notOk(pool.giveWay());
    await ask('/four');
    t.equal(shares.givers.size, 1);
    pool[end]();
    t.equal(shares.givers.size, 0, end);
    await waitUntil('what rested is closed', () => shares.resting === 0);
  }
});
