import { join } from 'node:path';
import t from 'tap';
import { isLoopback, parseAddress, parseWebAddress } from '../../src/config/address.js';
import { parseDuration } from '../../src/config/duration.js';
import { readEnvFile, withEnvFile } from '../../src/config/env-file.js';
import { nearest } from '../../src/config/nearest.js';
import { nameSchema, standInSchemas, valueSchemas } from '../../src/config/values.js';

t.test('durations are whole numbers with a unit, in seconds, ten years at most', async (t) => {
  t.strictSame(
    ['1s', '90s', '10m', '4h', '7d', '3650d'].map(parseDuration),
    [1, 90, 600, 14_400, 604_800, 315_360_000],
  );
  for (const text of [
    '',
    '0s',
    '01s',
    '1',
    '1w',
    '1.5h',
    '-1s',
    '1h30m',
    ' 1s',
    '1s\n',
    '3651d',
    `${'9'.repeat(400)}d`,
  ]) {
    t.equal(parseDuration(text), undefined, JSON.stringify(text));
  }
});

t.test('addresses are a host and a port; what resolvers disagree about is none', async (t) => {
  t.strictSame(parseAddress('[::1]:80'), { host: '::1', port: 80 });
  t.strictSame(parseAddress('db-1.internal:5432'), { host: 'db-1.internal', port: 5432 });
  const bad = [
    '127.0.0.1',
    ':80',
    '127.1:80',
    '0x7f.1:80',
    '1:80',
    'a..b:80',
    '-a:80',
    'a:65536',
    'a:-1',
    '::1:80',
    '[::g]:80',
  ];
  for (const text of [...bad, 'a b:80', 'a:80/x', 'http://a:80', 'u@a:80', 'a:80\n', 'a_b:80', '[fe80::1%lo]:80']) {
    t.equal(parseAddress(text), undefined, JSON.stringify(text));
  }
});

t.test('web addresses carry no credentials, query, fragment or second reading', async (t) => {
  const plain = { href: 'http://127.0.0.1:7080', origin: 'http://127.0.0.1:7080', basePath: '' };
  t.strictSame(parseWebAddress('http://127.0.0.1:7080/'), plain);
  t.equal(parseWebAddress('https://Orders.test/base/')?.href, 'https://orders.test/base');
  const bad = ['ftp://a', 'http://u:p@a', 'http://a/?q', 'http://a/#f', 'http://a\\b', 'http:/a', 'http://', 'a:80'];
  for (const text of [...bad, ' http://a', 'http://a\n', 'http://a:99999']) {
    t.equal(parseWebAddress(text), undefined, JSON.stringify(text));
  }
});

t.test('only loopback counts as loopback', async (t) => {
  t.ok(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].every(isLoopback));
  t.notOk(['0.0.0.0', '::', '10.0.0.1', '127.evil.test', 'localhost.evil.test', '::ffff:10.0.0.1'].some(isLoopback));
});

t.test('a secret comes from the environment or a file, and is never empty', async (t) => {
  const directory = t.testdir({ password: 's3cret\n', windows: 's3cret\r\n', empty: '\n' });
  const { secret } = valueSchemas({ env: { A: 'from-env', B: '' }, directory });
  t.equal(secret.parse({ env: 'A' }), 'from-env');
  t.equal(secret.parse({ file: 'password' }), 's3cret');
  t.equal(secret.parse({ file: 'windows' }), 's3cret');
  t.equal(secret.parse({ file: join(directory, 'password') }), 's3cret');
  const bad = [{ env: 'B' }, { env: 'C' }, { file: 'empty' }, { file: 'absent' }, { file: '.' }, 'literal', {}, null];
  for (const reference of [...bad, { env: 'A', file: 'password' }, { env: 'A', default: 'x' }]) {
    t.equal(secret.safeParse(reference).success, false, JSON.stringify(reference));
  }
});

t.test('an address or a web address may come from the environment, else from its default', async (t) => {
  const { address, url } = valueSchemas({ env: { AT: 'db:5432', WEB: 'http://u:hunter2@web' }, directory: '/' });
  t.strictSame(address.parse({ env: 'AT', default: '127.0.0.1:1' }), { host: 'db', port: 5432 });
  t.strictSame(address.parse({ env: 'NONE', default: '127.0.0.1:1' }), { host: '127.0.0.1', port: 1 });
  t.equal(address.safeParse({ env: 'NONE' }).success, false);
  t.equal(address.safeParse('127.0.0.1:0').success, false, 'port 0 cannot be dialled');
  const refused = url.safeParse({ env: 'WEB' });
  t.match(refused.error?.message, /WEB/);
  t.notMatch(refused.error?.message, /hunter2/);
});

t.test('stand-ins look at the form alone', async (t) => {
  const { secret, address, url } = standInSchemas();
  t.equal(secret.parse({ env: 'NOT_SET' }), 'stand-in');
  t.equal(secret.safeParse('literal').success, false);
  t.strictSame(address.parse({ env: 'NOT_SET' }), { host: 'localhost', port: 1 });
  t.equal(url.parse('anything').origin, 'http://localhost:1');
});

t.test('names are lower-case and at most 63 characters', async (t) => {
  t.ok(['a', 'orders-db', 'a'.repeat(63)].every((name) => nameSchema.safeParse(name).success));
  t.notOk(['', '1a', 'A', 'a_b', 'a.b', 'a\n', 'a'.repeat(64)].some((name) => nameSchema.safeParse(name).success));
});

t.test('the nearest known word is offered only when it is near', async (t) => {
  const known = ['statements', 'relations', 'allow'];
  t.equal(nearest('statement', known), 'statements');
  t.equal(nearest('alolw', known), 'allow');
  t.equal(nearest('zzz', known), undefined);
  t.equal(nearest('x', []), undefined);
});

t.test('an environment file fills in what is not set, and a line of another kind is not repeated', async (t) => {
  const directory = t.testdir({ 'samples.env': '# samples\n\nA=1\nB=x=y "z"\r\n', 'odd.env': 'A=1\nhunter2\n' });
  t.strictSame(withEnvFile({ A: 'mine' }, join(directory, 'samples.env')), { A: 'mine', B: 'x=y "z"' });
  t.strictSame(readEnvFile(join(directory, 'absent.env')), {});
  t.throws(() => readEnvFile(join(directory, 'odd.env')), {
    code: 'env_file',
    message: /odd.env:2: expected KEY=VALUE$/,
  });
});
