/** Much of everything: rows, COPY both ways, long pipelines, and clients that do not read. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { collect } from '../../support/collect.js';
import { bind, execute, front, int32, parse, query, shapes, sync, type WireClient } from '../../support/wire.js';
import { enter, startTwin, type Twins, twinsOver } from './twins.js';

const MiB = 2 ** 20;
/** What the gateway and this test may hold at any time besides what they began with. Far less than what passes. */
const MOST_HELD = 48 * MiB;

const server = await startTwin(t, 'create table lines (line text)');

/** A gateway in front of the server; nothing is compared here. */
const through = (t: Test) => twinsOver(t, server, server);

/** The raw socket of a client that is in: what comes is counted, not kept. */
async function counting(t: Test, twins: Twins) {
  const { client } = await enter(t, twins.gateway);
  return counter(client);
}

/** Follows the frames of what a server sends without keeping their bodies. */
function counter({ socket }: WireClient) {
  const counted = { bytes: 0, types: new Map<string, number>(), last: '', ready: 0 };
  let head = Buffer.alloc(0);
  let left = 0;
  socket.removeAllListeners('data');
  const follow = (chunk: Buffer) => {
    counted.bytes += chunk.length;
    for (let at = 0; at < chunk.length; ) {
      const skipped = Math.min(left, chunk.length - at);
      left -= skipped;
      at += skipped;
      if (at === chunk.length) return;
      const more = chunk.subarray(at, at + 5 - head.length);
      at += more.length;
      head = Buffer.concat([head, more]);
      if (head.length < 5) return;
      const type = String.fromCharCode(head[0]!);
      counted.types.set(type, (counted.types.get(type) ?? 0) + 1);
      left = head.readInt32BE(1) - 4;
      head = Buffer.alloc(0);
      if (type === 'Z') counted.ready += 1;
    }
  };
  socket.on('data', follow);
  const ready = async (times: number) => {
    while (counted.ready < times) await once(socket, 'data');
  };
  return { socket, counted, ready };
}

/** The most memory in buffers while something is done, beyond what there was before it; garbage is not counted. */
async function peak(work: () => Promise<void>): Promise<number> {
  const before = held();
  let most = 0;
  const look = () => {
    // Only a look that would fail is worth a collection.
    if (held() - before >= MOST_HELD) collect();
    most = Math.max(most, held() - before);
  };
  const timer = setInterval(look, 5);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  look();
  return most;
}

function held(): number {
  return process.memoryUsage().arrayBuffers;
}

async function write(socket: Socket, bytes: Buffer): Promise<void> {
  if (!socket.write(bytes)) await once(socket, 'drain');
}

t.test('rows of 64 MB and a COPY of 200 MB pass to the client; little of them is held', async (t) => {
  const twins = await through(t);
  const { socket, counted, ready } = await counting(t, twins);
  const rows = await peak(async () => {
    socket.write(query(`select repeat('x', ${64 * MiB}) from generate_series(1, 3)`));
    await ready(1);
  });
  t.equal(counted.types.get('D'), 3);
  t.ok(counted.bytes > 3 * 64 * MiB);
  t.ok(rows < MOST_HELD, `${Math.round(rows / MiB)} MiB held at most`);
  const copied = await peak(async () => {
    socket.write(query("copy (select repeat('y', 1000) from generate_series(1, 200000)) to stdout"));
    await ready(2);
  });
  t.equal(counted.types.get('d'), 200_000);
  t.ok(copied < MOST_HELD, `${Math.round(copied / MiB)} MiB held at most`);
});

t.test('a COPY of 200 MB passes to the server, in small messages and in large ones', async (t) => {
  const twins = await through(t);
  const { socket, counted, ready } = await counting(t, twins);
  const line = Buffer.from(`${'z'.repeat(999)}\n`);
  let copies = 0;
  for (const [lines, messages] of [
    [1, 20_000],
    [60, 3_000],
    [20_000, 1],
  ] as const) {
    const message = front('d', ...Array.from({ length: lines }, () => line));
    const held = await peak(async () => {
      socket.write(query('copy lines from stdin where false'));
      while (counted.types.get('G') !== copies + 1) await once(socket, 'data');
      for (let i = 0; i < messages; i += 1) await write(socket, message);
      socket.write(front('c'));
      copies += 1;
      await ready(copies);
    });
    t.notOk(counted.types.get('E'), `${messages} messages of ${lines} KB`);
    t.ok(held < MOST_HELD + message.length, `${Math.round(held / MiB)} MiB held at most`);
  }
});

t.test('a Bind of 60 MB arrives whole', async (t) => {
  const { gateway } = await through(t);
  const { client } = await enter(t, gateway);
  const value = Buffer.alloc(60 * MiB, 0x61);
  const bound = front('B', Buffer.of(0, 0, 0, 0, 0, 1), int32(value.length), value, Buffer.of(0, 0));
  client.send(parse('', 'select length($1::text)'), bound, execute(''), sync());
  const answers = await client.until();
  t.equal(shapes(answers), '1 2 D C:SELECT 1 Z:I');
  t.equal(answers.find(({ type }) => type === 'D')?.body.toString('latin1', 6), String(value.length));
});

