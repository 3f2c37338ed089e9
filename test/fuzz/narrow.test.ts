/**
 * Pipelines of what a role may do and what it may not. Its account may do anything: only the gateway is in its way. What it says is held
 * against a twin that is sent, in the place of what is not allowed, something that it cannot parse: it fails there as the refusal should.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LOOK_FOR_US } from '../../src/postgres/upstream.js';
import { startTwin, twinsOver } from '../postgres/clients/twins.js';
import type { RecordedLine } from '../support/gateway.js';
import { connected, type PostgresServer } from '../support/postgres.js';
import { AT_ONCE, compare, converse, Pipelines, USUAL, type Vocabulary } from './pipelines.js';
import { Random } from './random.js';

const LANES = Array.from({ length: AT_ONCE }, (_, lane) => lane);
const SETUP = `
  create table things (id int primary key, name text, hidden text);
  insert into things select n, 'thing ' || n, 'x' from generate_series(1, 200) n;
  create table secret (a int);
  create view everything as select * from secret;
  create function danger(things) returns text language sql as 'update things set hidden = ''changed'' returning name';
  create function danger() returns int language sql as 'delete from secret returning a';
  create sequence numbers;
  ${LANES.map((lane) => `create table t${lane} (a int); create table v${lane} (a int primary key deferrable initially deferred);`).join('\n')}`;

const tables = LANES.flatMap((lane) => [`public.t${lane}`, `public.v${lane}`]).join(', ');
const RULES = `{ statements: [select, explain, copy-out], relations: [public.things], columns: [id, name] }
      - { statements: [select, insert, update, delete, copy-in, copy-out, explain], relations: [${tables}] }
      - { statements: [show] }
    search_path: [public]`;

/** Stands in every text that is not allowed. */
const NOT_ALLOWED = '/*not allowed*/';
const no = (text: string) => text.replace(' ', ` ${NOT_ALLOWED} `);

const ALLOWED = [
  ...USUAL.texts,
  'release s',
  'set transaction isolation level serializable',
  'rollback and chain',
  'insert into T values (1) returning a + 0',
  'insert into T values (1), (2), (3)',
  'delete from T',
  'with gone as (delete from T returning a) select count(*) from gone',
  'update T set a = a + 1 returning a + 0',
  'prepare q as insert into T values (7)',
  'prepare q(int) as delete from T where a = $1',
  'insert into V values (1)',
  'discard all',
  'table T',
  'values (1), (2)',
];
/** What runs what stands under a name. */
const BY_NAME = ['execute q', 'execute q(1)', 'fetch 2 from k', 'move 1 in k'];
const REFUSED = [
  'selekt it',
  'select a from secret',
  'select * from things',
  'select hidden from things',
  'select t.danger from things t',
  'select danger()',
  'select t::text from things t',
  'select * from everything',
  'select * from missing',
  'update things set hidden = null',
  'insert into secret values (1)',
  'with gone as (delete from things returning id) select count(*) from gone',
  'explain analyze delete from things',
  'prepare q as delete from secret',
  'prepare q as select danger()',
  'declare k cursor for select a from secret',
  'create table made (a int)',
  'create table T as select 1 as a',
  'create temp table x as execute q',
  'explain execute q(danger())',
  'drop table secret',
  'truncate secret',
  'lock table secret',
  'vacuum secret',
  'listen l',
  'do $$ begin delete from secret; end $$',
  "select pg_read_file('postgresql.conf')",
  "select set_config('search_path', 'x', false)",
  "select nextval('numbers')",
  'select lo_create(0)',
  'set search_path = x',
  'set role postgres',
  'set session authorization postgres',
  'copy secret to stdout',
  "copy T to program 'true'",
  'copy (delete from secret returning a) to stdout',
  "prepare transaction 'x'",
  'alter table T add b int',
  'select 1; select a from secret',
  'insert into T values (9); delete from secret',
  'begin; delete from secret; commit',
  'commit; delete from secret',
].map(no);
const COPIES = ['copy T from stdin', 'copy T (a) from stdin csv'];
const REFUSED_COPIES = ['copy secret from stdin', 'copy missing from stdin', "copy T from '/etc/passwd'"].map(no);

const WORDS: Vocabulary = {
  texts: [...ALLOWED, ...ALLOWED, ...BY_NAME, ...REFUSED],
  withParameter: [
    ...USUAL.withParameter,
    'insert into T values ($1::int)',
    no('delete from secret where a <> $1::int'),
    no('select hidden from things where id = $1::int'),
  ],
  several: [
    ...USUAL.several,
    'insert into T values (4); select 1/0',
    'begin; insert into T values (5)',
    'rollback; declare k cursor with hold for select id from things order by id; fetch 2 from k',
    'prepare q as select id from things order by id; execute q',
    'deallocate all; prepare q as delete from T; execute q',
    ...BY_NAME,
    ...BY_NAME,
    ...REFUSED.slice(-4),
  ],
  copies: [...COPIES, ...COPIES, ...REFUSED_COPIES],
  copiesAmong: [
    'copy T from stdin; copy T from stdin',
    'select 1; copy T from stdin; select 2',
    'begin; copy T from stdin',
    no('copy T from stdin; select danger()'),
    no('select 1; copy secret from stdin'),
  ],
};

/** What the twin is sent: the draw of what comes next looks for a COPY behind another statement. */
function instead(text: string): string {
  if (!text.includes(NOT_ALLOWED)) return text;
  return text.includes('; copy') ? 'refused; copy' : 'refused';
}

