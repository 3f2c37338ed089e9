import type { Test } from 'tap';
import { emergencies } from '../../src/access/emergency.js';
import { openAccessRequests } from '../../src/access/engagements.js';
import type { Grants } from '../../src/access/grants.js';
import type { AccessEvent } from '../../src/access/parts.js';
import type { RequestAsked } from '../../src/access/request.js';
import type { Audit } from '../../src/access/transact.js';
import type { Notices } from '../../src/alerts/notice.js';
import type { Notice } from '../../src/alerts/outbox.js';
import { appendAudit } from '../../src/audit/append.js';
import { loadConfig } from '../../src/config/load.js';
import type { ServicePolicy } from '../../src/config/protocol.js';
import { GrantAuthority } from '../../src/grant/authority.js';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { type Actor, actorOf, type Duties, operatorNamed } from '../../src/identity/actor.js';
import { People } from '../../src/identity/people.js';
import { Metrics } from '../../src/metrics.js';
import { loadProtocols } from '../../src/protocols.js';
import { openDatabase } from '../../src/recording/database.js';
import { writeConfig } from '../config/fixture.js';
import { HandClock, signingKey, silent, startLedger } from '../grant/fixture.js';
import type { Database } from '../support/postgres.js';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
/** A Monday, 09:00 UTC. */
export const MONDAY = Date.UTC(2026, 10, 30, 9);

const DUTIES: Duties = { operator: ['platform'], reviewer: ['security'] };
export const root = operatorNamed('root');

/** A service file; what is given replaces a part of it. */
export function serviceText({
  name = 'orders-web',
  lane = 'production',
  owner = 'group:leads',
  roles = '  viewer:\n    allow: [GET /, GET /orders]\n  retrier:\n    extends: viewer\n    allow: [POST /orders/:id/retry]',
  grants = 'max_duration: 4h, max_renewals: 2, max_total: 6h',
  access = 'approvals: 1',
}: {
  name?: string;
  lane?: string;
  owner?: string;
  roles?: string;
  grants?: string;
  access?: string | null;
} = {}): string {
  return `service: ${name}
protocol: http
lane: ${lane}
owner: ${owner}
upstream: { url: "http://127.0.0.1:9" }
roles:
${roles}
grants: { ${grants} }
${access === null ? '' : `access: { ${access} }`}
`;
}

/** The policies in force, replaced as a reload would. */
class Shelf {
  #services: ReadonlyMap<string, ServicePolicy> = new Map();
  readonly #load: (texts: readonly string[]) => ReadonlyMap<string, ServicePolicy>;

  constructor(load: (texts: readonly string[]) => ReadonlyMap<string, ServicePolicy>) {
    this.#load = load;
  }

  reload(...texts: readonly string[]): void {
    this.#services = this.#load(texts);
  }

  get(name: string): ServicePolicy | undefined {
    return this.#services.get(name);
  }

  all(): Iterable<ServicePolicy> {
    return this.#services.values();
  }
}

async function shelf(t: Test): Promise<Shelf> {
  const protocols = await loadProtocols();
  let count = 0;
  const folder = t.testdir({});
  return new Shelf((texts) => {
    count += 1;
    const files = texts.map((text) => [`services/${/^service: (\S+)/.exec(text)?.[1]}.yaml`, text] as const);
    const loaded = loadConfig(writeConfig(`${folder}/${count}`, Object.fromEntries(files)), protocols, {});
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    return loaded.services;
  });
}

interface PersonGiven {
  readonly groups?: readonly string[];
  /** Makes a contractor of them. */
  readonly sponsor?: string;
  readonly endsAt?: number;
}

/** Writes a person's account. */
export async function addPerson(database: Database, subject: string, given: PersonGiven = {}): Promise<void> {
  const { groups = [], sponsor = null, endsAt = sponsor === null ? null : MONDAY + 60 * DAY } = given;
  await database.query(
    `insert into daypass.people (subject, kind, source, name, groups, sponsor, ends_at, created_at, created_by)
     values ($1, $2, 'local', $1, $3, $4, $5, $6, 'root')`,
    [
      subject,
      sponsor === null ? 'employee' : 'contractor',
      groups,
      sponsor,
      endsAt && new Date(endsAt),
      new Date(MONDAY),
    ],
  );
}

