import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { createLog } from '../../src/log.js';
import { policyOf, startGate } from '../gate/fixture.js';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { type Checked, held, type Scene } from './checked.js';
import { Checker } from './checker.js';
import { heldBytes } from './heap.js';
import { ROW, type Stubbed, stubbed } from './stub.js';

/** The issue's own number; the sockets are stubs, everything else is real. Real sockets, fewer: test/system/load. */
const GRANTS = 10_000;
/** THREATS.md, "Promises": at the most 250 ms late; the checker's limit for a byte is 1 s. */
const LATEST = 250;
/** From when all are open until the first one ends, milliseconds. */
const NOTICE = 3_000;
/** What a grant that is over may leave behind, bytes: a tenth of what its session is, and more than the heap changes by itself. */
const SPARE = 256;

type World = Awaited<ReturnType<typeof startGate>>;

t.test(`${GRANTS} grants that end in the same second, twice: in time, told, recorded, and let go`, async (t) => {
  const lines: Record<string, unknown>[] = [];
  // Errors alone: lines for each session would be held here.
  const log = createLog('error', (line) => lines.push(JSON.parse(line)));
  const world = await startGate(t, policyOf('echo', { reader: new Set(['say']) }), { clock: systemClock, log });
  const saw: string[] = [];
  const scene = { gateways: [inThisProcess(world, lines)], ledger: world.database, seen: () => saw.join('\n') };
  const { checker, before } = await afterOneRound(t, world, scene, saw);
  await t.test('and once more', (t) => allEnd(t, world, checker, saw));
  const after = { bytes: await settledBytes(), ...held(process) };
  t.comment(
    `held after each round: ${[before, after].map(({ bytes }) => (bytes / 2 ** 20).toFixed(1)).join(', ')} MiB`,
  );
  t.ok(after.bytes - before.bytes <= SPARE * GRANTS, 'the second round leaves no more memory held');
  t.ok(after.descriptors <= before.descriptors + 4, 'nor descriptors');
  const [counts] = await world.database.query(
    `select count(*)::int as ended, max(bytes_after_due)::int as after from daypass.sessions where end_reason = 'expired'`,
  );
  t.equal(counts?.ended, 2 * GRANTS);
  // The end of one of so many comes within a write now and then, whose bytes its receipt then counts as given after it.
  t.ok(counts?.after <= ROW.length, 'no receipt tells of more after the end than the row that was being given then');
  await checker.conclude();
});

/**
 * The first round is for warmth. What is held before the second is measured while this test still holds its clients of the first,
 * as it will hold those of the second at the end.
 */
async function afterOneRound(t: Test, world: World, scene: Scene, saw: string[]) {
  let first: Checker | null = null;
  await t.test('once', async (t) => {
    first = new Checker(t, scene);
    await allEnd(t, world, first, saw);
  });
  const checker = new Checker(t, scene);
  const before = { bytes: await settledBytes(), ...held(process) };
  await checker.measured();
  (first as Checker | null)?.forget();
  return { checker, before };
}

/** What was done last may be held for a moment more: the least of some looks. */
async function settledBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 5; look += 1) {
    await pause(200);
    least = Math.min(least, heldBytes());
  }
  return least;
}

/** The gate and its recorder, as a checker looks at a gateway. */
function inThisProcess({ gate, grants, recorder }: World, lines: readonly Record<string, unknown>[]): Checked {
  return {
    lines,
    descriptors: () => held(process).descriptors,
    memory: async () => (await settledBytes()) / 2 ** 20,
    liveSessions: async () => gate.live.registry.all().length,
    revoke: async (id) => {
      grants.revoke(id);
      return { status: 200 };
    },
    stop: async () => {
      gate.live.cutAll('shutdown');
      return { code: (await recorder.drain(30_000)) ? 0 : 1, signal: null };
    },
  };
}

async function allEnd(t: Test, world: World, checker: Checker, saw: string[]): Promise<void> {
  const { gate, grants, recorder } = world;
  const all: Stubbed[] = [];
  for (let n = 0; n < GRANTS; n += 1) {
    all.push(await stubbed(world, saw));
    // Whoever waits for its record longer than the recorder may take is cut: not all of them at once, on a busy machine.
    if (n % 250 === 249) await answered(all.slice(-250));
  }
  for (const { client } of all) checker.follow(client);
  t.equal(gate.live.registry.all().length, GRANTS, 'all are open, and were answered once');
  const due = Date.now() + NOTICE;
  for (const [n, one] of all.entries()) one.endAt(due + Math.floor((n * 1_000) / GRANTS));
  const starved = starvation();
  // A service that goes on answering each of them.
  const feed = setInterval(() => {
    for (const { give } of all) give();
  }, 250);
  while (gate.live.registry.all().length > 0) await pause(20);
  clearInterval(feed);

  t.ok(
    all.every(({ session, severed }) => session.end?.reason === 'expired' && severed()),
    'all ended, none upstream is left',
  );
  t.ok(
    all.every(({ said }) => /expired/.test(said())),
    'each was told why',
  );
  const late = all
    .map(({ session }) => (session.end?.cutAt ?? Number.NaN) - (session.end?.dueAt ?? 0))
    .sort((a, b) => a - b);
  const starvedFor = starved();
  t.ok(
    late.every((ms) => ms >= 0 && ms <= 1_000 + starvedFor),
    'none early, none later than the checker allows',
  );
  t.comment(
    `late: least ${late[0]}, median ${late[GRANTS / 2]}, p99 ${late[(GRANTS * 99) / 100]}, most ${late.at(-1)} ms (promised: ${LATEST}), kept from running for ${Math.round(starvedFor)} ms`,
  );
  t.ok(await recorder.drain(30_000), 'all of it is recorded');
  const after = all.filter(({ client, due }) => client.lastByte > due).map(({ session }) => session.id);
  const told = await world.database.query<{ id: string }>(
    'select id from daypass.sessions where id = any($1) and bytes_after_due > 0',
    [after],
  );
  // The end may come within a write, which is not taken back then.
  t.equal(told.length, after.length, 'none was given a byte after its end that its receipt does not tell of');
  t.equal(gate.live.deadlines.size, 0, 'no deadline is left');
  grants.held.clear();
}

function answered(some: readonly Stubbed[]): Promise<void> {
  return waitUntil('each is answered', () => some.every(({ client }) => client.answered.size > 0), { every: 2 });
}
