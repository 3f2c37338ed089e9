import { once } from 'node:events';
import { access } from 'node:fs/promises';
import t from 'tap';
import { redactSql } from '../../src/postgres/sql/redact.js';
import { waitUntil } from '../support/wait.js';
import {
  bind,
  cstring,
  execute,
  fields,
  front,
  int16,
  int32,
  loggedIn,
  parse,
  query,
  shapes,
  sync,
  type WireClient,
} from '../support/wire.js';
import { ATTACKS, type Attack } from './attacks/table.js';
import { type SuperuserGround, superuserGround } from './superuser-ground.js';

/** What PostgreSQL would prepare. */
const PREPARABLE = /^\s*(?:with|select|insert|update|delete|merge|values|table)\b[^;]*$/i;
const SETTINGS =
  "select string_agg(name || '=' || setting, ',' order by name), current_user, session_user from pg_settings";

/** What the record must say of one attempt: text, how it came, rule and reason. */
type Denial = readonly [text: string, via: string, rule: string, reason: string];

/** What came of what was sent, in short, and whether every word of it is the gateway's. */
async function outcome(client: WireClient): Promise<string> {
  const answers = await client.until();
  const words = answers.filter(({ type }) => type === 'E').map((answer) => fields(answer).M ?? '');
  const ours = words.every((message) => message.startsWith('Daypass: '));
  return `${shapes(answers)}${ours ? '' : ` not ours: ${words.join()}`}`;
}

/** The ways to try a text, what must come of each, and what must be in the record. */
function ways({ text, rule, reason }: Attack): readonly { sent: Buffer; outcome: string; denial: Denial }[] {
  const sqlstate = rule === 'names of this session' ? '26000' : '42501';
  const extended = Buffer.concat([parse('', text), bind('', ''), execute(''), sync()]);
  const out = [
    { sent: query(text), outcome: `E:${sqlstate} Z:I`, denial: [text, 'query', rule, reason] as const },
    { sent: extended, outcome: 'E:42501 Z:I', denial: [text, 'parse', rule, reason] as const },
  ];
  if (reason === 'unparsable' || !PREPARABLE.test(text)) return out;
  const [prepare, run] = [`prepare evil as ${text}`, 'execute evil'];
  return [
    ...out,
    { sent: query(prepare), outcome: 'E:42501 Z:I', denial: [prepare, 'query', rule, reason] },
    { sent: query(run), outcome: 'E:26000 Z:I', denial: [run, 'query', 'names of this session', 'unknown_effect'] },
  ];
}

/** What the record says was refused, in order. */
async function denials(ground: SuperuserGround): Promise<Denial[]> {
  const denied = (await ground.events()).filter(({ facts }) => facts.outcome === 'deny');
  return denied.map(({ facts, payload }) => [
    String(payload?.text),
    String(facts.via),
    String(facts.rule),
    String(facts.reason),
  ]);
}

async function settings(client: WireClient): Promise<string> {
  client.send(query(SETTINGS));
  return (await client.until()).find(({ type }) => type === 'D')?.body.toString() ?? 'none';
}

t.test(
  'C21: the parser alone keeps a reader from changing anything, though the account behind it may do everything; each attempt is in the record with its rule',
  async (t) => {
    const ground = await superuserGround(t);
    const { handle } = await ground.issue({ service: 'orders-db', for: '1h' });
    const { client } = await loggedIn(t, ground.ports.postgres, handle);
    client.send(query('prepare kept as select 1'));
    await client.until();
    client.send(query('show is_superuser'));
    t.equal((await client.until())[1]?.body.toString('utf8', 6), 'on');
    const before = { settings: await settings(client), print: await ground.fingerprint() };
    const expected: Denial[] = [];
    for (const one of ATTACKS) {
      const tried = ways(one);
      client.send(...tried.map(({ sent }) => sent));
      const outcomes: string[] = [];
      for (const _ of tried) outcomes.push(await outcome(client));
      const print = await ground.fingerprint();
      const wanted = { outcomes: tried.map((way) => way.outcome), print: before.print };
      t.same({ outcomes, print }, wanted, `${one.name} changes nothing`);
      expected.push(...tried.map(({ denial }) => denial));
    }
    t.equal(await settings(client), before.settings, 'the session is as it was');
    client.send(query('select count(*) from orders'));
    t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I', 'and goes on');
    await t.rejects(access('/tmp/daypass-was-here'));
    client.socket.end();
    await once(client.socket, 'close');
    await ground.stop();
    t.same(
      await denials(ground),
      expected.map(([text, ...rest]) => [redactSql(text), ...rest]),
      'every attempt is in the record, in its order, with the rule that refused it',
    );
  },
);

