import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { portOf } from '../support/ports.js';
import { startGateway } from './gateway.js';
import { dialWebSocket } from './over-tls.js';

/** Kubernetes' `remotecommand`: the first byte of each binary message names its channel. */
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const EXIT = 3;
const RESIZE = 4;
/** Of v5 alone: closes the channel that its next byte names. */
const CLOSE = 255;

const PATH = '/api/v1/namespaces/shop/pods/orders-0/exec';
const SPOKEN = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const success = JSON.stringify({ metadata: {}, status: 'Success' });

/** A stand-in for the API server's exec: it answers with what it was asked, echoes stdin, and ends when that is closed. */
async function execServer(t: Test) {
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    handleProtocols: (offered) => SPOKEN.find((name) => offered.has(name)) ?? false,
  });
  const asked: IncomingMessage[] = [];
  server.on('connection', (socket, req) => {
    asked.push(req);
    const say = (channel: number, text: string) =>
      socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]));
    const { searchParams } = new URL(req.url ?? '', 'http://x');
    // The API server greets with an empty message on each channel that it writes.
    for (const channel of [STDOUT, STDERR, EXIT]) say(channel, '');
    say(STDOUT, `ran ${searchParams.getAll('command').join(' ')}\n`);
    socket.on('message', (data: Buffer) => {
      const [channel = -1, of] = data;
      if (channel === STDIN && data.length > 1) say(STDOUT, `got ${data.subarray(1).toString()}`);
      if (channel === RESIZE) say(STDERR, `size ${data.subarray(1).toString()}`);
      if (channel === CLOSE && of === STDIN) end();
      if (channel === STDIN && data.length === 1 && socket.protocol === 'v4.channel.k8s.io') end();
    });
    const end = () => {
      say(EXIT, success);
      socket.close(1000);
    };
  });
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const port = portOf(server.address());
  return { url: `http://127.0.0.1:${port}`, asked };
}

t.test('kubectl exec over WebSocket: subprotocol, channels, repeated parameters and exit status pass', async (t) => {
  const { url, asked } = await execServer(t);
  const cluster = {
    url,
    headers: { authorization: 'Bearer service-account' },
    roles: { viewer: ['WS /api/v1/namespaces/:ns/pods/:pod/exec'] },
  };
  const gateway = await startGateway(t, { web: cluster });
  const { handle } = gateway.issue('web');
  for (const [offered, chosen] of [
    [SPOKEN, 'v5.channel.k8s.io'],
    [['channel.k8s.io', 'v4.channel.k8s.io'], 'v4.channel.k8s.io'],
  ] as const) {
    const query = '?command=sh&command=-c&command=ls%20-l&container=app&stdin=true&stdout=true&stderr=true&tty=false';
    const headers = { authorization: `Bearer ${handle}`, host: 'web.localhost' };
    const socket = dialWebSocket(gateway.port, `${PATH}${query}`, { headers }, offered);
    t.teardown(() => socket.terminate());
    const channels = new Map<number, string>();
    const hears = (text: string) =>
      new Promise<void>((resolve) => {
        const look = () => [...channels.values()].some((said) => said.includes(text)) && resolve();
        socket.on('message', look);
        look();
      });
    socket.on('message', (data: Buffer) => {
      const [channel = -1] = data;
      channels.set(channel, (channels.get(channel) ?? '') + data.subarray(1).toString());
    });
    const closed = once(socket, 'close');
    await once(socket, 'open');
    t.equal(socket.protocol, chosen);
    await hears('ran ');
    socket.send(Buffer.from([STDIN, ...Buffer.from('whoami\n')]));
    socket.send(Buffer.from([RESIZE, ...Buffer.from('{"Width":80,"Height":24}')]));
    await hears('size ');
    await hears('got ');
    socket.send(chosen === SPOKEN[0] ? Buffer.from([CLOSE, STDIN]) : Buffer.from([STDIN]));
    t.equal((await closed)[0], 1000);
    t.same(Object.fromEntries(channels), {
      [STDOUT]: 'ran sh -c ls -l\ngot whoami\n',
      [STDERR]: 'size {"Width":80,"Height":24}',
      [EXIT]: success,
    });
    t.equal(asked.at(-1)?.headers.authorization, 'Bearer service-account');
    t.equal(asked.at(-1)?.url, PATH + query, 'parameters in their order, none merged');
  }
  const events = await gateway.events();
  t.match(
    events.find(({ facts }) => facts.verb === 'WS'),
    { facts: { on: [PATH], outcome: 'allow' }, payload: { text: /command=sh&command=-c&command=ls%20-l/ } },
  );
  const said = (kind: string) =>
    events.filter((event) => event.kind === kind && event.facts.verb === 'message').map(({ facts }) => facts.bytes);
  t.same(said('action').slice(0, 2), [8, 25], 'what is typed is recorded before it is forwarded');
  t.match(
    events.find(({ kind, facts }) => kind === 'action' && facts.verb === 'message'),
    { facts: { frame: 'binary', sha256: /^[0-9a-f]{64}$/ }, payload: { text: '\0whoami\n' } },
    'readable, although its channel is a NUL',
  );
  t.ok(said('result').includes('\u0001got whoami\n'.length), 'and what is answered as it passes');
});
