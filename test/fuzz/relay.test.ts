/** The whole relay between a client that is nearly right and a database, and between a client and a server that is nearly right. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { portOf } from '../support/ports.js';
import { starvation } from '../support/starvation.js';
import { cstring, fields, front, int32, loggedIn, query, shapes, start, type WireMessage } from '../support/wire.js';
import { answerTo, fromClient, fromServer } from './messages.js';
import { isReaders, sessionsOf, unpaired } from './pairing.js';
import { type Case, cases, mutated, pieces, Random } from './random.js';

const SECONDS = 5;
/** A conversation that says nothing for so long is over: a message that is announced and never comes. Milliseconds. */
const QUIET = 60;
/** Conversations that are led side by side. */
const AT_ONCE = 24;
/** After so much there is nothing to wait for: the gateway has lost the session. Milliseconds. */
const LOST = 20_000;
const MiB = 2 ** 20;
/** The types a client may be sent, once it is in. */
const LEGAL = /^[123ACDEGHINSTVZcdnst]$/;

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

function memory(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** A client's side of one conversation: what it got, whole messages alone. */
interface Said {
  readonly messages: readonly WireMessage[];
  /** What does not make a whole message at the end. */
  readonly rest: Buffer;
}

/** Logs in, sends the bytes piece by piece, waits for the answers to end, and leaves. */
async function converse(port: number, handle: string, bytes: readonly Buffer[], name: string): Promise<Said> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {}); // thrown out, maybe
  let got = Buffer.alloc(0);
  let heard = Date.now();
  socket.on('data', (chunk: Buffer) => {
    got = Buffer.concat([got, chunk]);
    heard = Date.now();
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const hears = (pattern: RegExp) => until(socket, () => pattern.test(got.toString('latin1')));
  socket.write(start({ user: 'alice', database: 'orders-db', application_name: name }));
  await hears(/^R/);
  got = Buffer.alloc(0);
  socket.write(front('p', cstring(handle)));
  await hears(/Z\0\0\0\x05I$|^E/);
  got = Buffer.alloc(0);
  for (const piece of bytes) {
    if (socket.destroyed) break;
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  heard = Date.now();
  while (!socket.destroyed && Date.now() - heard < QUIET)
    await Promise.race([closed, new Promise((r) => setTimeout(r, 5))]);
  socket.end();
  const lost = setTimeout(() => socket.destroy(new Error('the gateway does not let go')), LOST);
  await closed;
  clearTimeout(lost);
  return split(got);
}

async function until(socket: Socket, holds: () => boolean): Promise<void> {
  while (!holds() && !socket.destroyed) await Promise.race([once(socket, 'data'), once(socket, 'close')]);
}

function split(bytes: Buffer): Said {
  const messages: WireMessage[] = [];
  let at = 0;
  while (bytes.length - at >= 5) {
    const end = at + 1 + bytes.readInt32BE(at + 1);
    if (end > bytes.length || end < at + 5) break;
    messages.push({ type: String.fromCharCode(bytes[at]!), body: bytes.subarray(at + 5, end) });
    at = end;
  }
  return { messages, rest: bytes.subarray(at) };
}

/** What is wrong with what a client was told; null when it was told in its own protocol. */
function wrongWith({ messages }: Said): string | null {
  const strange = messages.find(({ type }) => !LEGAL.test(type));
  if (strange) return `a message of type ${JSON.stringify(strange.type)}`;
  // The server's own last words are passed on like any others of its; ours end everything.
  const fatal = messages.findIndex(
    (message) => message.type === 'E' && /^Daypass/.test(fields(message).M ?? '') && fields(message).S === 'FATAL',
  );
  if (fatal === -1) return null;
  if (fatal !== messages.length - 1) return `it went on after the end: ${shapes(messages.slice(fatal))}`;
  const told = messages[fatal];
  const { C = '', M = '' } = told === undefined ? {} : fields(told);
  return /^(?:08P01|08006|54000|57P01)$/.test(C) && M !== '' ? null : `it ended with ${C} ${M}`;
}

/** So long without a core, milliseconds, and an answer may be late: nothing that was sent is the reason. */
const STARVED = 250;

/** What the log says that must never be said, whatever is sent. @param starved - for how long the gateway had no core */
const faults = ({ lines }: TestGateway, starved: number) =>
  lines
    .filter(({ level, msg }) => (typeof level === 'number' && level >= 50) || /failed/.test(String(msg)))
    .filter(({ msg }) => starved < STARVED || msg !== 'the ledger does not answer');

/** Runs conversations until the time is up; nothing may stay behind. */
async function fuzz(t: Test, gateway: TestGateway, roles: readonly string[], sent: (random: Random) => Buffer[]) {
  const handles = await Promise.all(
    roles.map(async (role) => (await gateway.issue({ service: 'orders-db', role, for: '4h' })).handle),
  );
  for (const handle of handles) await speakRight(t, gateway.ports.postgres, handle);
  let count = 0;
  let before = 0;
  for await (const some of cases(SECONDS, AT_ONCE)) {
    const starved = starvation();
    await Promise.all(some.map((one) => judge(t, gateway.ports.postgres, handles, one, sent(one.random))));
    t.same(faults(gateway, starved()), [], some[0]?.name ?? '');
    gateway.lines.length = 0;
    count += some.length;
    if (before === 0) before = memory();
  }
  t.comment(`${count} conversations`);
  t.ok(count >= AT_ONCE);
  const grown = memory() - before;
  t.ok(grown < 32 * MiB, `grew by ${Math.round(grown / 1024)} KiB`);
  await speakRight(t, gateway.ports.postgres, handles[0] ?? '');
}

/** A conversation without a flaw: before the others, so that they do not pay for parser and catalog, and after them. */
async function speakRight(t: Test, port: number, handle: string): Promise<void> {
  const { client } = await loggedIn(t, port, handle, { application_name: 'right' });
  client.send(query('select 1'));
  t.match(shapes(await client.until()), /^T (?:D )*C:SELECT \d Z:I$/, 'the gateway goes on');
  client.socket.end();
}

async function judge(t: Test, port: number, handles: readonly string[], { name, seed, random }: Case, bytes: Buffer[]) {
  const said = await converse(port, random.pick(handles), pieces(random, Buffer.concat(bytes)), String(seed));
  const wrong = wrongWith(said);
  if (wrong !== null) t.fail(`${name}: ${wrong}`, { sent: bytes.map((message) => message.toString('latin1')) });
}

/** Who writes. The reader's account may do anything too: only the gateway is in its way. */
const WATCHED = `
  create table scratch (id int, text text);
  create sequence numbers;
  create table writers (name text);
  create function note() returns trigger language plpgsql security definer as $$ begin insert into writers values (session_user); return null; end $$;
  create trigger noted after insert or update or delete or truncate on orders for each statement execute function note();
  create trigger noted after insert or update or delete or truncate on scratch for each statement execute function note()`;

t.test('a client that is nearly right ends its own session at most, and is told why', async (t) => {
  const orders = await ordersDatabase(t);
  await orders.database.query(WATCHED);
  const { user, password } = orders.database.config;
  const mighty = `mighty_${orders.database.name}`;
  await orders.database.query(`create role ${mighty} superuser login password '${password}'`);
  const master = `  master:\n    upstream: { user: ${user}, password: { env: MASTER_PASSWORD } }\n    allow:\n      - { statements: [any] }\n`;
  const policy = orders.policy({ more: master, mode: 'buffered' }).replace(/user: reader_\w+/, `user: ${mighty}`);
  const gateway = await startGateway(t, {
    services: { 'orders-db': policy },
    env: { ...orders.env, READER_PASSWORD: password, MASTER_PASSWORD: password },
  });
  await fuzz(t, gateway, ['reader', 'master'], (random) =>
    Array.from({ length: 1 + random.below(12) }, () => {
      const message = fromClient(random);
      return random.chance(0.12) ? mutated(random, message) : message;
    }),
  );
  await gateway.stop();
  const others = await orders.database.query('select distinct name from writers where name <> $1', [user]);
  t.same(others, [], 'the reader wrote nothing');
  const sessions = sessionsOf(await gateway.events());
  t.same(
    sessions.flatMap((session) => unpaired(session)),
    [],
    'every result is of its statement',
  );
  const readers = sessions.filter(isReaders).flat();
  t.ok(readers.some(({ facts }) => facts.outcome === 'deny') && readers.some(({ kind }) => kind === 'result'));
  const reached = readers.filter(({ facts }) => facts.status === '25006');
  t.same(reached, [], 'no write of the reader came as far as its read-only transaction');
  await orders.database.query(`drop role ${mighty}`);
});

/** A server that lets everybody in and answers each message nearly right, by the seed that the client has for a name. */
async function nearlyRight(t: Test): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (startup: Buffer) => {
      const seed = Number(/application_name\0(\d+)\0/.exec(startup.toString('latin1'))?.[1] ?? 0);
      const random = seed === 0 ? null : new Random(seed + 1);
      socket.write(Buffer.concat([front('R', int32(0)), ...SETTINGS, front('K', int32(4711), int32(815)), READY]));
      socket.on('data', (chunk: Buffer) => answer(socket, chunk, random));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return portOf(server.address());
}

const READY = front('Z', Buffer.from('I'));
const SETTINGS = ['client_encoding\0UTF8', 'standard_conforming_strings\0on'].map((text) => front('S', cstring(text)));

function answer(socket: Socket, chunk: Buffer, random: Random | null): void {
  for (let at = 0; at + 5 <= chunk.length; at += 1 + Math.max(4, chunk.readInt32BE(at + 1))) {
    const type = String.fromCharCode(chunk[at]!);
    if (random === null) {
      socket.write(answerTo(type, new Random(0)));
      continue;
    }
    const right = random.chance(0.8) ? answerTo(type, random) : fromServer(random);
    const bytes = random.chance(0.1) && right.length > 0 ? mutated(random, right) : right;
    for (const piece of pieces(random, bytes)) socket.write(piece);
    if (random.chance(0.01)) socket.destroy();
  }
}

t.test('a server that is nearly right ends the session it serves at most, in the words of the protocol', async (t) => {
  const port = await nearlyRight(t);
  const role = (name: string, more = '') => `  ${name}:\n    allow:\n      - { statements: [any] }\n${more}`;
  const gateway = await startGateway(t, {
    services: {
      'orders-db': `
service: orders-db
protocol: postgres
lane: production
owner: group:x
upstream: { address: "127.0.0.1:${port}", database: orders, user: someone, password: { env: PASSWORD } }
roles:
${role('master')}${role('sampled', '    max_rows: 5\n    recording: { results: 5 }\n')}
grants: { max_duration: 4h, max_renewals: 2 }
recording: { mode: buffered }
`,
    },
    env: { PASSWORD: 'secret' },
  });
  await fuzz(t, gateway, ['master', 'sampled'], (random) =>
    Array.from({ length: 1 + random.below(8) }, () => fromClient(random)),
  );
});
