import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { selfSigned } from '../support/certificate.js';
import { curl } from '../support/commands.js';
import { closed } from '../support/wait.js';
import { listen, rawOver, startGateway } from './gateway.js';

const HOST = 'web.localhost';
const pair = await selfSigned(HOST);
const ROLES = { viewer: ['GET /**', 'WS /live'] };

async function service(t: Test) {
  const server = createServer((req, res) => {
    if (req.url !== '/endless') return void res.end(JSON.stringify(req.headers));
    const timer = setInterval(() => res.write('more\n'), 10);
    res.once('close', () => clearInterval(timer));
  });
  new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  return `http://127.0.0.1:${await listen(t, server)}`;
}

async function folder(t: Test, files: Readonly<Record<string, string>>): Promise<(name: string) => { file: string }> {
  const path = await mkdtemp('/tmp/dp-tls-');
  t.teardown(() => rm(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return (name) => ({ file: join(path, name) });
}

/** A connection of a browser or tool that checks who answers. */
async function secured(t: Test, port: number, ca: string, options: object = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, servername: HOST, ca, ...options });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

const head = (handle: string, path = '/', version = '1.1') =>
  `GET ${path} HTTP/${version}\r\nhost: ${HOST}\r\nauthorization: Bearer ${handle}\r\n\r\n`;

t.test('over TLS requests and WebSockets are served, the service is told of it, and plain bytes are not', async (t) => {
  const gateway = await startGateway(t, { web: { url: await service(t), roles: ROLES } }, { tls: pair });
  const { handle } = gateway.issue('web');
  const files = await folder(t, { 'ca.pem': pair.cert });
  const here = `${HOST}:${gateway.port}`;
  const trusting = ['--cacert', files('ca.pem').file, '--resolve', `${here}:127.0.0.1`];
  const asked = await curl([...trusting, '-H', `Authorization: Bearer ${handle}`, `https://${here}/x`]);
  t.match(JSON.parse(asked.stdout), { 'x-forwarded-proto': 'https', 'x-forwarded-host': here });
  const socket = new WebSocket(`wss://127.0.0.1:${gateway.port}/live`, {
    headers: { host: here, authorization: `Bearer ${handle}` },
    ...{ servername: HOST, ca: pair.cert },
  });
  t.teardown(() => socket.terminate());
  await once(socket, 'open');
  socket.send('hello');
  t.equal(String((await once(socket, 'message'))[0]), 'hello');
  const plain = rawOver(t, connectPlain(gateway.port, '127.0.0.1'), head(handle));
  t.notMatch(await plain.ended, /200/, 'plain HTTP is not answered there');
});

t.test('old TLS and other protocols than HTTP/1 are refused in the handshake', async (t) => {
  const gateway = await startGateway(t, { web: { url: await service(t), roles: ROLES } }, { tls: pair });
  const old = { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  await t.rejects(secured(t, gateway.port, pair.cert, old));
  await t.rejects(secured(t, gateway.port, pair.cert, { ALPNProtocols: ['h2'] }));
  const both = await secured(t, gateway.port, pair.cert, { ALPNProtocols: ['h2', 'http/1.1'] });
  t.equal(both.alpnProtocol, 'http/1.1');
});

t.test('a client that offers HTTP/1.0 alone in its handshake is served; of both, 1.1 is taken', async (t) => {
  const gateway = await startGateway(t, { web: { url: await service(t), roles: ROLES } }, { tls: pair });
  const { handle } = gateway.issue('web');
  const old = await secured(t, gateway.port, pair.cert, { ALPNProtocols: ['http/1.0'] });
  t.equal(old.alpnProtocol, 'http/1.0');
  old.write(head(handle, '/', '1.0'));
  t.match(String((await once(old, 'data'))[0]), /^HTTP\/1\.1 200/);
  for (const first of [
    ['http/1.0', 'http/1.1'],
    ['h2', 'http/1.0', 'http/1.1'],
  ]) {
    const either = await secured(t, gateway.port, pair.cert, { ALPNProtocols: first });
    t.equal(either.alpnProtocol, 'http/1.1', first.join());
  }
});

t.test('a service that believes X-Forwarded-Proto leads its clients back through the gateway', async (t) => {
  const believing = createServer(({ headers, url }, res) => {
    const location = `${headers['x-forwarded-proto']}://${headers.host}${url}/`;
    res.writeHead(307, { Location: location }).end();
  });
  const url = `http://127.0.0.1:${await listen(t, believing)}`;
  const gateway = await startGateway(t, { web: { url, roles: ROLES } }, { tls: pair });
  const client = await secured(t, gateway.port, pair.cert);
  client.write(head(gateway.issue('web').handle, '/items'));
  const answer = String((await once(client, 'data'))[0]);
  t.match(answer, /^Location: \/items\/\r$/im);
  t.notMatch(answer, /127\.0\.0\.1/, 'nor is told where the service is');
});

t.test('a client that stalls in its handshake is let go of', async (t) => {
  const gateway = await startGateway(
    t,
    { web: { url: await service(t), roles: ROLES } },
    { tls: pair, headTimeout: 300 },
  );
  const silent = rawOver(t, connectPlain(gateway.port, '127.0.0.1'), Buffer.from([0x16, 0x03, 0x01]));
  const idle = (await secured(t, gateway.port, pair.cert)).resume();
  await Promise.all([silent.ended, closed(idle)]);
});

t.test('another certificate is shown to new connections, and the open ones go on', async (t) => {
  const gateway = await startGateway(t, { web: { url: await service(t), roles: ROLES } }, { tls: pair });
  const { handle } = gateway.issue('web');
  const before = await secured(t, gateway.port, pair.cert);
  const next = await selfSigned(HOST);
  gateway.http.replaceCertificate(next);
  await t.rejects(secured(t, gateway.port, pair.cert), 'the old one is not shown any more');
  await secured(t, gateway.port, next.cert);
  before.write(head(handle));
  t.match(String((await once(before, 'data'))[0]), /^HTTP\/1.1 200/);
  const after = (await secured(t, gateway.port, next.cert, { maxVersion: 'TLSv1.2' })).resume();
  const over = closed(after);
  let isRenewed = false;
  after.renegotiate({}, (error) => {
    isRenewed = error === null;
  });
  await over;
  t.notOk(isRenewed, 'nothing is agreed on anew on these either');
});

t.test('a cut breaks off a response under way over TLS too, also where only a reset can say so', async (t) => {
  const gateway = await startGateway(t, { web: { url: await service(t), roles: ROLES } }, { tls: pair });
  for (const version of ['1.1', '1.0']) {
    const { id, handle } = gateway.issue('web');
    const client = await secured(t, gateway.port, pair.cert);
    let seen = '';
    client.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
    client.write(head(handle, '/endless', version));
    while (!/more\n/.test(seen)) await once(client, 'data');
    const ended = new Promise<string>((resolve) => {
      client.once('end', () => resolve('end'));
      client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    });
    gateway.revoke(id);
    if (version === '1.0') t.not(await ended, 'end', 'a clean end would be taken for the whole');
    else await ended;
    t.notMatch(seen, /\r\n0\r\n\r\n$/, 'no last chunk');
  }
});

t.test("a service is verified by its own authority, and is shown the gateway's certificate", async (t) => {
  const [server, client, other] = await Promise.all([selfSigned(), selfSigned(), selfSigned()]);
  const secure = createTlsServer({ ...server, requestCert: true, ca: client.cert }, (req, res) => {
    const { socket } = req;
    res.end('getPeerCertificate' in socket ? String((socket as TLSSocket).getPeerCertificate().fingerprint256) : '');
  });
  new WebSocketServer({ server: secure }).on('connection', (socket) =>
    socket.on('message', (data) => socket.send(data)),
  );
  const url = `https://localhost:${await listen(t, secure)}`;
  const file = await folder(t, {
    'ca.pem': server.cert,
    'other.pem': other.cert,
    'cert.pem': client.cert,
    'key.pem': client.key,
  });
  const tls = (ca: string) => ({ ca: file(ca), client: { cert: file('cert.pem'), key: file('key.pem') } });
  const gateway = await startGateway(t, {
    good: { url, tls: tls('ca.pem'), roles: ROLES },
    wrong: { url, tls: tls('other.pem'), roles: ROLES },
    public: { url, roles: ROLES },
    unshown: { url, tls: { ca: file('ca.pem') }, roles: ROLES },
  });
  const ask = (name: string, ...more: string[]) =>
    curl([
      '-i',
      '-H',
      `Host: ${name}.localhost`,
      '-H',
      `Authorization: Bearer ${gateway.issue(name).handle}`,
      ...more,
      `http://127.0.0.1:${gateway.port}/live`,
    ]);
  t.match((await ask('good')).stdout, /200 OK[\s\S]*[0-9A-F]{2}:[0-9A-F]{2}/, 'its certificate is asked for and given');
  for (const name of ['wrong', 'public', 'unshown']) {
    const answer = (await ask(name)).stdout;
    t.match(answer, /502[\s\S]*could not be reached/, name);
    t.notMatch(answer, /certificate|self.signed/i, 'no detail of the inside');
  }
  const opened = async (name: string) => {
    const headers = { host: `${name}.localhost`, authorization: `Bearer ${gateway.issue(name).handle}` };
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/live`, { headers });
    t.teardown(() => socket.terminate());
    await once(socket, 'open');
  };
  await opened('good');
  for (const name of ['wrong', 'public', 'unshown']) await t.rejects(opened(name), /502/, name);
});
