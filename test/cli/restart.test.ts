import t from 'tap';
import { localPort, tunnelled } from '../postgres/tunnel.js';
import { startPsql } from '../support/commands.js';
import { waitUntil } from '../support/wait.js';
import { ground, portTold } from './ground.js';

t.test('a gateway that is started anew with somebody connected', async (t) => {
  const there = await ground(t, { drain: '4s' });
  await there.gateway.issue({ service: 'orders-db' });
  const alice = await there.home('alice');
  const running = alice.daypass(['connect', 'orders-db'], { timeout: 60_000 });
  const port = await portTold(running);
  await tunnelled(t, port);
  const impatient = await localPort(t, { ports: { http: there.front.port } }, alice.token, 'orders-db', 1_000);
  const before = there.gateway;
  const stopping = there.stop();
  const address = `postgresql://alice@127.0.0.1:${port}/orders-db`;
  const client = startPsql(address, ['-c', "select 'came through'"], {
    env: { PGCONNECT_TIMEOUT: '0' },
    timeout: 60_000,
  });
  const hopeless = tunnelled(t, impatient.port);
  hopeless.catch(() => {});
  await running.shows(/the gateway is stopping: what is new waits/);
  const start = await stopping;
  await waitUntil('the impatient one', () => impatient.told.some((one) => one.startsWith('refused')));
  t.equal(impatient.told.at(-1), 'refused no_gateway', 'nobody gives up while the gateway stops');
  await t.rejects(hopeless);
  await start();
  t.match(
    await client.finished,
    { code: 0, stdout: 'came through\n' },
    'what is new waits for the drain, and the start',
  );
  await running.shows(/the gateway can be reached again/);
  running.process.kill('SIGINT');
  const { stderr } = await running.finished;
  t.equal(stderr.match(/the gateway is stopping/g)?.length, 1, stderr);
  t.equal(stderr.match(/can be reached again/g)?.length, 1, 'nor does it come and go');
  const refused = before.lines.filter(({ code }) => code === 'shutting_down');
  t.match(refused, [{ level: 30, msg: 'the API refused', err: undefined }]);
});
