import t from 'tap';
import type { Grant } from '../../src/grant/grant.js';
import { policyOf, startGate } from './fixture.js';

const ROLES = { reader: new Set(['read']) };

/** A browser session's word for a grant, as the gate takes it. */
function browser(grant: Grant, holder: string) {
  const proof = { grantId: grant.id, holder, live: true, holds: () => proof.live };
  return proof;
}

const asking = { protocol: 'echo', service: 'echo', client: '127.0.0.1', shared: true };

t.test('each browser has a session of its own beside that of the handle, all bound to one grant', async (t) => {
  const { gate, grants } = await startGate(t, policyOf('echo', ROLES));
  const { grant, handle } = grants.add();
  const [one, two] = [browser(grant, 'one'), browser(grant, 'two')];
  const sessions = new Set<string>();
  for (const credential of [handle, one, two, handle, one, two]) {
    const admitted = await gate.admit({ ...asking, credential });
    if (admitted.ok) sessions.add(admitted.admission.session.id);
    t.equal(gate.admitted('echo', credential, '127.0.0.1')?.session.grant.id, grant.id, 'the next one does not wait');
  }
  t.equal(sessions.size, 3);
  t.same(gate.live.holders().sort(), ['one', 'two']);
  grants.revoke(grant.id);
  gate.live.recheck(grant.id);
  await new Promise((resolve) => setImmediate(resolve));
  t.same(gate.live.registry.all(), [], 'the end of the grant is the end of all of them');
});

t.test('what a browser opened ends with its login, and nothing else does', async (t) => {
  const { gate, grants } = await startGate(t, policyOf('echo', ROLES));
  const { grant, handle } = grants.add();
  const one = browser(grant, 'one');
  for (const credential of [handle, one, browser(grant, 'two')]) await gate.admit({ ...asking, credential });
  const session = gate.admitted('echo', one, '127.0.0.1')?.session;
  gate.live.endHolders(new Set(['one']), 'logged_out');
  t.equal(session?.end?.reason, 'logged_out');
  t.same(gate.live.holders(), ['two']);
  t.ok(gate.admitted('echo', handle, '127.0.0.1'));
  t.equal(gate.admitted('echo', one, '127.0.0.1'), null);
});

t.test('a browser that logs out while it is being let in is not', async (t) => {
  const { gate, grants } = await startGate(t, policyOf('echo', ROLES));
  const { grant } = grants.add();
  const one = browser(grant, 'one');
  grants.during = () => {
    one.live = false;
  };
  const answer = await gate.admit({ ...asking, credential: one });
  t.equal(answer.ok, false);
  t.same(gate.live.registry.all(), []);
});
