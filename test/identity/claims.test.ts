import t from 'tap';
import { readClaims } from '../../src/identity/claims.js';

const SETTINGS = {
  ...{ issuer: 'https://idp.test', clientId: 'daypass', clientSecret: 'a secret', scopes: ['openid'] },
  ...{ subjectClaim: 'email', nameClaim: 'name', groupsClaim: 'groups' },
};

/** The groups of somebody of whom the directory says this. */
const groupsOf = (groups: unknown) => readClaims(SETTINGS.issuer, 'sub', { groups }, SETTINGS).groups;

t.test(
  'groups of the directory are names alone: nothing else, nothing hidden in them, and not without end',
  async (t) => {
    t.same(groupsOf(['leads', 'a b', 'leads']), ['leads', 'a b']);
    t.same(groupsOf('leads'), ['leads']);
    for (const none of [undefined, null, 7, {}, [7, null, ['leads'], { name: 'leads' }]]) t.same(groupsOf(none), []);
    for (const odd of ['', 'leads\n', 'a\0b', 'a\u0085', '\ud800', 'x'.repeat(201)])
      t.same(groupsOf([odd, 'x'.repeat(200)]), ['x'.repeat(200)], JSON.stringify(odd));
    t.equal(groupsOf(Array.from({ length: 1_001 }, (_, at) => `g${at}`)).length, 1_000);
  },
);
