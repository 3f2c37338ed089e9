import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { connected, startPostgres } from '../../support/postgres.js';
import { tapProxy } from '../../support/tap-proxy.js';
import { int32, packet, query } from '../../support/wire.js';
import { DATABASE, enter, twinsOver } from './twins.js';

const CANCEL = 80877102;

t.test('a cancel request for a statement that still waits for its record goes to the server behind it', async (t) => {
  const server = await startPostgres(t);
  const { host, user, password, port } = server;
  const admin = await connected(t, server.config());
  await admin.query(`create database ${DATABASE}`);
  const proxy = await tapProxy(t, host, port);
  const { gateway, parts } = await twinsOver(t, server, { user, password, port: proxy.port });
  const { client, hello } = await enter(t, gateway);
  const key = hello.find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8);
  const blocker = await parts.ledger.client();
  await blocker.query('begin; lock table daypass.blocks in access exclusive mode');
  proxy.forget();
  client.send(query('select pg_sleep(5)'));
  await waiting(parts.ledger.query);
  const request = connect(gateway.port, gateway.host).resume();
  request.end(packet(CANCEL, key));
  await once(request, 'close');
  t.equal(proxy.seen().length, 0, 'nothing has been forwarded');
  await blocker.query('commit');
  await client.until();
  const seen = proxy.seen();
  t.ok(seen.indexOf(int32(CANCEL)) > seen.indexOf('pg_sleep'));
});

/** Resolves when the recorder waits for the blocked table. */
async function waiting(ask: (sql: string) => Promise<unknown[]>): Promise<void> {
  const text = "select 1 from pg_locks where not granted and relation = 'daypass.blocks'::regclass";
  while ((await ask(text)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
