import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import t from 'tap';
import { makeScramVerifier, readScramVerifier } from '../../src/grant/scram.js';
import { tlsServerEndPoint } from '../../src/postgres/channel-binding.js';
import { ScramClient } from '../../src/postgres/scram.js';
import { ScramServer } from '../../src/postgres/scram-server.js';
import { selfSigned } from '../support/certificate.js';
import { command } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { startPostgres } from '../support/postgres.js';
import { gatewayToOrders, ordersDatabase } from './fixture.js';

const REFUSED = { name: 'ScramError' };

t.test('psql proves its handle by SCRAM, and nobody else does', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const other = await gateway.issue({ service: 'orders-db', principal: 'bob' });
  const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice+${id}`;
  const count = ['-Atc', 'select count(*) from orders'];
  const done = await command('psql', [target, ...count], { env: { PGPASSWORD: handle } });
  t.match(done, { code: 0, stdout: '1000\n' });
  const wrong = await command('psql', [target, ...count], { env: { PGPASSWORD: other.handle } });
  t.match(wrong, { code: 2, stderr: /no grant has this handle/ });
  const foreign = target.replace(id, other.id);
  const mine = await command('psql', [foreign, ...count], { env: { PGPASSWORD: other.handle } });
  t.match(mine, { code: 2, stderr: /belongs to somebody else/ }, "the principal before the + must be the grant's");
  const unknown = await command('psql', [target.replace(id, 'x'.repeat(22)), ...count], {
    env: { PGPASSWORD: handle },
  });
  t.match(unknown, { code: 2, stderr: /no such grant/i });
  await gateway.operator('POST', `/v1/grants/${id}/renew`, { durationSeconds: 60, reason: 'longer', by: 'ops' });
  t.match(
    await command('psql', [target, ...count], { env: { PGPASSWORD: handle } }),
    { code: 0 },
    'also after a renewal',
  );
});

t.test('over TLS the proof is bound to the gateway certificate (channel_binding=require)', async (t) => {
  const folder = await dataFolder(t);
  const { cert, key } = await selfSigned();
  await writeFile(join(folder, 'cert.pem'), cert);
  await writeFile(join(folder, 'key.pem'), key, { mode: 0o600 });
  const settings = `drain: 0s\ntls: { cert: { file: ${folder}/cert.pem }, key: { file: ${folder}/key.pem } }`;
  const gateway = await gatewayToOrders(t, { settings });
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice+${id} sslmode=require channel_binding=require`;
  const done = await command('psql', [target, '-Atc', 'select 1'], { env: { PGPASSWORD: handle } });
  t.match(done, { code: 0, stdout: '1\n' });
  const ssl = { rejectUnauthorized: false };
  const config: pg.ClientConfig = { user: `alice+${id}`, ssl, enableChannelBinding: true };
  const client = await throughGateway(t, gateway.ports.postgres, handle, config);
  t.same((await client.query('select 2 as two')).rows, [{ two: 2 }]);
  await client.end();
});

t.test('the SCRAM server takes no other nonce, channel, mechanism or downgrade', async (t) => {
  const verifier = readScramVerifier(await makeScramVerifier('secret'))!;
  const binding = Buffer.alloc(32, 7);
  const honest = async (server: ScramServer, client: ScramClient) =>
    server.final(await client.final(server.first('SCRAM-SHA-256', client.first())));
  const client = new ScramClient('secret');
  client.verify(await honest(new ScramServer(verifier, null), client));
  await t.rejects(honest(new ScramServer(verifier, null), new ScramClient('guess')), REFUSED);
  const first = new ScramClient('secret').first();
  const bad: readonly (readonly [string, string, Buffer | null])[] = [
    ['SCRAM-SHA-256-PLUS', first, null],
    ['SCRAM-SHA-256-PLUS', first, binding],
    ['SCRAM-SHA-256', first.replace(/^n/, 'p=tls-server-end-point'), binding],
    ['SCRAM-SHA-256', first.replace(/^n/, 'y'), binding],
    ['SCRAM-SHA-256', first.replace(/^n/, 'p=tls-unique'), null],
    ['SCRAM-SHA-1', first, null],
    ['SCRAM-SHA-256', 'n,,n=,r=', null],
    ['SCRAM-SHA-256', `n,,n=,r=${'x'.repeat(300)}`, null],
    ['SCRAM-SHA-256', '', null],
  ];
  for (const [mechanism, message, bound] of bad) {
    t.throws(
      () => new ScramServer(verifier, bound).first(mechanism, message),
      REFUSED,
      `${mechanism} ${message.slice(0, 30)}`,
    );
  }
  for (const final of ['', 'c=biws,r=other,p=AAAA', `c=eSws,r=x,p=${'A'.repeat(43)}=`]) {
    const server = new ScramServer(verifier, null);
    server.first('SCRAM-SHA-256', first);
    t.throws(() => server.final(final), REFUSED);
  }
});

t.test(
  'the login at a TLS upstream is bound to its certificate: the server that offers it accepts nothing else',
  async (t) => {
    const { cert, key } = await selfSigned();
    const files = { 'server.crt': cert, 'server.key': key };
    const settings = (folder: string) => ({
      ssl: 'on',
      ssl_cert_file: join(folder, 'server.crt'),
      ssl_key_file: join(folder, 'server.key'),
    });
    const server = await startPostgres(t, { files, settings });
    const orders = await ordersDatabase(t, server);
    const policy = orders
      .policy()
      .replace(/password: \{ env: READER_PASSWORD \} \}/, 'password: { env: READER_PASSWORD }, tls: require }');
    const gateway = await startGateway(t, { services: { 'orders-db': policy }, env: orders.env });
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    const { rows } = await client.query('select count(*)::int as n from orders');
    t.same(rows, [{ n: 1000 }]);
    const [row] = await orders.database.query<{ ssl: boolean }>(
      "select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.usename like 'reader%'",
    );
    t.equal(row?.ssl, true);
    await client.end();
    const binding = tlsServerEndPoint(new X509Certificate(cert).raw);
    t.equal(binding?.length, 32);
    const verifier = readScramVerifier(await makeScramVerifier('secret'))!;
    const bound = new ScramServer(verifier, binding);
    const honest = new ScramClient('secret', binding!);
    honest.verify(bound.final(await honest.final(bound.first('SCRAM-SHA-256-PLUS', honest.first()))));
    const relayed = new ScramServer(verifier, binding);
    const elsewhere = new ScramClient('secret', Buffer.alloc(32));
    const final = await elsewhere.final(relayed.first('SCRAM-SHA-256-PLUS', elsewhere.first()));
    t.throws(() => relayed.final(final), REFUSED, 'a proof made for another certificate');
  },
);