/** Everything that makes access, on a real ledger. The people: kim works for sam; ada, bob and sam own; eve owns nothing. */
export async function startAccess(
  t: Test,
  {
    texts = [serviceText()],
    wrap = (grants) => grants,
    database: given,
  }: { texts?: readonly string[]; wrap?: (grants: Grants) => Grants; database?: Database } = {},
) {
  const clock = new HandClock();
  clock.now = MONDAY;
  const { database, ledger } = await startLedger(t, given);
  await database.query('create table daypass.audited (seq bigint generated always as identity, entry jsonb not null)');
  const policies = await shelf(t);
  policies.reload(...texts);
  const key = signingKey();
  const authority = await GrantAuthority.open({
    ...{ store: new MemoryGrantStore(clock), ledger, signingKey: key },
    policyOf: (service) => policies.get(service),
    dataDirectory: t.testdir({}),
    ...{ clock, log: silent },
  });
  t.teardown(() => authority.close());
  const pool = openDatabase(database.url, { max: 8, answerWithin: 8_000 });
  t.teardown(() => pool.end());
  const audit: Audit = async (client, entry) => {
    await client.query('insert into audited (entry) values ($1)', [JSON.stringify(entry)]);
    await appendAudit(client, entry);
  };
  const events: AccessEvent[] = [];
  const metrics = new Metrics();
  const emergency = emergencies({ log: silent, metrics });
  const told = (event: AccessEvent) => {
    events.push(event);
    emergency.told(event);
  };
  const notices: Notice[] = [];
  const said: Notices = {
    enqueue: async (_client, notice) => {
      notices.push(notice);
    },
  };
  const parts = {
    ...{ pool, grants: wrap(authority), policies, audit, clock, log: silent, told, notices: said },
    begun: emergency.begun,
    sweepEvery: 3_600_000,
  };
  const engagements = openAccessRequests(parts);
  t.teardown(() => engagements.stop());
  const people = new People(pool);
  const as = async (subject: string): Promise<Actor> => actorOf(await people.get(subject), DUTIES, 'browser');
  await addPerson(database, 'sam', { groups: ['leads'] });
  await addPerson(database, 'ada', { groups: ['leads', 'data-leads'] });
  await addPerson(database, 'bob', { groups: ['leads', 'data-leads'] });
  await addPerson(database, 'eve', { groups: ['other'] });
  await addPerson(database, 'kim', { sponsor: 'sam', groups: ['externals'] });
  const audited = async () =>
    (await database.query('select entry from daypass.audited order by seq')).map(({ entry }) => entry);
  const { requests, ndas, reviews } = engagements;
  const parties = { database, clock, policies, authority, people, pool, parts, key, metrics };
  return { ...parties, requests, ndas, reviews, notices, events, as, audited };
}

export type Access = Awaited<ReturnType<typeof startAccess>>;

export const ASKED: RequestAsked = {
  service: 'orders-web',
  task: 'Retry the failed payment of order 4711 for the customer',
  seconds: 3_600,
};

const TABLES = [
  ...['access_requests', 'approvals', 'request_acts', 'ndas', 'nda_acknowledgements'],
  ...['people', 'grants', 'grant_acts'],
];

/** All that acts may change, to be compared before and after. */
export async function everything(database: Database): Promise<unknown> {
  const each = TABLES.map((table) => `select '${table}' as name, to_jsonb(r) as row from daypass.${table} r`);
  return database.query(`select * from (${each.join(' union all ')}) as every order by name, row`);
}

/** Holds an act to being refused: with this code, with a hint where one is said to be, audited, and without any other trace. */
export async function refused(
  t: Test,
  { database, audited }: Access,
  act: () => Promise<unknown>,
  code: string,
  hint?: RegExp,
): Promise<void> {
  const before = await everything(database);
  await t.rejects(act(), hint === undefined ? { code } : { code, hint });
  t.strictSame(await everything(database), before, 'nothing changed');
  t.match((await audited()).at(-1), { result: 'refused', detail: { code } });
}

/** One approval of ada's is enough for this one. */
export async function approved({ requests, as }: Access, asked: Partial<RequestAsked> = {}, by = 'kim') {
  const made = await requests.create(await as(by), { ...ASKED, ...asked });
  return requests.decide(await as('ada'), made.id, { outcome: 'approve', comment: 'fine' });
}

/** Approved and activated. */
export async function activated(access: Access, asked: Partial<RequestAsked> = {}, by = 'kim') {
  const { id } = await approved(access, asked, by);
  return access.requests.activate(await access.as(by), id);
}
