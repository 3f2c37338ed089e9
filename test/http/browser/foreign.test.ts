import t from 'tap';
import type { Header } from '../../../src/http/action.js';
import { foreignRequest, foreignSocket, isNavigation } from '../../../src/http/browser/foreign.js';

const OWN = 'https://web.gw.test';
const origin = (value: string): Header => ['Origin', value];
const site = (value: string): Header => ['Sec-Fetch-Site', value];

t.test('what is said twice is said by nobody, though both say that it is the host’s own', async (t) => {
  t.equal(foreignRequest('POST', [origin(OWN), site('same-origin')], OWN), null);
  t.equal(foreignSocket([origin(OWN), site('same-origin')], OWN), null);
  for (const twice of [
    [origin(OWN), origin(OWN)],
    [origin(OWN), site('same-origin'), site('same-origin')],
    [origin(OWN), origin('https://evil.test'), site('same-origin')],
  ]) {
    t.not(foreignRequest('POST', twice, OWN), null, `${twice}`);
    t.not(foreignSocket(twice, OWN), null, `${twice}`);
  }
  for (const sites of [
    ['same-origin', 'cross-site'],
    ['none', 'none'],
  ])
    t.not(foreignRequest('GET', sites.map(site), OWN), null, `${sites}`);
  const accept: Header = ['Accept', 'text/html'];
  t.ok(isNavigation('GET', [accept]));
  t.notOk(isNavigation('GET', [accept, accept]));
});