t.test(
  'messages longer than are held pass in pieces, and the record has their beginning and their digest',
  async (t) => {
    const twins = await through(t);
    const { socket, counted, ready } = await counting(t, twins);
    const chunk = Buffer.alloc(MiB, 0x78);
    const digests: string[] = [];
    /** A message with `size` MiB of x in its middle. */
    const send = async (type: string, head: Buffer, size: number, tail: Buffer) => {
      const digest = createHash('sha256').update(head);
      await write(socket, Buffer.concat([Buffer.from(type), int32(4 + head.length + size * MiB + tail.length), head]));
      for (let i = 0; i < size; i += 1) {
        digest.update(chunk);
        await write(socket, chunk);
      }
      await write(socket, tail);
      digests.push(digest.update(tail).digest('hex'));
    };
    const held = await peak(async () => {
      await send('Q', Buffer.from('select length('), 17, Buffer.from("'')\0"));
      await ready(1);
      await send('Q', Buffer.from("select length('"), 17, Buffer.from("')\0"));
      await ready(2);
      await send('P', Buffer.from("long\0select length('"), 17, Buffer.from("') + $1::int\0\0\0"));
      await write(socket, Buffer.concat([bind('', 'long', '1'), execute(''), sync()]));
      await ready(3);
      await write(socket, parse('', 'select octet_length($1::bytea)'));
      const parameter = Buffer.concat([Buffer.of(0, 0, 0, 1, 0, 1, 0, 1), int32(257 * MiB)]);
      await send('B', parameter, 257, Buffer.of(0, 0));
      await write(socket, Buffer.concat([execute(''), sync()]));
      await ready(4);
    });
    t.equal(counted.types.get('E'), 1, 'the first of them is wrong SQL');
    t.equal(counted.types.get('D'), 3);
    t.ok(held < MOST_HELD, `${Math.round(held / MiB)} MiB held at most`);
    socket.end(front('X'));
    await once(socket, 'close');
    await twins.parts.stop();
    const events = await twins.parts.events();
    const long = events.filter(({ kind, payload }) => kind === 'action' && payload?.length !== undefined);
    t.same(
      long.map(({ facts, payload }) => [facts.via, payload?.sha256]),
      [
        ['query', digests[0]],
        ['query', digests[1]],
        ['execute', digests[2]],
      ],
    );
    for (const { payload } of long) {
      t.match(payload?.text, /^select length\('?x{8000}/);
      t.equal(Math.floor(Number(payload?.length) / MiB), 17);
    }
    const bound = events.find(({ facts, payload }) => facts.via === 'execute' && /octet/.test(String(payload?.text)));
    t.match(bound?.payload?.parameters, [new RegExp(digests[3] ?? 'none')]);
  },
);

t.test('10,000 statements in one pipeline are answered in order, and each is recorded', async (t) => {
  const { gateway, parts } = await through(t);
  const { client } = await enter(t, gateway);
  const statements = Array.from({ length: 10_000 }, (_, i) => Buffer.concat([bind('', 's', String(i)), execute('')]));
  client.send(parse('s', 'select $1::int'), ...statements, sync());
  const answers = await client.until();
  const values = answers.filter(({ type }) => type === 'D').map(({ body }) => Number(body.toString('latin1', 6)));
  t.equal(values.length, 10_000);
  t.ok(values.every((value, i) => value === i));
  client.socket.end(front('X'));
  await client.closed;
  await parts.stop();
  const events = await parts.events();
  const executed = events.filter(({ facts }) => facts.via === 'execute');
  t.equal(executed.length, 10_000);
  t.ok(executed.every(({ payload }, i) => String(payload?.parameters) === String(i)));
});

t.test('who sends and never reads is read no further, and what the gateway holds stays bounded', async (t) => {
  const twins = await through(t);
  const { client } = await enter(t, twins.gateway);
  client.socket.pause();
  const held = await peak(async () => {
    for (let i = 0; i < 2_000; i += 1)
      client.send(query(`select repeat('x', ${64 * 1024}) from generate_series(1, 100)`));
    await stalled(t, twins);
  });
  t.ok(held < MOST_HELD, `${Math.round(held / MiB)} MiB held at most`);
  const { counted, ready } = counter(client);
  client.socket.resume();
  await ready(5);
  t.ok((counted.types.get('D') ?? 0) >= 500, 'who begins to read gets everything');
});

/** Resolves when the gateway's server waits for somebody to read what it sends. */
async function stalled(t: Test, { gateway }: Twins): Promise<void> {
  const { client } = await enter(t, gateway);
  client.send(
    query(`do $$ begin loop
      perform pg_stat_clear_snapshot();
      exit when exists (select from pg_stat_activity where wait_event = 'ClientWrite');
      perform pg_sleep(0.01);
    end loop; end $$`),
  );
  t.equal(shapes(await client.until()), 'C:DO Z:I', 'the server waits');
}
