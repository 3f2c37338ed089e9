import t from 'tap';
import { Policies } from '../../src/gate/policies.js';
import { policyOf } from './fixture.js';

t.test('a policy that was read again is another one only where its text or one of its secrets is', async (t) => {
  const read = (token: string, password: string, version = 'v1') =>
    policyOf('echo', { reader: { upstream: { password } } }, { upstream: { token }, version });
  const policies = new Policies(new Map([['echo', read('one', 'two')]]));
  const first = policies.get('echo');
  policies.replace(new Map([['echo', read('one', 'two')]]));
  t.equal(policies.get('echo'), first, 'so that no session has to look');
  for (const other of [read('three', 'two'), read('three', 'four'), read('three', 'four', 'v2')]) {
    policies.replace(new Map([['echo', other]]));
    t.equal(policies.get('echo'), other);
  }
  policies.replace(new Map());
  t.equal(policies.get('echo'), undefined);
});
