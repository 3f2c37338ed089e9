import { PassThrough } from 'node:stream';
import t from 'tap';
import { Delivery } from '../../src/postgres/delivery.js';
import { BackendFramer } from '../../src/postgres/wire/backend-framer.js';
import { loggedIn } from '../support/wire.js';
import { facing, honest, READY } from './hostile.js';

t.test(
  'what is held for several statements that are stopped at once is given in its order, when all are',
  async (t) => {
    const { gate, gatewayPort, handle } = await facing(
      t,
      honest((server) => server.send(READY)),
      10_000,
    );
    await loggedIn(t, gatewayPort, handle);
    const [session] = gate.live.registry.all();
    if (session === undefined) return void t.fail('nobody is in');
    const [client, upstream] = [new PassThrough(), new PassThrough()];
    const delivery = new Delivery(client, upstream, session, new BackendFramer());
    const [one, other] = [delivery.hold(), delivery.hold()];
    delivery.give([Buffer.from('first ')], false);
    one();
    t.ok(upstream.isPaused(), 'the other is not stopped yet');
    delivery.give([Buffer.from('second ')], false);
    other();
    delivery.give([Buffer.from('third')], false);
    t.equal(String(client.read(client.readableLength)), 'first second third'); // without a size Node 26 gives the first chunk alone
    t.notOk(upstream.isPaused());
  },
);
