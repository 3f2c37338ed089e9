import { once } from 'node:events';
import t, { type Test } from 'tap';
import * as ws from 'ws';
import { startGateway } from '../http/gateway.js';
import { portOf } from '../support/ports.js';
import { waitUntil } from '../support/wait.js';
import { CASES } from './autobahn-cases.js';
import { type Outcome, run } from './autobahn-client.js';
import { type Case, left, said } from './autobahn-frames.js';
import { sizes } from './autobahn-sizes.js';

/**
 * Cases in which a broken frame follows a message at once: that reaches the service, and nobody waits for what the service
 * would say to it ("non-strict" in the suite's words).
 */
const NOT_AWAITED: ReadonlySet<string> = new Set([
  ...['3.2', '3.3', '3.4', '4.1.3', '4.1.4', '4.1.5', '4.2.3', '4.2.4', '4.2.5', '5.15'],
]);

/** A connection as the service sees it: what it was sent, in order, and whether it is over. */
interface Visit {
  readonly heard: string[];
  over: boolean;
}

/** A service that sends back what it is sent. */
async function echoService(t: Test) {
  const visits: Visit[] = [];
  const server = new ws.WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  server.on('connection', (socket) => visits.push(visitOf(socket)));
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  return { url: `http://127.0.0.1:${portOf(server.address())}`, visits };
}

function visitOf(socket: ws.WebSocket): Visit {
  const visit: Visit = { heard: [], over: false };
  socket.on('error', ({ message }) => visit.heard.push(message));
  socket.on('ping', (data: Buffer) => visit.heard.push(said('ping', data)));
  socket.on('pong', (data: Buffer) => visit.heard.push(said('pong', data)));
  socket.on('message', (data: Buffer, isBinary) => {
    visit.heard.push(said(isBinary ? 'binary' : 'text', data));
    socket.send(data, { binary: isBinary });
  });
  socket.on('close', (code, reason) => {
    // 1006 is what no frame says: the connection was cut.
    if (code !== 1006) visit.heard.push(left(code, reason));
    visit.over = true;
  });
  return visit;
}

/** Runs cases through a gateway, one after the other, and judges each from both sides. */
async function runAll(t: Test, cases: Iterable<Case>, role: string): Promise<void> {
  const service = await echoService(t);
  const large = { allow: ['WS /live'], websocket: { max_message: '16MiB' } };
  const gateway = await startGateway(t, { web: { url: service.url, roles: { viewer: ['WS /live'], large } } });
  const { handle } = gateway.issue('web', { role, forMs: 600_000 });
  const numbers: string[] = [];
  for (const one of cases) {
    const outcome = await run(gateway.port, handle, one);
    numbers.push(one.number);
    t.equal(service.visits.length, numbers.length, `${one.number}: a connection of its own`);
    const visit = service.visits.at(-1) ?? { heard: [], over: true };
    await waitUntil(`${one.number}: the service is left`, () => visit.over, { every: 1 });
    judge(t, one, outcome, visit.heard);
  }
  t.equal(new Set(numbers).size, numbers.length, 'each number stands once');
}

function judge(t: Test, one: Case, { echoed, closed }: Outcome, heard: readonly string[]): void {
  const name = `${one.number}: ${one.what}`;
  const answers = NOT_AWAITED.has(one.number) ? one.echoed.slice(0, echoed.length) : one.echoed;
  t.equal(closed, one.closed ?? 1000, name);
  t.strictSame(echoed, answers, `${name}: what comes back`);
  t.strictSame(heard, one.heard, `${name}: what reaches the service`);
}

t.test('the cases of Autobahn’s suite about frames, pings, fragments, UTF-8 and closing', async (t) => {
  await runAll(t, CASES, 'viewer');
});

t.test('the cases of Autobahn’s suite about large messages and many', async (t) => {
  await runAll(t, sizes(), 'large');
});
