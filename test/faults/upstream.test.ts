import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { FaultProxy } from '../support/fault-proxy.js';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { sceneOf } from './checked.js';
import { Checker } from './checker.js';
import { type Client, type DatabaseWork, database, requests, streaming, uploading, webSocket } from './clients.js';
import { type Grant, type Ground, ground } from './ground.js';
import { patient, workload } from './workload.js';

type Break = (proxy: FaultProxy) => Promise<void> | void;
const reset: Break = (proxy) => proxy.set({ kind: 'reset' });
const halfOpen: Break = (proxy) => proxy.set({ kind: 'half-open' });

/** What is under way when the database fails, how it fails, and what its client is told; null: it ended inside a row. */
const DATABASES: readonly (readonly [string, DatabaseWork | 'connect', Break, RegExp | null])[] = [
  ['refuses', 'connect', (proxy) => proxy.set({ kind: 'refuse' }), /cannot be reached/],
  ['resets each connection', 'connect', reset, /cannot be reached/],
  ['is reset while it asks who comes', 'connect', (proxy) => proxy.after(10, 'reset'), /cannot be reached/],
  ['ends after its greeting', 'connect', (proxy) => proxy.after(60, 'end'), /cannot be reached/],
  ['never answers', 'connect', halfOpen, /cannot be reached/],
  ['falls silent during the login', 'connect', (proxy) => proxy.after(60, 'half-open'), /cannot be reached/],
  ['is reset inside a COPY from the client', 'copy', reset, /closed the connection/],
  ['is reset inside a pipeline', 'pipeline', reset, /closed the connection/],
  ['is reset while idle', 'idle', reset, /closed the connection/],
  ['is reset between statements', 'statements', reset, /closed the connection/],
  ['is reset in a long query', 'long', reset, /closed the connection/],
  ['ends inside a row', 'rows', (proxy) => proxy.after(12_345, 'end'), /closed the connection/],
  ['is reset inside a row', 'rows', (proxy) => proxy.after(12_345, 'reset'), /closed the connection/],
  ['ends inside a large row', 'wide', (proxy) => proxy.after(123_456, 'end'), null],
  ['is reset inside a large row', 'wide', (proxy) => proxy.after(123_456, 'reset'), null],
];

type WebPath = '/n/1' | '/stream' | '/silent' | '/upload' | '/live' | '/ticks' | '/mute';

/** The same for a web service. Half-open ones end with the grant. */
const WEBS: readonly (readonly [string, WebPath, Break, RegExp | null])[] = [
  ['refuses', '/n/1', (proxy) => proxy.set({ kind: 'refuse' }), /upstream_unavailable/],
  ['resets each connection', '/n/1', reset, /upstream_unavailable/],
  ['is reset inside the head of its answer', '/n/1', (proxy) => proxy.after(20, 'reset'), /upstream_unavailable/],
  ['ends inside the head of its answer', '/n/1', (proxy) => proxy.after(20, 'end'), /upstream_unavailable/],
  ['is reset before its answer', '/silent', reset, /upstream_unavailable/],
  ['is reset inside the body of a request', '/upload', reset, /upstream_unavailable/],
  ['is reset before it has opened a WebSocket', '/mute', reset, /upstream_unavailable/],
  ['is reset inside a body', '/stream', reset, null],
  ['ends inside a body', '/stream', (proxy) => proxy.after(100, 'end'), null],
  ['is reset under a WebSocket', '/ticks', reset, /closed the connection/],
  ['ends inside a frame of a WebSocket', '/ticks', (proxy) => proxy.after(100, 'end'), null],
];

const ENCRYPTED = 'db-encrypted';
/** One byte says that there is TLS; what comes then is the beginning of the server's half of the handshake. */
const inHandshake: Break = (proxy) => proxy.after(40, 'end');

const name = (kind: string, number: number) => `${kind}-${number}`;

t.test(
  'between the gateway and its services: a failing one hurts its own sessions, and its clients are told',
  async (t) => {
    const silent = ['db-silent', 'web-silent'] as const;
    const under = await ground(t, {
      databases: ['orders-db', silent[0], ...DATABASES.map((_, i) => name('db', i))],
      encrypted: ENCRYPTED,
      webs: ['orders-web', silent[1], ...WEBS.map((_, i) => name('web', i))],
    });
    const first = new Checker(t, sceneOf(under));
    await (await workload(t, under, first)).leave();
    const checker = first.warm();
    // A neighbour of all of it, whose services are well.
    const neighbour = await workload(t, under, checker);

    await t.test('what a service does', async (step) => {
      await Promise.all([
        ...DATABASES.map(([what, work, fail, told], i) =>
          work === 'connect'
            ? refused(step, under, checker, name('db', i), `a database that ${what}`, fail, told ?? /./)
            : ends(step, under, name('db', i), `a database that ${what}`, fail, told, (service) =>
                patientDatabase(under, checker, service, work),
              ),
        ),
        ...WEBS.map(([what, path, fail, told], i) =>
          webFails(step, under, checker, name('web', i), what, path, fail, told),
        ),
        refused(
          step,
          under,
          checker,
          ENCRYPTED,
          'a database that ends inside its TLS handshake',
          inHandshake,
          /reached/,
        ),
        untilTheGrantEnds(step, under, checker, silent),
      ]);
    });

    for (const client of [...neighbour.busy, ...neighbour.still]) {
      const over = await Promise.race([client.ended, pause(0, null)]);
      t.equal(over, null, `${client.name} of the neighbour goes on`);
    }
    await neighbour.leave();
    for (const proxy of under.upstreams.values()) await proxy.heal();
    await checker.conclude();
  },
);

