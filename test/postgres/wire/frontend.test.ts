import t from 'tap';
import {
  readBind,
  readExecute,
  readParse,
  readQuery,
  readStartupParameters,
  readTarget,
} from '../../../src/postgres/wire/frontend.js';
import { bind, cstring, describe, execute, front, int16, int32, query, start } from '../../support/wire.js';

/** What tells a FramingError from every other. */
const FRAMING = { name: 'FramingError' };

t.test('a text ends exactly at its only NUL', async (t) => {
  t.match(readQuery(query('select 1')), { text: 'select 1', validUtf8: true });
  t.throws(() => readQuery(front('Q', Buffer.from('select 1'))), FRAMING, 'no NUL');
  t.throws(() => readQuery(front('Q', cstring('select 1'), cstring('; drop'))), FRAMING, 'a second text behind it');
  t.throws(() => readQuery(front('Q')), FRAMING, 'empty');
  t.equal(
    readQuery(front('Q', Buffer.from([0x95, 0x5c, 0x27, 0]))).validUtf8,
    false,
    'not UTF-8 is said, to be refused',
  );
});

t.test('a body shorter or longer than it says is refused, at every byte', async (t) => {
  const whole: [(message: Buffer) => unknown, Buffer][] = [
    [readQuery, query('select 1')],
    [readParse, front('P', cstring('s'), cstring('select $1'), int16(1), int32(23))],
    [readBind, bind('p', 's', 'one', 'two')],
    [readExecute, execute('p', 5)],
    [readTarget, describe('S', 's')],
  ];
  for (const [read, message] of whole) {
    t.doesNotThrow(() => read(message));
    for (let end = 5; end < message.length; end += 1) t.throws(() => read(message.subarray(0, end)), FRAMING);
    t.throws(() => read(Buffer.concat([message, Buffer.of(1)])), FRAMING);
  }
});

t.test('a parameter length is held against what is there, and only -1 is null', async (t) => {
  const withLength = (length: number) =>
    front('B', cstring(''), cstring(''), int16(0), int16(1), int32(length), Buffer.from('abc'), int16(0));
  t.same(readBind(withLength(3)).parameters, ['abc']);
  for (const length of [-2, -(2 ** 31), 4, 2 ** 31 - 1])
    t.throws(() => readBind(withLength(length)), FRAMING, String(length));
  const nothing = front('B', cstring(''), cstring(''), int16(0), int16(1), int32(-1), int16(0));
  t.same(readBind(nothing).parameters, [null]);
});

t.test('the record keeps a bounded part of many and of large parameters, and says how long they were', async (t) => {
  const large = readBind(bind('', '', 'x'.repeat(5_000))).parameters[0] ?? '';
  t.equal(large, `${'x'.repeat(1024)}… (5000 bytes)`);
  const { parameters } = readBind(bind('', '', ...Array.from({ length: 5_000 }, () => 'y'.repeat(1_000))));
  t.equal(parameters.length, 5_000);
  t.ok(parameters.join('').length < 64 * 1024 + 5_000 * 20);
  t.match(parameters.at(-1), /\(1000 bytes\)/);
});

t.test('a start-up parameter that stands twice is refused', async (t) => {
  const body = (...texts: string[]) => Buffer.concat([...texts.map(cstring), Buffer.of(0)]);
  t.same(
    [...readStartupParameters(start({ user: 'a', database: 'b' }).subarray(8))],
    [
      ['user', 'a'],
      ['database', 'b'],
    ],
  );
  t.throws(() => readStartupParameters(body('user', 'a', 'user', 'b')), FRAMING);
  t.throws(() => readStartupParameters(body('user')), FRAMING, 'a name without a value');
  t.throws(
    () => readStartupParameters(Buffer.concat([body('user', 'a'), Buffer.of(7)])),
    FRAMING,
    'something behind the end',
  );
});
