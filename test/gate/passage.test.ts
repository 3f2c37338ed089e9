import t, { type Test } from 'tap';
import { SoughtSecret } from '../../src/config/secret.js';
import { Passage } from '../../src/gate/passage.js';
import { readEvents } from '../support/gateway.js';
import { echoProtocol } from './echo-protocol.js';
import { policyOf, startGate } from './fixture.js';

/** Every action of it has the same facts, which are the same object. */
const FACTS = { verb: 'read', on: ['hunter2-hunter3'] };
const repeating = { ...echoProtocol, describe: () => ({ facts: FACTS }) };

const POLICY = policyOf('echo', { reader: new Set(['read']) });

async function startPassage(t: Test) {
  const parts = await startGate(t, POLICY);
  const { handle } = parts.grants.add();
  const answer = await parts.gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'here' });
  if (!answer.ok) throw new Error(answer.decision.message);
  const { session } = answer.admission;
  const recorded = async () => {
    await parts.recorder.drain(2_000);
    return readEvents(parts.database);
  };
  return { ...parts, session, recorded, passage: new Passage(session, repeating, parts.log) };
}

t.test('facts that come again are recorded with the decision of this time', async (t) => {
  const { session, passage, recorded } = await startPassage(t);
  passage.propose('read');
  passage.propose('read');
  session.repolicy(policyOf('echo', { reader: new Set(['read', 'more']) }, { version: 'v2' }));
  passage.propose('write');
  passage.propose('read');
  const actions = (await recorded()).filter(({ kind }) => kind === 'action');
  t.same(
    actions.map(({ facts }) => facts.outcome),
    ['allow', 'allow', 'deny', 'allow'],
  );
});

t.test('D27: facts that come again are looked through anew once the secrets are others', async (t) => {
  const { session, passage, recorded } = await startPassage(t);
  const judged = passage.judge('read');
  const { seq } = passage.propose('read', judged);
  const came = { ...FACTS, of: seq };
  passage.result(seq, came);
  session.repolicy({ ...POLICY, secrets: [new SoughtSecret('env PASSWORD', ['hunter2-hunter3'])] });
  passage.propose('read', judged);
  passage.result(seq, came);
  const said = (await recorded()).filter(({ kind }) => kind === 'action' || kind === 'result');
  t.same(
    said.map(({ kind, facts }) => `${kind} ${facts.on}`),
    ['action hunter2-hunter3', 'result hunter2-hunter3', 'action [redacted]', 'result [redacted]'],
  );
});

t.test('behind the end nothing goes on that waited for its record, and nothing is recorded', async (t) => {
  const { session, passage, database, recorded } = await startPassage(t);
  const blocker = await database.client();
  await blocker.query('begin; lock table daypass.blocks in access exclusive mode');
  const { seq } = passage.propose('read');
  let went = false;
  passage.release(() => {
    went = true;
  });
  session.cut('revoked');
  passage.result(seq, { status: 'too late' });
  await blocker.query('rollback');
  const events = await recorded();
  t.equal(events.at(-1)?.kind, 'close');
  t.notOk(went, 'it would have been forwarded');
});
