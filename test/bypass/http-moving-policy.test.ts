import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import { maskedFrame } from '../../src/http/websocket/masked-frame.js';
import { lockLedger, raw, startGateway, untilWaiting } from '../http/gateway.js';
import { opened } from '../http/open-websocket.js';
import { portOf } from '../support/ports.js';
import { waitUntil } from '../support/wait.js';

const ROLES = { viewer: ['GET /**', 'POST /**', 'WS /live'] };
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** A service that answers at once, and what was asked of it with which secret. */
async function service(t: Test) {
  const asked: string[] = [];
  const note = ({ url, headers }: IncomingMessage) => asked.push(`${url} ${headers.authorization}`);
  const server = createServer((req, res) => {
    note(req);
    req.resume().once('end', () => res.end('ok'));
  });
  server.on('upgrade', (req, socket) => {
    note(req);
    socket.on('error', () => {});
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, url: `http://127.0.0.1:${portOf(server.address())}` };
}

t.test('A5: no secret reaches another address than its own, whatever waits while both are replaced', async (t) => {
  const services = [await service(t), await service(t)] as const;
  const text = (at: 0 | 1) => ({ url: services[at].url, headers: { authorization: `secret of ${at}` }, roles: ROLES });
  const gateway = await startGateway(t, { web: text(0) });
  const { handle } = gateway.issue('web');
  const head = (line: string, more = '') =>
    `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${more}\r\n`;
  let round = 0;
  for (const next of [1, 0, 1] as const) {
    const before = next === 1 ? services[0] : services[1];
    const warm = raw(t, gateway.port, head(`GET /warm${round}`));
    await warm.sees(/ok$/); // a connection rests at the old address
    const unlock = await lockLedger(gateway);
    const begun = [
      raw(t, gateway.port, head(`GET /one${round}`) + head(`GET /two${round}`)),
      raw(t, gateway.port, `${head(`POST /body${round}`, 'Transfer-Encoding: chunked\r\n')}3\r\nabc\r\n`),
      raw(t, gateway.port, head(`POST /expecting${round}`, 'Expect: 100-continue\r\nContent-Length: 3\r\n')),
      raw(t, gateway.port, head('GET /live', UPGRADE)),
    ];
    await untilWaiting(gateway);
    gateway.reload('web', text(next));
    begun.push(raw(t, gateway.port, head(`GET /new${round}`)));
    warm.socket.write(head(`GET /again${round}`));
    await unlock();
    begun[1]?.socket.write('0\r\n\r\n'); // it may have been read behind the reload, and is waited for then
    await Promise.all(begun.map((client) => client.sees(/^HTTP\/1\.1 \d/)));
    const { asked } = services[next];
    await waitUntil('what came after is there', () => asked.some((one) => one.startsWith(`/again${round}`)));
    t.notMatch(
      before.asked.join(),
      new RegExp(`/(?:one|body|expecting|live|new|again)${round}`),
      'nothing waiting went',
    );
    round += 1;
  }
  for (const at of [0, 1] as const)
    t.same(
      services[at].asked.filter((one) => !one.endsWith(`secret of ${at}`)),
      [],
    );
  const allowed = (await gateway.events()).filter(({ kind, facts }) => kind === 'action' && facts.outcome === 'allow');
  const forwarded = services.flatMap(({ asked }) => asked.map((one) => one.split(' ')[0]));
  const recorded = allowed.map(({ facts }) => String(facts.on));
  t.same(
    forwarded.filter((path) => !recorded.includes(String(path))),
    [],
  );
});

t.test('a message behind a reload is recorded with the rule that allows it by then', async (t) => {
  const { gateway, url, client, received } = await opened(t);
  const say = async (text: string) => {
    client.write(maskedFrame('text', Buffer.from(text)));
    await waitUntil('the service has it', async () => received().includes(`81 ${text}`));
  };
  await say('before');
  gateway.reload('web', { url, roles: { viewer: ['WS /**'] } });
  await say('after');
  const messages = (await gateway.events()).filter(({ kind, facts }) => kind === 'action' && facts.verb === 'message');
  const said = messages.map(({ facts, payload }) => `${payload?.text}: ${facts.rule}`);
  t.same(said, ['before: WS /live', 'after: WS /**']);
});
