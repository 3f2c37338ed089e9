import t from 'tap';
import { gatewayToOrders } from '../postgres/fixture.js';
import { facing, honest, READY } from '../postgres/hostile.js';
import { command } from '../support/commands.js';
import { cstring, front, loggedIn, query, type WireMessage } from '../support/wire.js';

function settings(messages: readonly WireMessage[]): Map<string, string> {
  const reported = messages.filter(({ type }) => type === 'S').map(({ body }) => body.toString().split('\0'));
  return new Map(reported.map(([name = '', value = '']) => [name, value]));
}

t.test('no message that a client did not ask for names the account of the gateway', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { hello } = await loggedIn(t, gateway.ports.postgres, handle);
  t.equal(settings(hello).get('session_authorization'), 'alice');
  t.equal(settings(hello).get('is_superuser'), 'off', 'said as it is');
  t.notMatch(Buffer.concat(hello.map(({ body }) => body)).toString(), /reader_/);
  const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice`;
  const prompt = ['-c', '\\echo :USER', '-c', '\\conninfo'];
  const { stdout } = await command('psql', [target, ...prompt], { env: { PGPASSWORD: handle } });
  t.match(stdout, /alice/);
  t.notMatch(stdout, /reader_/);
});

t.test(
  'C22: nor when the server reports it again; another user that the session became is told as it is',
  async (t) => {
    const { gatewayPort, handle } = await facing(
      t,
      honest((server) => {
        for (const user of ['postgres', 'daypass_reader'])
          server.send(front('S', cstring('session_authorization'), cstring(user)));
        server.send(
          front('S', cstring('application_name'), cstring('daypass_reader')),
          front('C', cstring('RESET')),
          READY,
        );
      }),
    );
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(query('reset session authorization'));
    const answer = await client.until();
    const users = answer.filter(({ type }) => type === 'S').map(({ body }) => body.toString());
    t.same(users, [
      'session_authorization\0postgres\0',
      'session_authorization\0alice\0',
      'application_name\0daypass_reader\0',
    ]);
  },
);
