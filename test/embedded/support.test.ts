import t from 'tap';
import { command, curl, psql } from '../support/commands.js';
import { freshDatabase, startPostgres } from '../support/postgres.js';
import { redisClient, startRedis } from '../support/redis.js';

t.test('each test has an empty database of its own', async (t) => {
  const first = await freshDatabase(t);
  const second = await freshDatabase(t);
  await first.query('create table only_here ()');
  t.same(await second.query("select to_regclass('only_here') as table"), [{ table: null }]);
  const seen = await psql(first.url, 'select 40 + 2');
  t.match(seen, { stdout: '42\n', code: 0 });
});

t.test('a server of a test can be paused, crashed and started again with its data', async (t) => {
  const server = await startPostgres(t, { durable: true });
  const database = await freshDatabase(t, server);
  await database.query('create table kept as select 7 as n');
  await server.pause();
  const stuck = await psql(database.url, 'select 1', { timeout: 300 });
  t.equal(stuck.timedOut, true);
  await server.resume();
  await server.crash();
  t.not((await psql(database.url, 'select 1')).code, 0);
  await server.restart();
  t.same(await database.query('select n from kept'), [{ n: 7 }]);
});

t.test('redis is empty, pauses, dies and returns on the same port', async (t) => {
  const redis = await startRedis(t);
  const client = redisClient(t, redis);
  t.equal(await client.set('a', '1'), 'OK');
  redis.pause();
  redis.resume();
  t.equal(await client.get('a'), '1');
  await redis.kill();
  await redis.restart();
  const again = redisClient(t, redis);
  t.equal(await again.get('a'), null);
});

t.test('a command that does not end is killed, and says so', async (t) => {
  t.match(await command('sleep', ['60'], { timeout: 100 }), { timedOut: true, signal: 'SIGKILL' });
  t.match(await curl(['http://127.0.0.1:1/']), { code: 7 });
});