async function patientDatabase(under: Ground, checker: Checker, service: string, work: DatabaseWork): Promise<Client> {
  const grant = await under.issue(service, '10m', work === 'copy' ? 'loader' : undefined);
  const client = await patient(checker, () => database(t, under.gateway, grant, work));
  if (work === 'copy' || work === 'pipeline') await soon(() => client.answered.size > 0, `${work} is under way`);
  return client;
}

/** Resolves when it holds; rejects when it does not come to. */
async function soon(holds: () => boolean, what: string): Promise<void> {
  for (let left = 1_500; left > 0 && !holds(); left -= 1) await pause(20);
  if (!holds()) throw new Error(`never: ${what}`);
}

/** The service fails before anybody is let in. */
async function refused(
  step: Test,
  under: Ground,
  checker: Checker,
  service: string,
  what: string,
  fail: Break,
  told: RegExp,
): Promise<void> {
  const grant = await under.issue(service);
  await fail(under.seams.upstream(service));
  for (;;) {
    const refusal = await checker.refused(what, database(t, under.gateway, grant));
    if (refusal?.code === '57P03') continue; // the machine is busy: not admitted yet
    return void step.match(refusal, { code: '08006', message: told }, what);
  }
}

/** The service fails under a client that is at work. */
async function ends(
  step: Test,
  under: Ground,
  service: string,
  what: string,
  fail: Break,
  told: RegExp | null,
  begin: (service: string) => Promise<Client>,
): Promise<void> {
  const client = await begin(service);
  await waitUntil(`${what}: its client is given a byte`, () => client.lastByte > 0);
  await fail(under.seams.upstream(service));
  const end = await client.ended;
  if (told === null) step.ok(end.mid && end.told === null, `${what}: broken off, with nothing put inside`);
  else step.match(end.told?.message, told, what);
}

async function webFails(
  step: Test,
  under: Ground,
  checker: Checker,
  service: string,
  what: string,
  path: WebPath,
  fail: Break,
  told: RegExp | null,
): Promise<void> {
  const grant = await under.issue(service);
  const proxy = under.seams.upstream(service);
  const words = `a web service that ${what}`;
  if (path === '/ticks' || path === '/live')
    return ends(step, under, service, words, fail, told, () =>
      patient(checker, () => webSocket(t, under.gateway, grant, path)),
    );
  await known(under, checker, grant);
  if (path === '/stream')
    return ends(step, under, service, words, fail, told, async () => {
      const [client] = checker.follow(streaming(under.gateway, grant, path));
      return client;
    });
  if (path === '/mute') {
    const opening = checker.refused(words, webSocket(step, under.gateway, grant, path));
    await soon(() => proxy.seen().includes(path), 'the opening is at the service');
    await fail(proxy);
    return void step.match(await opening, { code: '502', message: told ?? /./ }, words);
  }
  if (path === '/upload') {
    const [client] = checker.follow(uploading(under.gateway, grant));
    await soon(() => proxy.seen().includes('a part of a body'), 'the body is at the service');
    await fail(proxy);
    return void step.match((await client.ended).told, { code: '502', message: told ?? /./ }, words);
  }
  if (path === '/n/1') await fail(proxy);
  const [client] = checker.follow(streaming(under.gateway, grant, path));
  if (path === '/silent') {
    await waitUntil(`${words}: it is asked`, () => proxy.seen().includes('/silent'));
    await fail(proxy);
  }
  step.match((await client.ended).told, { code: '502', message: told ?? /./ }, words);
}

/** Asks until it is let in: on a busy machine that may take more than one request, and what comes then needs no check. */
async function known(under: Ground, checker: Checker, grant: Grant): Promise<void> {
  const [client] = checker.follow(requests(under.gateway, grant));
  await waitUntil(`${grant.service} answers once`, () => client.answered.size > 0);
  await client.leave();
}

/** Services that fall silent and never close: what hangs on them ends with the grant, and is told so. */
async function untilTheGrantEnds(
  step: Test,
  under: Ground,
  checker: Checker,
  [db, web]: readonly [string, string],
): Promise<void> {
  const [forDb, forWeb] = [await under.issue(db, '12s'), await under.issue(web, '12s')];
  const clients = [
    await patient(checker, () => database(t, under.gateway, forDb, 'long')),
    await patient(checker, () => database(t, under.gateway, forDb, 'rows')),
    await patient(checker, () => webSocket(t, under.gateway, forWeb, '/ticks')),
    ...checker.follow(streaming(under.gateway, forWeb)),
  ];
  await pause(500);
  const starved = starvation(process.pid, under.gateway.pid);
  await halfOpen(under.seams.upstream(db));
  await halfOpen(under.seams.upstream(web));
  const waiting = checker.follow(streaming(under.gateway, forWeb, '/silent'));
  for (const client of [...clients, ...waiting]) {
    const { at, told, mid } = await client.ended;
    const late = at - Date.parse(client.grant.expiresAt);
    step.ok(
      late >= 0 && late <= 1_000 + starved(),
      `${client.name} of a silent service ends with its grant (${late} ms)`,
    );
    step.ok(mid || /expired/.test(told?.message ?? ''), `${client.name} is told why, or was in the middle`);
  }
}
