import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { within } from '../../src/grant/within.js';
import { portOf } from '../support/ports.js';

const late = () => new Error('late');

/** Nothing else runs meanwhile. @param milliseconds - how long */
function busy(milliseconds: number): void {
  for (const until = performance.now() + milliseconds; performance.now() < until; );
}

t.test('an answer that came in time counts, though the process was too busy to read it', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const asking = connect(portOf(server.address()), '127.0.0.1');
  const [answering] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => {
    asking.destroy();
    answering.destroy();
    server.close();
  });
  for (let times = 0; times < 20; times += 1) {
    const answered = within(20, once(asking, 'data'), late);
    await turn(); // timers are next
    answering.write('x'); // with the system at once
    busy(40);
    t.equal(String((await answered)[0]), 'x');
  }
});

t.test('who does not answer is late', async (t) => {
  await t.rejects(within(1, new Promise(() => {}), late), { message: 'late' });
});