t.test('the fingerprint sees a change of any kind, and one that was taken back', async (t) => {
  const { orders, fingerprint } = await superuserGround(t);
  let last = await fingerprint();
  t.equal(await fingerprint(), last);
  for (const text of [
    'update orders set status = status where id = 1',
    "begin; update orders set status = 'x'; rollback",
    'begin; select * from orders where id = 2 for share; commit',
    "select nextval('some_sequence')",
    'begin; create table gone (a int); rollback',
    "create or replace function evil.plus(int, int) returns int language sql as 'select 1'",
    'alter role evil_role createdb',
    'grant evil_role to current_user',
    'grant select on evil.orders to public',
    'alter default privileges grant select on tables to evil_role',
    'alter role evil_role set work_mem = 64',
    "select lo_put(4711, 0, 'x')",
    "rollback prepared 'waiting'",
    'alter table payment_methods enable row level security',
    "select pg_create_physical_replication_slot('slot')",
    'alter system set work_mem = 128',
    'select pg_reload_conf()',
    'select pg_stat_reset()',
    'select txid_current()',
  ]) {
    await orders.database.query(text);
    // The server reads its files again when it comes to it.
    if (/reload/.test(text)) await waitUntil(text, async () => (await fingerprint()) !== last);
    const now = await fingerprint();
    t.not(now, last, text);
    last = now;
  }
  await orders.database.query("select pg_drop_replication_slot('slot')");
});

/** Texts that no string of this language holds. */
const BYTES: Readonly<Record<string, Buffer>> = {
  'half a character before a quote': Buffer.concat([
    Buffer.from("select '"),
    Buffer.of(0x95, 0x5c),
    Buffer.from("'; delete from orders; --'"),
  ]),
  'an overlong quote': Buffer.concat([
    Buffer.from("select '"),
    Buffer.of(0xc0, 0xa7),
    Buffer.from('; delete from orders'),
  ]),
  'half a character at the end': Buffer.concat([Buffer.from('delete from orders --'), Buffer.of(0xe2, 0x82)]),
  'a surrogate': Buffer.concat([Buffer.from('delete from orders --'), Buffer.of(0xed, 0xa0, 0x80)]),
  'a character beyond the last': Buffer.concat([
    Buffer.from('delete from orders --'),
    Buffer.of(0xf4, 0x90, 0x80, 0x80),
  ]),
};

t.test(
  'C21: bytes that are no text change nothing, nor does a FunctionCall; each attempt is in the record',
  async (t) => {
    const ground = await superuserGround(t);
    const { handle } = await ground.issue({ service: 'orders-db' });
    const { client } = await loggedIn(t, ground.ports.postgres, handle);
    const before = await ground.fingerprint();
    const expected: string[] = [];
    for (const [name, bytes] of Object.entries(BYTES)) {
      const text = Buffer.concat([bytes, Buffer.of(0)]);
      for (const sent of [front('Q', text), Buffer.concat([front('P', Buffer.of(0), text, int16(0)), sync()])]) {
        client.send(sent);
        t.equal(await outcome(client), 'E:42501 Z:I', name);
      }
      t.equal(await ground.fingerprint(), before, `${name} changes nothing`);
      expected.push('query unparsable', 'parse unparsable');
    }
    const [{ oid } = { oid: 0 }] = await ground.orders.database.query<{ oid: number }>(
      "select 'lo_creat(int)'::regprocedure::oid::int as oid",
    );
    const call = front('F', int32(oid), int16(1), int16(1), int16(1), int32(4), int32(-1), int16(1));
    client.send(call);
    t.equal(await outcome(client), 'E:42501 Z:I');
    expected.push('query unknown_effect');
    t.equal(await ground.fingerprint(), before, 'a FunctionCall changes nothing');
    for (const type of ['Q', 'P']) {
      const { client: other } = await loggedIn(t, ground.ports.postgres, handle);
      other.send(
        front(type, cstring(type === 'P' ? '\0select 1' : 'select 1'), cstring('; delete from orders')),
        sync(),
      );
      t.match(shapes(await other.rest()), /^E:08P01/, `a NUL within ${type} ends the session`);
      t.equal(await ground.fingerprint(), before, 'and changes nothing');
    }
    client.socket.end();
    await once(client.socket, 'close');
    await ground.stop();
    t.same(
      (await denials(ground)).map(([, via, , reason]) => `${via} ${reason}`),
      expected,
    );
  },
);
