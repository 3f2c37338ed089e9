/** WebSockets between a client and a service that say, end, break and reset what they like: what each received is what the record says. */
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { RecordedEvent } from '../../src/recording/event.js';
import { lockLedger, raw, startGateway, type TestGateway } from '../http/gateway.js';
import { endBelow, overTls, resetConnection } from '../http/over-tls.js';
import { rawService } from '../http/raw-service.js';
import { closing, masked, unmasked } from '../http/ws-frames.js';
import { waitUntil } from '../support/wait.js';
import { type Case, cases, pieces, type Random } from './random.js';

const SECONDS = 4;
const AT_ONCE = 12;
const OPEN = ['WS /live/**'];
const ROLES = { viewer: OPEN, guest: OPEN };
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** One conversation, and what the checks must know of how it went. */
interface Talk {
  readonly of: Case;
  readonly path: string;
  readonly id: string;
  readonly role: string;
  readonly client: Socket;
  readonly service: Socket;
  readonly byClient: Buffer[];
  readonly byService: Buffer[];
  /** What was done, to tell of. */
  readonly done: string[];
}

type Step = readonly [weight: number, name: string, act: (talk: Talk, gateway: TestGateway) => void];

let last = 0;
/** No two are the same. */
const text = () => {
  last += 1;
  return `m${last}`;
};
/** A socket that was ended would be destroyed by what is written to it then. */
const put = (socket: Socket, bytes: Buffer) => socket.writable && socket.write(bytes);
const say = (socket: Socket, random: Random, bytes: Buffer) => {
  for (const piece of pieces(random, bytes)) put(socket, piece);
};

const STEPS: readonly Step[] = [
  [12, 'client says', ({ client, of }) => say(client, of.random, masked(0x81, text()))],
  [
    4,
    'client says much',
    ({ client }) => put(client, Buffer.concat(Array.from({ length: 200 }, () => masked(0x81, text())))),
  ],
  [4, 'client pings', ({ client }) => put(client, masked(0x89, text()))],
  [
    4,
    'client says in two',
    ({ client, of }) =>
      say(client, of.random, Buffer.concat([masked(0x01, text()), masked(0x89, text()), masked(0x80, 'b')])),
  ],
  [1, 'client begins', ({ client }) => put(client, masked(0x01, text()))],
  [1, 'client breaks', ({ client }) => put(client, Buffer.concat([masked(0x81, text()), masked(0x83, 'bad')]))],
  [1, 'client closes', ({ client }) => put(client, masked(0x88, closing(1000, text())))],
  [1, 'client ends', ({ client }) => client.writable && client.end(masked(0x81, text()))],
  [1, 'client resets', ({ client }) => resetConnection(client)],
  [8, 'service says', ({ service, of }) => say(service, of.random, unmasked(0x81, text()))],
  [2, 'service pings', ({ service }) => put(service, unmasked(0x89, text()))],
  [1, 'service begins', ({ service }) => put(service, unmasked(0x01, text()))],
  [1, 'service breaks', ({ service }) => put(service, unmasked(0x83, 'bad'))],
  [1, 'service closes', ({ service }) => put(service, unmasked(0x88, closing(1000)))],
  [1, 'service ends', ({ service }) => service.writable && service.end(unmasked(0x81, text()))],
  [1, 'service resets', ({ service }) => resetConnection(service)],
  [1, 'service ends below', ({ service }) => endBelow(service)],
  [1, 'service does not read', ({ service }) => service.pause()],
  [1, 'revoked', ({ id }, gateway) => gateway.revoke(id)],
];
const WEIGHT = STEPS.reduce((sum, [weight]) => sum + weight, 0);

function stepOf(random: Random): Step {
  let at = random.below(WEIGHT);
  for (const step of STEPS) {
    at -= step[0];
    if (at < 0) return step;
  }
  throw new Error('beyond all weights');
}

function framesOf(chunks: readonly Buffer[]): string[] {
  const bytes = Buffer.concat(chunks);
  const said: string[] = [];
  let begun = '';
  for (let at = 0; at + 2 <= bytes.length; ) {
    const [first = 0, second = 0] = bytes.subarray(at);
    const mask = (second & 0x80) === 0 ? null : bytes.subarray(at + 2, at + 6);
    const from = at + (mask === null ? 2 : 6);
    const to = from + (second & 0x7f);
    if (to > bytes.length) break;
    const data = bytes.subarray(from, to).map((byte, index) => byte ^ (mask?.[index & 3] ?? 0));
    if ((first & 0x0f) > 8) said.push(`${data}`);
    else if ((first & 0x0f) < 8) {
      begun += `${data}`;
      if (first >= 0x80) said.push(begun);
      if (first >= 0x80) begun = '';
    }
    at = to;
  }
  return said;
}

async function converse(t: Test, gateway: TestGateway, sockets: readonly Socket[], of: Case): Promise<Talk> {
  const role = of.random.pick(['viewer', 'guest']);
  const { handle, id } = gateway.issue('web', { role });
  const path = `/live/${of.seed}`;
  const opening = raw(
    t,
    gateway.port,
    `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}`,
  );
  await opening.sees(/\r\n\r\n/);
  const client = opening.socket;
  const service = sockets.at(-1)!;
  const talk: Talk = { of, path, id, role, client, service, byClient: [], byService: [], done: [] };
  client.on('data', (chunk: Buffer) => talk.byService.push(chunk));
  service.on('data', (chunk: Buffer) => talk.byClient.push(chunk));
  return talk;
}

