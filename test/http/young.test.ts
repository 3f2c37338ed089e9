import type { Socket } from 'node:net';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { raw, startGateway } from './gateway.js';
import { bareService } from './raw-service.js';

setFlagsFromString('--expose-gc');
const collect: (how: { type: 'minor' | 'major' }) => void = runInNewContext('gc');

const AT_ONCE = 16;

/** What has become old by now, bytes: two collections of the young make everything so that still lives, or seems to. */
function old(): number {
  for (let times = 0; times < 2; times += 1) collect({ type: 'minor' });
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? Number.NaN;
}

t.test('what a request makes goes with it: none of it is carried along by the collections of the young', async (t) => {
  const service = await bareService(t, (_chunk, socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  );
  const gateway = await startGateway(
    t,
    { web: { url: service.url, roles: { viewer: ['GET /**'] } } },
    { mode: 'buffered' },
  );
  const { handle } = gateway.issue('web');
  const head = `GET /orders/7 HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n\r\n`;
  let answers = 0;
  let asked = 0;
  let left = 0;
  let done = () => {};
  // Several at a time: what holds all that are under way must not keep them when it is made anew.
  const sockets = Array.from({ length: AT_ONCE }, () => {
    const { socket } = raw(t, gateway.port, '');
    socket.removeAllListeners('data');
    socket.on('data', () => {
      answers += 1;
      if (answers === asked) done();
      else if (left > 0) send(socket);
    });
    return socket;
  });
  const send = (socket: Socket) => {
    left -= 1;
    socket.write(head);
  };
  const ask = (times: number) => {
    const all = new Promise<void>((resolve) => {
      done = resolve;
    });
    asked = answers + times;
    left = times;
    for (const socket of sockets) send(socket);
    return all;
  };
  const settled = async (times: number) => {
    for (let left = times; left > 0; left -= 100) {
      await ask(100);
      await gateway.recorder.drain(5_000); // what waits to be written lives until then
      collect({ type: 'minor' });
    }
    return old();
  };
  await settled(1_000); // code that is used becomes old
  collect({ type: 'major' });
  const before = old();
  const after = await settled(1_000);
  t.ok(after - before < 1_000 * 1_500, `${Math.round((after - before) / 1_000)} bytes of each request have become old`);
});
