import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { Passage } from '../../src/gate/passage.js';
import { deny } from '../../src/policy/decision.js';
import { Outbox } from '../../src/postgres/outbox.js';
import { postgresProtocol } from '../../src/postgres/protocol.js';
import { analyse, loadParser } from '../../src/postgres/sql/analyse.js';
import { waitUntil } from '../support/wait.js';
import { flush, loggedIn, parse, sync } from '../support/wire.js';
import { facing, honest, READY } from './hostile.js';

await loadParser();

const NO = deny('too_large', 'a rule', 'it is refused');

t.test('a client of short messages waits for the record as well, and goes on with it', async (t) => {
  const { gate, gatewayPort, handle, database, log } = await facing(
    t,
    honest((server) => server.send(READY)),
    10_000,
  );
  await loggedIn(t, gatewayPort, handle);
  const [session] = gate.live.registry.all();
  if (session === undefined) return void t.fail('nobody is in');
  const locker = await database.client();
  await locker.query('begin; lock table daypass.blocks in access exclusive mode');
  const passage = new Passage(session, postgresProtocol, log);
  const parameters = Array.from({ length: 100 }, () => 'x'.repeat(100));
  let [isPaused, sent, frames] = [false, 0, 0];
  const outbox = new Outbox(passage, {
    send: (bytes) => (sent += bytes.length),
    pause: () => (isPaused = true),
    resume: () => (isPaused = false),
  });
  const text = 'select 1';
  const analysis = analyse(text);
  const frame = parse('', text);
  for (; !isPaused && frames < 20_000; frames += 1) {
    passage.propose({ text, analysis, contained: [], via: 'parse', parameters: [], catalog: undefined });
    outbox.hold(frame);
    outbox.hold(sync());
    outbox.release();
  }
  t.ok(frames < 6_000, `${frames} events stand before everybody else's record`);
  await pause(20);
  t.equal(sent, 0, 'none before its record');
  await locker.query('rollback');
  const all = frames * (frame.length + sync().length);
  await waitUntil('all went on', () => sent === all && !isPaused);
  await locker.query('begin; lock table daypass.blocks in access exclusive mode');
  let refused = 0;
  for (; !isPaused && refused < 1_000; refused += 1) {
    passage.propose({ text, analysis, contained: [], via: 'bind', parameters, catalog: undefined }, NO);
    outbox.hold(sync());
    outbox.release();
  }
  t.ok(refused < 200, `${refused} long ones that are refused`);
  await locker.query('rollback');
  await waitUntil('these as well', () => sent === all + refused * sync().length && !isPaused);
  await locker.query('begin; lock table daypass.blocks in access exclusive mode');
  passage.propose({ text, analysis, contained: [], via: 'query', catalog: undefined }, NO);
  let flushes = 0;
  for (; !isPaused && flushes < 10_000; flushes += 1) {
    outbox.hold(flush());
    outbox.release();
  }
  t.ok(flushes < 2_000, `${flushes} that only ask for an answer`);
  await locker.query('rollback');
  await waitUntil('and these', () => !isPaused);
});