async function act(talk: Talk, gateway: TestGateway): Promise<void> {
  const { random } = talk.of;
  for (let left = random.below(14); left > 0; left -= 1) {
    const [, name, step] = stepOf(random);
    talk.done.push(name);
    step(talk, gateway);
    if (random.chance(0.5)) await pause(random.below(6));
  }
}

/** Whoever is still there is let read, and leaves. */
async function part({ of, client, service, done }: Talk): Promise<void> {
  service.resume();
  const first = of.random.pick([client, service]);
  await pause(of.random.below(20));
  first.end();
  await pause(20);
  client.end();
  service.end();
  await waitUntil(`both are gone after ${done.join(', ')}`, async () => {
    service.resume();
    return client.closed && service.closed;
  });
}

/** @param isForbidden - by a policy that was reloaded meanwhile */
function wrongWith(talk: Talk, events: readonly RecordedEvent[], isForbidden: boolean): string[] {
  const mine = events.filter(({ facts }) => facts.on?.[0] === talk.path);
  const opened = mine.find(({ facts }) => facts.verb === 'WS');
  const session = events.slice(0, events.indexOf(opened!)).findLastIndex(({ kind }) => kind === 'open');
  const result = events
    .slice(session)
    .find(({ kind, facts }) => kind === 'result' && facts.of === opened?.seq && facts.messages !== undefined);
  const allowed = mine
    .filter(({ kind, facts }) => kind === 'action' && facts.verb === 'message' && facts.frame !== 'close')
    .filter(({ facts }) => facts.outcome === 'allow')
    .map(({ payload }) => `${payload?.text}`);
  const told = mine.filter(({ kind, facts }) => kind === 'result' && facts.frame !== 'close');
  const heard = framesOf(talk.byClient);
  const messages = Number(result?.facts.messages);
  const sent = messages - Number(result?.facts.unsent ?? 0);
  const sure = sent - Number(result?.facts.unconfirmed ?? 0);
  const taken = framesOf(talk.byService);
  const isBroken = result?.facts.reason === 'upstream_unavailable'; // a message within a message, say
  const isForced = talk.done.some((name) => /service (?:breaks|resets|ends below)|revoked/.test(name)) || isBroken;
  const wrong = [
    [result === undefined, 'no result'],
    [messages !== allowed.length, `${allowed.length} allowed, ${messages} counted`],
    [
      heard.some((one, index) => one !== allowed[index]),
      'the service has heard what is not recorded as allowed, in order',
    ],
    [!isForced && !isForbidden && sure < messages, 'nobody forbade what was allowed, and it did not go on'],
    [heard.length > sent, `the service has heard ${heard.length}, ${sent} count as sent`],
    [!isForced && heard.length < sure, `the service has heard ${heard.length} only, ${sure} count as sent`],
    [
      taken.some((one, index) => one !== `${told[index]?.payload?.text}`),
      `the client has heard what is not recorded, in order: ${taken} of ${told.map(({ payload }) => payload?.text)}`,
    ],
  ] as const;
  const about = `${talk.of.name} (${talk.done.join(', ')}; ${JSON.stringify(result?.facts)})`;
  return wrong.flatMap(([is, what]) => (is ? [`${about}: ${what}`] : []));
}

for (const secured of [false, true])
  t.test(
    `what each side of a WebSocket received is what the record says, however it ends${secured ? ', over TLS' : ''}`,
    async (t) => {
      Object.assign(overTls, { clients: secured, services: secured });
      const { url, sockets } = await rawService(t);
      const gateway = await startGateway(t, { web: { url, roles: ROLES } });
      let many = 0;
      let unsent = 0;
      for await (const round of cases(SECONDS, AT_ONCE)) {
        const { random } = round[0]!;
        const talks: Talk[] = [];
        for (const one of round) talks.push(await converse(t, gateway, sockets, one));
        const unlock = random.chance(0.6) ? await lockLedger(gateway) : null;
        const forbids = random.chance(0.25);
        const reloads = forbids || random.chance(0.25);
        const reloaded = { viewer: [...OPEN, 'GET /x'], guest: forbids ? ['GET /x'] : OPEN };
        const reload = async () => {
          await pause(random.below(30));
          if (reloads) gateway.reload('web', { url, roles: reloaded });
        };
        await Promise.all([reload(), ...talks.map((talk) => act(talk, gateway))]);
        await unlock?.();
        await Promise.all(talks.map(part));
        if (reloads) gateway.reload('web', { url, roles: ROLES });
        const events = await gateway.events();
        for (const talk of talks) t.same(wrongWith(talk, events, forbids && talk.role === 'guest'), []);
        many += round.length;
        unsent = events.filter(({ facts }) => facts.unsent !== undefined).length;
      }
      t.comment(`${many} conversations, ${unsent} of them with messages that were not sent`);
    },
  );
