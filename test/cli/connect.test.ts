import t from 'tap';
import { addPeople, DUTIES } from '../api/ground.js';
import { gatewayToOrders } from '../postgres/fixture.js';
import { atHome } from './home.js';

const QUIET = ['-X', '-A', '-t', '-w'];

t.test('connect', async (t) => {
  const gateway = await gatewayToOrders(t, { settings: DUTIES });
  await addPeople(gateway);
  const alice = await atHome(t, gateway, 'alice');
  const bob = await atHome(t, gateway, 'bob');

  t.test('psql runs through a tunnel without a password, and its exit code is that of the command', async (t) => {
    await gateway.issue({ service: 'orders-db' });
    const words = ['connect', 'orders-db', '--exec', '--', 'psql', ...QUIET, '{}', '-c'];
    const asked = await alice.daypass([...words, 'select count(*) from orders']).finished;
    t.match(asked, { code: 0, stdout: '1000\n' }, asked.stderr);
    const refused = await alice.daypass([...words, 'delete from orders']).finished;
    t.match(refused, { code: 1, stderr: /does not allow|not allowed|42501|Daypass/ });
    const opened = (await gateway.events()).filter(({ kind }) => kind === 'open');
    t.match(opened.at(-1)?.facts, { via: 'tunnel', principal: 'alice', service: 'orders-db', role: 'reader' });
  });

  t.test('a client that is given no address finds it in its environment', async (t) => {
    const words = ['connect', 'orders-db', '--exec', '--', 'psql', ...QUIET, '-c', 'select 1'];
    t.match(await alice.daypass(words).finished, { code: 0, stdout: '1\n' });
    t.match(await alice.daypass(['connect', 'orders-db', '--exec', '--', 'sh', '-c', 'exit 7']).finished, { code: 7 });
  });

  t.test('whoever has no access is told how to ask for it', async (t) => {
    t.match(await bob.daypass(['connect', 'orders-db']).finished, {
      code: 1,
      stderr: /daypass request --service orders-db/,
    });
  });
});
