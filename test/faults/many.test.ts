import { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/recording/database.js';
import { verifyAll } from '../../src/recording/verify-database.js';
import type { Session } from '../../src/session/session.js';
import { policyOf, startGate } from '../gate/fixture.js';
import { held } from './checker.js';
import { heldBytes } from './heap.js';

/** The issue's own number; the sockets are stubs, everything else is real. Real sockets, fewer: test/system/load. */
const GRANTS = 10_000;
/** THREATS.md, "Promises": at the most 250 ms late; the checker's limit for a byte is 1 s. */
const LATEST = 250;
/** How long all of them may take to be let in, milliseconds: some three seconds, and more on a busy machine. */
const OPENING = 20_000;
/** What a grant that is over may leave behind, bytes: a tenth of what its session is, and more than the heap changes by itself. */
const SPARE = 256;

/** A client that takes what it is given and remembers when. */
class Stub extends Duplex {
  lastByte = 0;
  said = '';

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: () => void): void {
    if (chunk.includes('ended')) this.said = chunk.toString();
    else this.lastByte = Date.now();
    done();
  }
}

type World = Awaited<ReturnType<typeof startGate>>;

interface Held {
  readonly stub: Stub;
  readonly session: Session;
  readonly due: number;
  severed: boolean;
}

t.test(`${GRANTS} grants that end in the same second, twice: in time, told, recorded, and let go`, async (t) => {
  const world = await startGate(t, policyOf('echo', { reader: {} }), {
    clock: systemClock,
    log: createLog('silent'), // its lines would be held by the fixture
  });
  await t.test('once', (t) => allEnd(t, world));
  await everyChainVerifies(t, world.database.url);
  const before = { bytes: await settledBytes(), ...held(process) };
  await t.test('and once more', (t) => allEnd(t, world));
  const after = { bytes: await settledBytes(), ...held(process) };
  t.comment(
    `held after each round: ${[before, after].map(({ bytes }) => (bytes / 2 ** 20).toFixed(1)).join(', ')} MiB`,
  );
  t.ok(after.bytes - before.bytes <= SPARE * GRANTS, 'the second round leaves no more memory held');
  t.ok(after.descriptors <= before.descriptors + 4, 'nor descriptors');
  const [counts] = await world.database.query(
    `select count(*)::int as ended, coalesce(sum(bytes_after_due), 0)::int as after from daypass.sessions where end_reason = 'expired'`,
  );
  t.same(counts, { ended: 2 * GRANTS, after: 0 });
});

/** What was done last may be held for a moment more: the least of some looks. */
async function settledBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 10; look += 1) {
    await pause(200);
    least = Math.min(least, heldBytes());
  }
  return least;
}

/** After the first round: that is what takes long. */
async function everyChainVerifies(t: Test, url: string): Promise<void> {
  const pool = openDatabase(url);
  try {
    const { findings, ...verified } = await verifyAll(pool);
    t.match(
      { ...verified, findings: [...findings] },
      { sessions: GRANTS, findings: [], open: 0 },
      'every chain verifies',
    );
  } finally {
    await pool.end();
  }
}

async function allEnd(t: Test, { gate, grants, recorder }: World): Promise<void> {
  const due = Date.now() + OPENING;
  const held: Held[] = [];
  for (let n = 0; n < GRANTS; n += 1) {
    held.push(await hold(gate, grants, due + Math.floor((n * 1_000) / GRANTS)));
    if (n % 250 === 249) await pause(0); // the recorder takes its turns
  }
  t.ok(Date.now() < due - 500, `all were open ${due - Date.now()} ms before the first end`);
  // A service that goes on answering each of them.
  const feed = setInterval(() => {
    for (const { session, stub } of held) if (session.end === null) session.deliver(stub, Buffer.from('row'));
  }, 250);
  while (gate.registry.all().length > 0) await pause(20);
  clearInterval(feed);

  t.ok(
    held.every(({ session, severed }) => session.end?.reason === 'expired' && severed),
    'all ended, none upstream is left',
  );
  t.ok(
    held.every(({ stub }) => /expired/.test(stub.said)),
    'each was told why',
  );
  t.ok(
    held.every(({ stub, due }) => stub.lastByte <= due),
    'none was given a byte after its end',
  );
  const late = held
    .map(({ session }) => (session.end?.cutAt ?? Number.NaN) - (session.end?.dueAt ?? 0))
    .sort((a, b) => a - b);
  t.ok(
    late.every((ms) => ms >= 0 && ms <= 1_000),
    'none early, none later than the checker allows',
  );
  t.comment(
    `late: least ${late[0]}, median ${late[GRANTS / 2]}, p99 ${late[(GRANTS * 99) / 100]}, most ${late.at(-1)} ms (promised: ${LATEST})`,
  );
  t.ok(await recorder.drain(30_000), 'all of it is recorded');
  t.equal(gate.deadlines.size, 0, 'no deadline is left');
  grants.held.clear();
}

async function hold(gate: World['gate'], grants: World['grants'], due: number): Promise<Held> {
  const { handle } = grants.add({ expiresAt: due });
  const answer = await gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'stub' });
  if (!answer.ok) throw new Error(answer.decision.message);
  const { session } = answer.admission;
  const one: Held = { stub: new Stub(), session, severed: false, due };
  session.attach({
    client: one.stub,
    severUpstream: () => {
      one.severed = true;
    },
    farewell: ({ message }) => void one.stub.write(message),
    warn: () => {},
    policyChanged: () => {},
  });
  return one;
}
