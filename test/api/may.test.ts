import type { FastifyContextConfig } from 'fastify';
import t from 'tap';
import { newApp } from '../../src/api/app.js';
import { guard } from '../../src/api/guard.js';
import { dependsOn, may, ROUTE_NAMES, type RouteName } from '../../src/api/may.js';
import type { RefusedActs } from '../../src/audit/refusals.js';
import { type Actor, operatorNamed } from '../../src/identity/actor.js';

/** Every kind of actor there is, towards a request about a grant of alice, sponsored by dana, at a service of `leads`. */
const ABOUT = { principal: 'alice', sponsor: 'dana', owners: ['group:leads'] };
const ACTORS: Readonly<Record<string, Actor>> = {
  socket: operatorNamed('alice'), // who took the name of the holder is not the holder
  stranger: person('bob'),
  holder: person('alice'),
  sponsor: person('dana'),
  owner: person('lee', ['leads']),
  'owner of another service': person('lou', ['others']),
  'by a name like the group': person('group:leads', ['group:leads', 'lead', 'Leads', '']),
  reviewer: person('rita', ['security'], 'reviewer'),
  operator: person('olga', ['platform'], 'operator'),
};

function person(subject: string, groups: readonly string[] = [], ...duties: ('operator' | 'reviewer')[]): Actor {
  return { subject, via: 'token', groups, duties: new Set(duties) };
}

const PEOPLE = Object.keys(ACTORS).filter((kind) => kind !== 'socket');
const ALL = Object.keys(ACTORS);
const READERS = ['socket', 'owner', 'reviewer', 'operator'];
const DUTIES = ['socket', 'reviewer', 'operator'];
const ENDERS = ['socket', 'owner', 'operator'];

/** Who may, by route: written out once more, so that a change of the table is a change here too. */
const EXPECTED: Readonly<Record<RouteName, readonly string[]>> = {
  'me.show': PEOPLE,
  'services.list': ALL,
  'tunnels.open': PEOPLE,
  'requests.create': PEOPLE,
  'requests.list': ALL,
  'requests.show': ALL,
  'requests.withdraw': PEOPLE,
  'requests.approve': ['owner'],
  'requests.refuse': ['owner'],
  'requests.activate': PEOPLE,
  'requests.renew': PEOPLE,
  'requests.return': PEOPLE,
  'requests.revoke': ENDERS,
  'requests.review': ['owner'],
  'revocations.create': ENDERS,
  'ndas.register': ENDERS,
  'ndas.list': ALL,
  'ndas.end': ['socket', 'operator'],
  'grants.list': ALL,
  'grants.show': [...READERS, 'holder'],
  'grants.issue': ['socket', 'operator'],
  'grants.renew': ['socket', 'operator'],
  'grants.revoke': ['socket', 'operator'],
  'sessions.list': READERS,
  'sessions.show': READERS,
  'sessions.events': READERS,
  'sessions.replay': READERS,
  'sessions.search': READERS,
  'sessions.watch': READERS,
  'sessions.export': READERS,
  'sessions.end': READERS,
  'recordings.verify': DUTIES,
  'policies.replay': READERS,
  'notices.list': ['socket', 'operator'],
  'notices.test': ['socket', 'operator'],
  'notices.retry': ['socket', 'operator'],
  'people.list': ALL,
  'people.show': ALL,
  'people.invite': ALL,
  'people.extend': ALL,
  'people.close': ALL,
  'people.reassign': ['socket', 'operator'],
  'people.groups': ['socket', 'operator'],
  'offboardings.create': ['socket', 'operator'],
  'closeouts.make': ALL,
  'reports.repeated': ALL,
  'reviews.list': READERS,
  'reviews.answer': ['owner'],
  'alerts.list': DUTIES,
  'alerts.acknowledge': DUTIES,
  'audit.list': DUTIES,
  'audit.head': DUTIES,
  'audit.verify': DUTIES,
  'audit.export': DUTIES,
};

t.test('every route is for those whom the table names, and for nobody else', async (t) => {
  t.same([...ROUTE_NAMES].sort(), Object.keys(EXPECTED).sort());
  for (const name of ROUTE_NAMES) {
    const allowed = ALL.filter((kind) => may(ACTORS[kind] ?? person(''), name, ABOUT));
    t.same(allowed.sort(), [...EXPECTED[name]].sort(), name);
  }
});

t.test('where nothing is said of what a request is about, nobody owns or holds it', async (t) => {
  for (const name of ROUTE_NAMES.filter(dependsOn)) {
    for (const kind of ['owner', 'holder', 'sponsor'])
      t.notOk(may(ACTORS[kind] ?? person(''), name), `${name} ${kind}`);
  }
});

t.test('a route that does not stand in the table is asked by nobody', async (t) => {
  for (const name of [undefined, '', 'me', 'constructor', '__proto__', 'toString', 'hasOwnProperty'])
    for (const kind of ALL) t.notOk(may(ACTORS[kind] ?? person(''), name, ABOUT), `${name} ${kind}`);
  t.throws(() => dependsOn(undefined), TypeError);
});

t.test('a route is not added that has no name, or does not say what it is about where that matters', async (t) => {
  const app = newApp();
  t.teardown(() => app.close());
  guard(app, {} as RefusedActs); // nobody asks
  const add = (url: string, config: FastifyContextConfig) => () => app.get(url, { config }, async () => 'it');
  t.throws(add('/a', {}), TypeError);
  t.throws(add('/b', { name: 'grants.show' }), /does not say what it is about/);
  t.doesNotThrow(add('/c', { name: 'grants.show', about: () => ({}) }));
  t.doesNotThrow(add('/d', { name: 'services.list' }));
});
