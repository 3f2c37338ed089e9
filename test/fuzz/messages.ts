import * as wire from '../support/wire.js';
import type { Random } from './random.js';

const { cstring, front, int16, int32 } = wire;

const NAMES = ['', '', 's', 'p', 'a name', 'é', 'x'.repeat(70)];
const TEXTS = [
  'select 1',
  'select id from orders order by id',
  'select $1::int + $2',
  '',
  ';',
  'select 1; select 2',
  'begin',
  'commit',
  'rollback',
  'select 1/0',
  'selekt',
  "select 'é', $$x$$ -- c",
  'copy orders to stdout',
  'copy orders from stdin',
  'copy scratch from stdin',
  'prepare s as select 1',
  'execute s',
  'deallocate all',
  'declare p cursor for select 1',
  'fetch all from p',
  'update orders set amount = 0',
  "set datestyle = 'German'",
  'listen x',
  "do $$ begin raise notice 'x'; end $$",
  'delete from scratch',
  "insert into scratch values (1, 'x')",
  'with gone as (delete from scratch returning *) select * from gone',
  'explain analyze update scratch set id = 1',
  'select * from orders where id = 1 for update',
  "select nextval('numbers')",
  'set transaction_read_only = off',
  'begin read write',
];

const values = (random: Random) =>
  Array.from({ length: random.below(3) }, () => (random.chance(0.2) ? null : random.bytes(random.below(5))));

function bind(random: Random): Buffer {
  const formats = Array.from({ length: random.below(3) }, () => int16(random.pick([0, 1, 2])));
  const given = values(random);
  return front(
    'B',
    ...[cstring(random.pick(NAMES)), cstring(random.pick(NAMES)), int16(formats.length), ...formats],
    ...[int16(given.length), ...given.flatMap((one) => (one === null ? [int32(-1)] : [int32(one.length), one]))],
    int16(0),
  );
}

/** One legal message of a client. */
export function fromClient(random: Random): Buffer {
  const kinds: readonly (() => Buffer)[] = [
    () => wire.query(random.pick(TEXTS)),
    () => wire.query(random.pick(TEXTS)),
    () => wire.parse(random.pick(NAMES), random.pick(TEXTS)),
    () => bind(random),
    () => wire.execute(random.pick(NAMES), random.below(3)),
    () => Buffer.concat([wire.parse('', random.pick(TEXTS)), wire.bind('', ''), wire.execute(''), wire.sync()]),
    () => wire.describe(random.pick(['S', 'P']), random.pick(NAMES)),
    () => wire.close(random.pick(['S', 'P']), random.pick(NAMES)),
    () => wire.sync(),
    () => wire.sync(),
    () => wire.flush(),
    () => front('d', random.bytes(random.below(40))),
    () => front('d', Buffer.from('1\tx\n')),
    () => front('c'),
    () => front('f', cstring('no')),
    () => front('F', int32(random.pick([177, 957, 1])), int16(0), int16(0), int16(0)),
  ];
  return random.pick(kinds)();
}

const report = (severity: string, code: string) =>
  Buffer.concat([
    cstring(`S${severity}`),
    cstring(`V${severity}`),
    cstring(`C${code}`),
    cstring('Mfuzz'),
    Buffer.of(0),
  ]);

/** One message of a server that is legal somewhere. */
export function fromServer(random: Random): Buffer {
  const text = random.bytes(random.below(12));
  const kinds: readonly (() => Buffer)[] = [
    () => front('1'),
    () => front('2'),
    () => front('3'),
    () => front('n'),
    () => front('s'),
    () => front('I'),
    () => front('c'),
    () => front('t', int16(1), int32(23)),
    () => front('T', int16(1), cstring('a'), int32(0), int16(0), int32(23), int16(4), int32(-1), int16(0)),
    () => front('D', int16(1), int32(text.length), text),
    () => front('D', int16(2), int32(-1), int32(3), Buffer.from('abc')),
    () => front('C', cstring(random.pick(['SELECT 1', 'INSERT 0 1', 'BEGIN', 'CREATE TABLE', 'COPY 3']))),
    () => front('E', report('ERROR', '42601')),
    () => front('E', report('FATAL', '57P01')),
    () => front('N', report('NOTICE', '00000')),
    () => front('A', int32(1), cstring('channel'), cstring('payload')),
    () => front('S', cstring(random.pick(['TimeZone', 'client_encoding'])), cstring('x')),
    () => front('G', Buffer.of(0), int16(1), int16(0)),
    () => front('H', Buffer.of(0), int16(1), int16(0)),
    () => front('d', text),
    () => front('V', int32(-1)),
    () => front('Z', Buffer.from(random.pick(['I', 'T', 'E']))),
  ];
  return random.pick(kinds)();
}

/** What a server would really answer a message of this type with. */
export function answerTo(type: string, random: Random): Buffer {
  const ready = front('Z', Buffer.from('I'));
  const row = front('D', int16(1), int32(1), Buffer.from('1'));
  const rows = Array.from({ length: random.below(9) }, () => row);
  const done = front('C', cstring(`SELECT ${rows.length}`));
  const described = front('T', int16(1), cstring('a'), int32(0), int16(0), int32(23), int16(4), int32(-1), int16(0));
  const answers: Readonly<Record<string, readonly Buffer[]>> = {
    Q: [described, ...rows, done, ready],
    P: [front('1')],
    B: [front('2')],
    D: [described],
    E: [...rows, done],
    C: [front('3')],
    S: [ready],
    F: [front('V', int32(-1)), ready],
  };
  return Buffer.concat(answers[type] ?? []);
}
