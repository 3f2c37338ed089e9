import { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { systemClock } from '../../src/clock.js';
import { openDatabase } from '../../src/recording/database.js';
import { verifyAll } from '../../src/recording/verify-database.js';
import type { Session } from '../../src/session/session.js';
import { policyOf, startGate } from '../gate/fixture.js';

/** The issue's own number; the sockets are stubs, everything else is real. Real sockets, fewer: test/system/load. */
const GRANTS = 10_000;
/** THREATS.md, "Promises": at the most 250 ms late; the checker's limit for a byte is 1 s. */
const LATEST = 250;

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

t.test(`${GRANTS} grants that end in the same second: each in time, told, and in the record`, async (t) => {
  const { gate, grants, recorder, database } = await startGate(t, policyOf('echo', { reader: {} }), {
    clock: systemClock,
  });
  const memory = () => Math.round(process.memoryUsage().rss / 2 ** 20);
  const before = memory();
  const due = Date.now() + 12_000;
  const held: { readonly stub: Stub; readonly session: Session; severed: boolean; readonly due: number }[] = [];
  for (let n = 0; n < GRANTS; n += 1) {
    const expiresAt = due + Math.floor((n * 1_000) / GRANTS);
    const { handle } = grants.add({ expiresAt });
    const answer = await gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'stub' });
    if (!answer.ok) throw new Error(answer.decision.message);
    const { session } = answer.admission;
    const one = { stub: new Stub(), session, severed: false, due: expiresAt };
    session.attach({
      client: one.stub,
      severUpstream: () => {
        one.severed = true;
      },
      farewell: ({ message }) => void one.stub.write(message),
      warn: () => {},
      policyChanged: () => {},
    });
    held.push(one);
    if (n % 250 === 249) await pause(0); // the recorder takes its turns
  }
  t.ok(Date.now() < due - 500, `all were open ${due - Date.now()} ms before the first end`);
  const full = memory();
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
    `late: median ${late[GRANTS / 2]}, p99 ${late[(GRANTS * 99) / 100]}, most ${late.at(-1)} ms (promised: ${LATEST})`,
  );

  t.ok(await recorder.drain(30_000), 'all of it is recorded');
  const [counts] = await database.query(
    `select count(*)::int as ended, coalesce(sum(bytes_after_due), 0)::int as after from daypass.sessions where end_reason = 'expired'`,
  );
  t.same(counts, { ended: GRANTS, after: 0 });
  const pool = openDatabase(database.url);
  t.teardown(() => pool.end());
  const verified = await verifyAll(pool);
  t.match(
    { ...verified, findings: [...verified.findings] },
    { sessions: GRANTS, findings: [], open: 0 },
    'every chain verifies',
  );
  held.length = 0;
  grants.held.clear();
  const kept = memory();
  t.comment(`memory ${before} -> ${full} -> ${kept} MiB`);
  t.equal(gate.deadlines.size, 0, 'no deadline is left');
});