/** The words of one lane, whose tables are its own, for one way. */
function wordsOf(lane: number, change: (text: string) => string): Vocabulary {
  const own = (texts: readonly string[]) =>
    texts.map((text) => change(text.replace(/\bT\b/g, `t${lane}`).replace(/\bV\b/g, `v${lane}`)));
  const { texts, withParameter, several, copies, copiesAmong } = WORDS;
  return {
    texts: own(texts),
    withParameter: own(withParameter),
    several: own(several),
    copies: own(copies),
    copiesAmong: own(copiesAmong),
  };
}

const LOGGED = {
  ...{ logging_collector: 'on', log_destination: 'jsonlog', log_filename: 'statements', log_statement: 'all' },
  // Also what is only parsed or bound, and what fails at that.
  ...{ log_min_duration_statement: '0', log_min_error_statement: 'error', log_min_messages: 'warning' },
};

/** What the server says that it did, for whom. */
interface Logged {
  readonly application_name: string;
  readonly message: string;
  readonly statement?: string;
}

/** What the server did for clients of the database. */
async function logOf(t: Test, server: PostgresServer, database: string): Promise<readonly Logged[]> {
  const admin = await connected(t, server.config());
  const { rows } = await admin.query('show data_directory');
  const text = await readFile(join(rows[0].data_directory, 'log', 'statements.json'), 'utf8');
  const lines = text.split('\n').filter((line) => line !== '');
  return lines
    .map((line) => JSON.parse(line))
    .filter(
      ({ dbname, application_name: name, message }) =>
        dbname === database && !/^(?:daypass-|admin$)/.test(name) && !message.includes(SETUP),
    );
}

/** How often each of the texts is there. */
function counted(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

/** What was run more often than it is recorded, but for what the gateway itself says as it logs in. */
function unrecorded(ran: readonly Logged[], events: readonly RecordedLine[]): readonly string[] {
  const texts = ran.flatMap(({ message }) => /^(?:statement|execute [^:]+): (.*)$/s.exec(message)?.[1] ?? []);
  const actions = events.filter(
    ({ kind, facts }) => kind === 'action' && facts.outcome === 'allow' && /^(?:query|execute)$/.test(`${facts.via}`),
  );
  const recorded = counted(actions.map(({ payload }) => `${payload?.text}`));
  return [...counted(texts.filter((text) => text !== LOOK_FOR_US))].flatMap(([text, times]) =>
    times > (recorded.get(text) ?? 0) ? [text] : [],
  );
}

/**
 * An answer as it can be compared. A refusal is what the twin says to what it cannot parse, or of a name it does not know: which of the
 * two comes first, and whether an aborted transaction does, is another matter. XX000: what it says when it cannot parse something in the
 * odd transaction that a Query in the middle of a pipeline leaves.
 */
function asRefused(said: readonly string[]): string[] {
  return said.map((one) => {
    const [, code = ''] = /^E .*?\\u0000C(\w{5})\\u0000/.exec(one) ?? [];
    const isOurs = one.includes('\\u0000MDaypass: ');
    const isAsOurs = /^(?:26000|34000|25P02)$/.test(code) || (code === '42601' && one.includes('refused'));
    return isOurs || isAsOurs || (code === 'XX000' && one.includes('unexpected state')) ? 'E refused' : one;
  });
}

/**
 * How many steps can be compared. What would run names that stand for nothing yet, or for others, is refused when it is parsed, which the
 * server itself is not. And a Bind that fails in a transaction leaves it a portal of nothing, which we do not know.
 */
function comparable(expected: readonly (readonly string[])[], got: readonly (readonly string[])[]): number {
  const at = got.findIndex((said, step) => {
    if (said.some((one) => /MDaypass: (?:nobody knows|what this name)/.test(one))) return true;
    const there = expected[step] ?? [];
    const first = asRefused(said).findIndex((one, i) => one !== there[i]);
    return there[first] === 'I ""' && said[first]?.includes('MDaypass: ');
  });
  return at === -1 ? got.length : at;
}

for (const mode of ['strict', 'buffered'] as const)
  t.test(`what a role may not do fails as at the server itself, and nothing of it gets there: ${mode}`, async (t) => {
    const [one, other] = [await startTwin(t, SETUP), await startTwin(t, SETUP, LOGGED)];
    const { direct, gateway, parts } = await twinsOver(t, one, other, mode, RULES);
    const admin = (server: PostgresServer) =>
      connected(t, { ...server.config(direct.database), application_name: 'admin' });
    const admins = await Promise.all(LANES.map(() => Promise.all([one, other].map(admin))));
    await compare(t, async ({ random, seed }, lane) => {
      for (const one of admins[lane] ?? []) await one.query(`truncate t${lane}, v${lane}`);
      const script = new Pipelines(
        new Random(seed),
        wordsOf(lane, (text) => text),
      ).steps();
      const twins = new Pipelines(random, wordsOf(lane, instead)).steps();
      const [expected, got] = await Promise.all([
        converse(t, direct, twins, seed, 'select 1'),
        converse(t, gateway, script, seed, 'select 1'),
      ]);
      const most = comparable(expected.map(asRefused), got);
      return { script, expected: expected.slice(0, most).map(asRefused), got: got.slice(0, most).map(asRefused) };
    });
    await parts.stop();
    const ran = await logOf(t, other, direct.database);
    const isReached = ({ message, statement = '' }: Logged) => `${message}${statement}`.includes(NOT_ALLOWED);
    t.same(ran.filter(isReached), [], 'nothing of it reached the server');
    t.same(unrecorded(ran, await parts.events()), [], 'what it ran is in the record');
    t.ok(ran.length > 0);
  });
