import { join } from 'node:path';
import t from 'tap';
import { Countdown } from '../../src/cli/countdown.js';
import { AccessWatch, type ToldGrant } from '../../src/cli/held-access.js';
import { addPeople } from '../api/ground.js';
import { gatewayToOrders } from '../postgres/fixture.js';
import { tunnelled } from '../postgres/tunnel.js';
import { selfSigned } from '../support/certificate.js';
import { command } from '../support/commands.js';
import type { TestGateway } from '../support/gateway.js';
import { waitUntil } from '../support/wait.js';
import { ground, portTold, TASK } from './ground.js';
import { MAIN } from './home.js';

/** What was told of a grant whose hours are over since. */
const SINCE: ToldGrant = {
  ...{ grant: '', role: 'reader', notBefore: '', expiresAt: '', window: null, until: '', ends: 'hours_over' },
  ...{ outside: null, secondsLeft: 0, begun: true, suspended: false, only: null },
};
const PSQL = ['connect', 'orders-db', '--exec', '--', 'psql', '-X', '-A', '-t', '-w'];

async function issue({ issue }: TestGateway, principal: string, duration = '10m') {
  return issue({ service: 'orders-db', principal, for: duration });
}

t.test('daypass connect', async (t) => {
  const there = await ground(t);
  const [alice, bob, lee] = [await there.home('alice'), await there.home('bob'), await there.home('lee')];

  t.test(
    'psql and curl run through tunnels without a password, and their exit code is that of the command',
    async (t) => {
      await issue(there.gateway, 'alice');
      await there.gateway.issue({ service: 'web' });
      const asked = await alice.daypass([...PSQL, '{}', '-c', 'select count(*) from orders']).finished;
      t.match(asked, { code: 0, stdout: '1000\n' }, asked.stderr);
      const script = 'psql -XAtc "delete from orders"; exit 7';
      const told = await alice.daypass(['connect', 'orders-db', '--exec', '--', 'sh', '-c', script]).finished;
      t.match(told, { code: 7, stderr: /outside the role/ }, 'without {} the address is in the environment');
      const curl = ['curl', '-q', '-sS', '--noproxy', '*', '{}a?b=c'];
      const page = await alice.daypass(['connect', 'web', '--exec', '--', ...curl]).finished;
      t.match(page, { code: 0, stdout: /"daypass-assertion"/ }, page.stderr);
      const inFolder = 'stat -c %a "$DAYPASS_SOCKET" "$PGHOST" && psql -XAtc "select 2 as two"';
      const socket = ['--socket', join(there.gateway.dataDirectory, 'sockets', "o'malley")];
      const bySocket = ['connect', 'orders-db', ...socket, '--exec', '--'];
      const local = await alice.daypass([...bySocket, 'sh', '-c', inFolder]).finished;
      t.match(local, { code: 0, stdout: '600\n700\n2\n' }, local.stderr);
      const named = await alice.daypass([...bySocket, 'psql', '-XAt', '{}', '-c', 'select 3']).finished;
      t.match(named, { code: 0, stdout: '3\n' }, 'a folder is a host that clients understand');
      const opened = (await there.gateway.events()).filter(({ kind }) => kind === 'open');
      t.match(
        opened.map(({ facts }) => facts.via),
        new Array(5).fill('tunnel'),
      );
    },
  );

  t.test('whoever has no access, or no login, is told how to come to one', async (t) => {
    t.match(await bob.daypass(['connect', 'orders-db']).finished, {
      code: 1,
      stderr: /daypass request --service orders-db/,
    });
    const nobody = {
      env: { XDG_CONFIG_HOME: '/nonexistent', DAYPASS_GATEWAY: `http://localhost:${there.front.port}` },
    };
    t.match(await bob.daypass(['connect', 'orders-db'], nobody).finished, { code: 5, stderr: /daypass login/ });
  });

  t.test('at the end of a grant, or its revocation, the client, the person and the exit code say why', async (t) => {
    for (const end of ['expired', 'revoked']) {
      const { id } = await issue(there.gateway, 'bob', end === 'expired' ? '8s' : '10m');
      const running = bob.daypass(['connect', 'orders-db', '--grant', id]);
      const client = await tunnelled(t, await portTold(running));
      const told = new Promise<string>((resolve) => client.once('error', ({ message }) => resolve(message)));
      if (end === 'revoked')
        await there.gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'enough seen', by: 'ops' });
      t.match(await told, new RegExp(`Daypass ended this session: the grant (has|was) ${end}`));
      const { code, stderr } = await running.finished;
      t.equal(code, 6, stderr);
      t.match(stderr, end === 'expired' ? /is over: its time is over/ : /is over: it was revoked by ops: enough seen/);
      t.match(stderr, new RegExp(`ended a connection: ${end}`));
    }
  });

  t.test('r and a time renew what comes from a request: the open connection goes on', async (t) => {
    const wanted = { service: 'orders-db', task: TASK, seconds: 600 };
    const { id } = await there.ask(bob.token, '/requests', wanted);
    await there.ask(lee.token, `/requests/${id}/approve`, { comment: 'go ahead' });
    await there.ask(bob.token, `/requests/${id}/activate`, {});
    const running = bob.daypass(['connect', 'orders-db'], { input: 'r 5m not done yet\n' });
    const port = await portTold(running);
    const client = await tunnelled(t, port);
    const { stdout } = await bob.daypass(['services']).finished;
    t.match(stdout, /^orders-db .* reader until .* left\)$/m);
    t.match(stdout, `psql 'postgresql://bob@127.0.0.1:${port}/orders-db?sslmode=disable'`, 'at the usual port');
    t.match(stdout, `jdbc:postgresql://127.0.0.1:${port}/orders-db?user=bob&sslmode=disable`);
    await running.shows(/renewed; what is open stays open[\s\S]*your access ends at .* in 14:/);
    t.match((await client.query('select 1 as one')).rows, [{ one: 1 }]);
    t.match(await there.gateway.ledger.query('select from daypass.grants where renewals = 1'), [{}]);
    running.process.kill('SIGINT');
    t.match(await running.finished, { code: 0 });
  });

  t.test('where a grant has weekly hours, what is left goes by their end, and their words say why', async (t) => {
    const minute = (ahead: number) => new Date(Date.now() + ahead * 60_000).toISOString().slice(11, 16);
    const within = async (hours: string) => {
      const wanted = { service: 'orders-db', task: TASK, seconds: 14_000, hours };
      const { id } = await there.ask(bob.token, '/requests', wanted);
      await there.ask(lee.token, `/requests/${id}/approve`, { comment: 'go ahead' });
      await there.ask(bob.token, `/requests/${id}/activate`, {});
      const made = `select grant_id as id from daypass.access_requests where id = '${id}'`;
      return String((await there.gateway.ledger.query<{ id: string }>(made))[0]?.id);
    };
    const open = `Mon-Sun ${minute(-60)}-${minute(14)} UTC`;
    const running = bob.daypass(['connect', 'orders-db', '--grant', await within(open)]);
    const said = await running.shows(/hours +Mon-Sun .* UTC/);
    t.match(said, new RegExp(`left +1[234]:.* until .*\\n *hours +${open}`));
    running.process.kill('SIGINT');
    await running.finished;
    const shut = await within(`Mon-Sun ${minute(120)}-${minute(180)} UTC`);
    t.match(await bob.daypass(['connect', 'orders-db', '--grant', shut]).finished, {
      code: 1,
      stderr: /This grant is for Mon-Sun .* UTC; it opens next on /,
    });
    const { stdout } = await bob.daypass(['services']).finished;
    t.match(stdout, new RegExp(`reader until .*, ${open} \\(1[234]:\\d\\d left\\)`));
    t.match(stdout, / UTC \(closed now\)/);
    const over = await new Promise<string>((resolve) => {
      const of = {
        gateway: `http://localhost:${there.front.port}`,
        token: bob.token,
        service: 'orders-db',
        grant: shut,
      };
      const first = { protocol: 'postgres', grant: { ...SINCE, grant: shut } };
      const countdown = new Countdown({ monotonic: () => 0, wall: () => 0 });
      const nothing = { tick: () => {}, told: () => {}, unreachable: () => {}, loginOver: () => {} };
      const watch = new AccessWatch(of, first, countdown, { ...nothing, over: resolve });
      t.teardown(() => watch.stop());
    });
    t.match(over, /This grant is for .*; it opens next on /, 'whose hours end while it is used is told the same');
  });

  t.test('while the gateway is started anew, what is new waits and what was under way is not sent again', async (t) => {
    const running = alice.daypass(['connect', 'orders-db']);
    const port = await portTold(running);
    const client = await tunnelled(t, port);
    const pending = client.query('select pg_sleep(60)').then(
      () => 'done',
      (error: Error) => error.message,
    );
    await waitUntil('the statement', async () => {
      const running =
        "select from pg_stat_activity where datname = current_database() and query ~ 'pg_sleep.60' and pid <> pg_backend_pid()";
      return (await there.orders.database.query(running)).length > 0;
    });
    const start = await there.stop();
    t.match(await pending, /shutting down|terminated/);
    await running.shows(/the gateway ended a connection: shutdown|a connection broke off/);
    const waiting = tunnelled(t, port);
    await running.shows(/the gateway cannot be reached/);
    await start();
    t.match((await (await waiting).query('select 1 as one')).rows, [{ one: 1 }]);
    const sent = (await there.gateway.events()).filter(
      ({ kind, payload }) => kind === 'action' && /pg_sleep/.test(JSON.stringify(payload)),
    );
    t.equal(sent.length, 1, 'the statement stands in the record once');
    there.front.drop();
    await running.shows(/a connection broke off\. Whether what was under way was done cannot be known/);
    t.match(
      (await (await tunnelled(t, port)).query('select 2 as two')).rows,
      [{ two: 2 }],
      'the next one is a new tunnel',
    );
    running.process.kill('SIGTERM');
    t.match(await running.finished, { code: 0 });
  });

  t.test('when the login is over, so is what it opened', async (t) => {
    const running = alice.daypass(['connect', 'orders-db']);
    const client = await tunnelled(t, await portTold(running));
    const told = new Promise<string>((resolve) => client.once('error', ({ message }) => resolve(message)));
    await there.gateway.operator('POST', '/v1/logouts', { principal: 'alice', reason: 'a lost laptop', by: 'ops' });
    t.match(await told, /logged out/);
    t.match(await running.finished, { code: 5, stderr: /daypass login/ });
  });
});

t.test('over TLS, from the login to the first row', async (t) => {
  const { cert, key } = await selfSigned('localhost');
  const settings = 'tls: { cert: { file: cert.pem }, key: { file: key.pem } }\ndrain: 0s';
  const gateway = await gatewayToOrders(t, { settings, files: { 'cert.pem': cert, 'key.pem': key } });
  await addPeople(gateway);
  await gateway.issue({ service: 'orders-db' });
  const asked = { principal: 'alice', reason: 'a test', by: 'ops' };
  const { url } = (await gateway.operator('POST', '/v1/login-links', asked)).body;
  const env = {
    XDG_CONFIG_HOME: gateway.dataDirectory,
    NODE_EXTRA_CA_CERTS: join(gateway.configDirectory, 'cert.pem'),
  };
  const run = (...words: string[]) =>
    command(process.execPath, [MAIN, ...words], {
      env: { ...env, DAYPASS_DATA: undefined, DAYPASS_GATEWAY: undefined },
    });
  t.match(await run('login', '--link', String(url)), { code: 0, stdout: /^logged in at https:/ });
  const counted = await run(...PSQL, '{}', '-c', 'select count(*) from orders');
  t.match(counted, { code: 0, stdout: '1000\n' }, counted.stderr);
});
