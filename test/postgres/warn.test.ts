import t from 'tap';
import { cstring, fields, front, int16, int32, loggedIn, query, type WireClient } from '../support/wire.js';
import { facing, honest, READY } from './hostile.js';

const row = (text: string) => front('D', int16(1), int32(text.length), Buffer.from(text));

t.test(
  'what the client is to be told comes behind the message that is half-sent, not at the end of the rows',
  async (t) => {
    // Larger than what the gateway keeps back to give a message whole.
    const whole = row('a'.repeat(100_000));
    const steps: ((server: WireClient) => void)[] = [
      (server) => server.send(whole.subarray(0, 50)),
      // Every chunk of a long result may end in the middle of a row.
      (server) => server.send(whole.subarray(50), whole, whole.subarray(0, 50)),
      (server) => server.send(whole.subarray(50), front('C', cstring('SELECT 3')), READY),
    ];
    let upstream: WireClient | undefined;
    const { gatewayPort, gate, grants } = await facing(
      t,
      honest((server) => {
        upstream = server;
        steps[0]?.(server);
      }),
    );
    const { grant, handle } = grants.add({ service: 'orders-db', role: 'master' });
    const { client } = await loggedIn(t, gatewayPort, handle);
    client.send(query('select 1'));
    const begun = await client.bytes(50);
    const extended = { ...grant, renewals: 1, expiresAt: grant.expiresAt + 60_000 };
    grants.held.set(grant.id, { ok: true, grant: extended });
    gate.live.recheck(grant.id);
    while (gate.live.registry.all()[0]?.expiresAt !== extended.expiresAt)
      await new Promise((resolve) => setImmediate(resolve));
    const server = upstream;
    if (server === undefined) throw new Error('nothing was asked');
    steps[1]?.(server);
    t.same(Buffer.concat([begun, await client.bytes(whole.length - 50)]), whole);
    const notice = await client.message();
    t.match({ type: notice.type, ...fields(notice) }, { type: 'N', M: /your access was extended until/ });
    t.equal((await client.message()).type, 'D');
    steps[2]?.(server);
    t.same(
      (await client.until()).map(({ type }) => type),
      ['D', 'C', 'Z'],
      'told once',
    );
  },
);
