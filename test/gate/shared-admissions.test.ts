import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import { formatHandle, mintSecret } from '../../src/grant/handle.js';
import { policyOf, startGate, TestClock } from './fixture.js';

/** Five minutes (DESIGN.md, Session), milliseconds. */
const IDLE = 300_000;
const asking = { protocol: 'echo', service: 'echo', client: '127.0.0.1', shared: true };

async function startShared(t: Test) {
  const clock = new TestClock();
  const { gate, grants } = await startGate(t, policyOf('echo', { reader: new Set(['read']) }), { clock });
  const { grant, handle } = grants.add({ expiresAt: clock.wall() + 3_600_000 }, clock.wall());
  const admit = async () => {
    const answer = await gate.admit({ ...asking, credential: handle });
    if (!answer.ok) throw new Error(answer.decision.message);
    return answer.admission;
  };
  const pass = (ms: number) => {
    clock.pass(ms);
    gate.live.tick();
  };
  return { gate, grants, grant, handle, admit, pass };
}

function connection() {
  const nothing = () => {};
  return {
    client: new PassThrough(),
    severUpstream: nothing,
    farewell: nothing,
    warn: nothing,
    policyChanged: nothing,
  };
}

t.test(
  'a shared session ends when nothing was under way for five minutes, and the next request opens another',
  async (t) => {
    const { gate, handle, admit, pass } = await startShared(t);
    const { session } = await admit();
    pass(0);
    pass(IDLE - 1);
    t.equal(gate.admitted('echo', handle, '127.0.0.1')?.session, session);
    pass(1);
    t.equal(session.end?.reason, 'idle');
    t.equal(gate.admitted('echo', handle, '127.0.0.1'), null);
    t.not((await admit()).session, session);
  },
);

t.test('what is under way keeps it, and the time begins again behind it', async (t) => {
  const { admit, pass } = await startShared(t);
  const { session } = await admit();
  pass(0);
  const detach = session.attach(connection());
  pass(IDLE);
  pass(IDLE);
  t.equal(session.end, null);
  detach();
  pass(0);
  pass(IDLE - 1);
  t.equal(session.end, null);
  pass(1);
  t.equal(session.end?.reason, 'idle');
});

t.test(
  'who asks while a handle is being let in shares the answer; another secret of the same grant does not',
  async (t) => {
    const { gate, grants, grant, handle } = await startShared(t);
    let checks = 0;
    grants.during = () => {
      checks += 1;
    };
    const wrong = formatHandle({ id: grant.id, secret: mintSecret() });
    const ask = (credential: string) => gate.admit({ ...asking, credential });
    const [one, two, other] = await Promise.all([ask(handle), ask(handle), ask(wrong)]);
    t.ok(one.ok && two.ok && one.admission === two.admission);
    t.equal(other.ok, false);
    t.equal(checks, 2);
  },
);
