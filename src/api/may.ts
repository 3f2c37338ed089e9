import { DaypassError } from '../errors.js';
import { type Actor, owns } from '../identity/actor.js';

/*
 * Who may ask what. A route that does not stand here is asked by nobody. Where a request stands in the middle of its life,
 * `access/` judges further, under the lock of its row: who may decide, whose it is, what has changed since.
 */

/**
 * What somebody is to a request. `person`: has an account, whatever it is; `anyone`: that, or the operator of this machine;
 * `holder`, `sponsor`: it is about a grant or a person of theirs; `owner`: of the service it is about.
 */
export type Relation = 'anyone' | 'person' | 'holder' | 'sponsor' | 'owner' | 'reviewer' | 'operator';

/** Whom and what a request is about. */
export interface About {
  readonly principal?: string | undefined;
  readonly sponsor?: string | null | undefined;
  /** The owners of the services it is about, `group:<name>`: being one of them is enough. */
  readonly owners?: readonly string[];
}

const MAY = {
  'me.show': ['person'],
  'services.list': ['anyone'],
  'tunnels.open': ['person'],

  'requests.create': ['person'],
  'requests.list': ['anyone'],
  'requests.show': ['anyone'],
  'requests.withdraw': ['person'],
  'requests.approve': ['owner'],
  'requests.refuse': ['owner'],
  'requests.activate': ['person'],
  'requests.renew': ['person'],
  'requests.return': ['person'],
  'requests.revoke': ['owner', 'operator'],
  'requests.review': ['owner'],

  // Of a person's every grant: no service is named, so nobody owns it, and operators are left.
  'revocations.create': ['owner', 'operator'],

  'ndas.register': ['owner', 'operator'],
  'ndas.list': ['anyone'],
  // Access to services of others may stand on it.
  'ndas.end': ['operator'],

  'grants.list': ['anyone'],
  'grants.show': ['holder', 'owner', 'reviewer', 'operator'],
  // Past all requests.
  'grants.issue': ['operator'],
  'grants.renew': ['operator'],
  'grants.revoke': ['operator'],

  'sessions.list': ['owner', 'reviewer', 'operator'],
  'sessions.show': ['owner', 'reviewer', 'operator'],
  'sessions.events': ['owner', 'reviewer', 'operator'],
  'sessions.replay': ['owner', 'reviewer', 'operator'],
  'sessions.search': ['owner', 'reviewer', 'operator'],
  'sessions.watch': ['owner', 'reviewer', 'operator'],
  'sessions.export': ['owner', 'reviewer', 'operator'],
  'sessions.end': ['owner', 'reviewer', 'operator'],
  'recordings.verify': ['reviewer', 'operator'],
  'policies.replay': ['owner', 'reviewer', 'operator'],

  // What of people and endings is whose, `identity/` and `access/` judge, each with its row locked.
  'people.list': ['anyone'],
  'people.show': ['anyone'],
  'people.invite': ['anyone'],
  'people.extend': ['anyone'],
  'people.close': ['anyone'],
  'people.reassign': ['operator'],
  'people.groups': ['operator'],
  'offboardings.create': ['operator'],
  'closeouts.make': ['anyone'],
  'reports.repeated': ['anyone'],

  'notices.list': ['operator'],
  'notices.test': ['operator'],
  'notices.retry': ['operator'],
  'reviews.list': ['owner', 'reviewer', 'operator'],
  'reviews.answer': ['owner'],

  'alerts.list': ['reviewer', 'operator'],
  'alerts.acknowledge': ['reviewer', 'operator'],

  'audit.list': ['reviewer', 'operator'],
  'audit.head': ['reviewer', 'operator'],
  'audit.verify': ['reviewer', 'operator'],
  'audit.export': ['reviewer', 'operator'],
} as const satisfies Readonly<Record<string, readonly Relation[]>>;

/** The name of a route. */
export type RouteName = keyof typeof MAY;

// Of an object that is written out here the keys are these; `Object.keys` is typed for any.
export const ROUTE_NAMES = Object.freeze(Object.keys(MAY)) as readonly RouteName[];

/** Whether it matters for a route whom and what a request is about. @throws TypeError for a route nobody may ask */
export function dependsOn(name: RouteName | undefined): boolean {
  const rule = ruleOf(name);
  if (rule === null) throw new TypeError(`the route ${name} stands in no table`);
  return rule.some((one) => one === 'holder' || one === 'sponsor' || one === 'owner');
}

/** Whether somebody may ask this. What is not known is refused. */
export function may(actor: Actor, name: string | undefined, about: About = {}): boolean {
  return (ruleOf(name) ?? []).some((relation) => IS[relation](actor, about));
}

/** @throws DaypassError `not_allowed` */
export function check(actor: Actor, name: string | undefined, about: About = {}): void {
  if (may(actor, name, about)) return;
  const rule = ruleOf(name) ?? [];
  throw new DaypassError('not_allowed', `This is not yours to ask: it is for ${wordsOf(rule)}.`, {
    hint:
      actor.via === 'socket'
        ? 'On the socket nobody has an account: log in at the gateway to act as yourself.'
        : 'Ask one of them.',
  });
}

const IS: Readonly<Record<Relation, (actor: Actor, about: About) => boolean>> = {
  anyone: () => true,
  person: ({ via }) => via !== 'socket',
  holder: ({ via, subject }, { principal }) => via !== 'socket' && subject === principal,
  sponsor: ({ via, subject }, { sponsor }) => via !== 'socket' && subject === sponsor,
  owner: (actor, { owners = [] }) => owners.some((owner) => owns(actor, owner)),
  reviewer: ({ duties }) => duties.has('reviewer'),
  operator: ({ duties }) => duties.has('operator'),
};

const WORDS: Readonly<Record<Relation, string>> = {
  anyone: 'everyone',
  person: 'people with an account',
  holder: 'whose grant it is',
  sponsor: 'their sponsor',
  owner: "the service's owners",
  reviewer: 'reviewers',
  operator: 'operators',
};

function wordsOf(rule: readonly Relation[]): string {
  return rule.map((relation) => WORDS[relation]).join(', ') || 'nobody';
}

function ruleOf(name: string | undefined): readonly Relation[] | null {
  return name !== undefined && Object.hasOwn(MAY, name) ? MAY[name as RouteName] : null; // `hasOwn` narrows no type
}
