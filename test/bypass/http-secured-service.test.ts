import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import tls, { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { raw, startGateway, type TestGateway } from '../http/gateway.js';
import { selfSigned } from '../support/certificate.js';
import { command } from '../support/commands.js';
import { portOf } from '../support/ports.js';
import { waitUntil } from '../support/wait.js';

const ROLES = { viewer: ['GET /**', 'POST /**', 'WS /live'] };
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const ask = (line: string, service: string, handle: string, more = '') =>
  `${line} HTTP/1.1\r\nHost: ${service}.localhost\r\nDaypass-Handle: ${handle}\r\n${more}\r\n`;

/** A folder of certificates by two authorities. */
async function certificates(t: Test) {
  const folder = await mkdtemp('/tmp/dp-authority-');
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const openssl = async (...args: string[]) => {
    const { code, stderr } = await command('openssl', args, { cwd: folder });
    if (code !== 0) throw new Error(stderr);
  };
  const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const ca of ['ca', 'other']) {
    const root = ['-x509', ...EC, '-days', '2', '-subj', `/CN=${ca}`, '-keyout', `${ca}.key`, '-out', `${ca}.pem`];
    await openssl('req', ...root);
  }
  const issue = async (name: string, ca: string, alternative: string, days = '2') => {
    await openssl('req', ...EC, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    await writeFile(join(folder, `${name}.ext`), `subjectAltName=${alternative}\n`);
    const signed = ['-req', '-in', `${name}.csr`, '-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial'];
    await openssl('x509', ...signed, '-days', days, '-extfile', `${name}.ext`, '-out', `${name}.pem`);
  };
  const HERE = 'DNS:localhost,IP:127.0.0.1';
  await issue('good', 'ca', HERE);
  await issue('expired', 'ca', HERE, '-1');
  await issue('elsewhere', 'ca', 'DNS:elsewhere.test,IP:127.0.0.2');
  await issue('foreign', 'other', HERE);
  for (const client of ['one', 'two']) await issue(client, 'ca', `DNS:${client}`);
  return { folder, file: (name: string) => ({ file: join(folder, name) }) };
}

/** A service that says who it takes its client for, and keeps its connections. */
async function service(t: Test, folder: string, name: string, options: object = {}) {
  const [cert, key] = await Promise.all(['pem', 'key'].map((end) => readFile(join(folder, `${name}.${end}`), 'utf8')));
  const ca = await readFile(join(folder, 'ca.pem'), 'utf8');
  const sockets: TLSSocket[] = [];
  let asked = 0;
  const server = createTlsServer({ cert, key, ca, ...options }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', () => {
      asked += 1;
      const said = `${String(socket.getPeerCertificate().subject?.CN)} ${socket.isSessionReused() ? 'again' : 'anew'}`;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${said.length}\r\n\r\n${said}`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `https://127.0.0.1:${portOf(server.address())}`, sockets, asked: () => asked };
}

const failed = ({ lines }: TestGateway) =>
  lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'the service failed');

async function counted({ metrics }: TestGateway): Promise<number> {
  const lines = (await metrics.registry.metrics()).matchAll(/^daypass_upstream_failures_total\{.*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

t.test('A23: a service that cannot show who it is gets no byte of a request, and no client is told why', async (t) => {
  const { folder, file } = await certificates(t);
  for (const name of ['expired', 'elsewhere', 'foreign']) {
    const { url, asked } = await service(t, folder, name);
    const gateway = await startGateway(t, { web: { url, tls: { ca: file('ca.pem') }, roles: ROLES } });
    const { handle } = gateway.issue('web');
    const tries = ['GET /x', 'POST /x', 'GET /live'];
    for (const line of tries) {
      const more = line === 'GET /live' ? UPGRADE : 'Connection: close\r\n';
      const answer = await raw(t, gateway.port, ask(line, 'web', handle, more)).ended;
      t.match(answer, /^HTTP\/1\.1 502 /, `${name}: ${line}`);
      t.notMatch(answer, /certificate|expired|altname|issuer|127\.0\.0\.|TLS|SSL/i);
    }
    t.equal(asked(), 0);
    t.equal(failed(gateway).length, tries.length, 'each is told once');
    t.equal(await counted(gateway), tries.length, 'and counted once');
  }
});

t.test('A23: a service that says no TLS, or never ends its handshake, fails its own request alone', async (t) => {
  const { file } = await certificates(t);
  const said: Readonly<Record<string, readonly [string, RegExp]>> = {
    'plain HTTP': ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', /^HTTP\/1\.1 502 /],
    nothing: ['', /^HTTP\/1\.1 504 /],
    'half a record': ['\x16\x03\x03\x40\x00\x02', /^HTTP\/1\.1 504 /],
  };
  for (const [name, [bytes, expected]] of Object.entries(said)) {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.once('data', () => socket.write(Buffer.from(bytes, 'latin1')));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const url = `https://127.0.0.1:${portOf(server.address())}`;
    const upstreamLimits = { connect: 300, response: 60_000 }; // the first holds for a WebSocket, too
    const web = { url, tls: { ca: file('ca.pem') }, roles: ROLES };
    const gateway = await startGateway(t, { web }, { upstreamLimits });
    const { handle } = gateway.issue('web');
    for (const more of ['Connection: close\r\n', UPGRADE]) {
      t.match(await raw(t, gateway.port, ask('GET /live', 'web', handle, more)).ended, expected, name);
    }
    t.equal(failed(gateway).length, 2);
    await waitUntil('nothing is left open', () => sockets.every(({ closed }) => closed));
  }
});

t.test(
  'A5: services at one address are each shown their own certificate, and share no connection and no session',
  async (t) => {
    const { folder, file } = await certificates(t);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const wishes = { requestCert: true, rejectUnauthorized: false, maxVersion };
      const { url, asked } = await service(t, folder, 'good', wishes);
      const own = (name: string) => ({ cert: file(`${name}.pem`), key: file(`${name}.key`) });
      const gateway = await startGateway(t, {
        one: { url, tls: { ca: file('ca.pem'), client: own('one') }, roles: ROLES },
        two: { url, tls: { ca: file('ca.pem'), client: own('two') }, roles: ROLES },
        none: { url, tls: { ca: file('ca.pem') }, roles: ROLES },
        wary: { url, tls: { ca: file('other.pem') }, roles: ROLES },
        named: { url: url.replace('127.0.0.1', 'localhost'), tls: { ca: file('ca.pem') }, roles: ROLES },
      });
      const grants = Object.fromEntries(
        ['one', 'two', 'none', 'wary', 'named'].map((name) => [name, gateway.issue(name).handle]),
      );
      const get = (name: string) =>
        raw(t, gateway.port, ask('GET /x', name, grants[name] ?? '', 'Connection: close\r\n')).ended;
      for (const round of ['first', 'second']) {
        for (const name of ['one', 'two']) t.match(await get(name), new RegExp(`${name} anew$`), round);
        for (const name of ['none', 'named']) t.match(await get(name), /undefined anew$/, round);
        t.match(await get('wary'), /^HTTP\/1\.1 502 /, round);
      }
      t.equal(asked(), 8);
    }
  },
);

t.test(
  'A5: a reload that names another authority or certificate holds from the next request on, resumed sessions and all',
  async (t) => {
    const { folder, file } = await certificates(t);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { url, asked, sockets } = await service(t, folder, 'good', { requestCert: true, maxVersion });
      const web = (ca: string, client: string) => ({
        url,
        tls: { ca: file(ca), client: { cert: file(`${client}.pem`), key: file(`${client}.key`) } },
        roles: ROLES,
      });
      const gateway = await startGateway(t, { web: web('ca.pem', 'one') });
      const { handle } = gateway.issue('web');
      const get = () => raw(t, gateway.port, ask('GET /x', 'web', handle, 'Connection: close\r\n')).ended;
      t.match(await get(), /one anew$/);
      gateway.reload('web', web('ca.pem', 'two'));
      t.match(await get(), /two anew$/);
      for (const socket of sockets) socket.destroy(); // the next one dials, and has a session to resume
      await waitUntil('they are gone', () => sockets.every(({ closed }) => closed));
      t.match(await get(), /two again$/, 'within one service sessions are resumed');
      gateway.reload('web', web('other.pem', 'two'));
      const before = asked();
      t.match(await get(), /^HTTP\/1\.1 502 /);
      t.equal(asked(), before, 'who was believed before is asked nothing any more');
      gateway.reload('web', web('ca.pem', 'one'));
      t.match(await get(), /one anew$/);
    }
  },
);

t.test(
  'a client that leaves before its answer, or amid its upload, leaves nothing open at a secured service',
  async (t) => {
    const [pair, own] = [await selfSigned('web.localhost'), await selfSigned()];
    const folder = await mkdtemp('/tmp/dp-authority-');
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'ca.pem'), own.cert);
    for (const options of [{}, { tls: pair }]) {
      for (const [line, more] of [
        ['GET /x', ''],
        ['POST /x', 'Content-Length: 100000000\r\n'],
        ['GET /live', UPGRADE],
      ] as const) {
        const sockets: TLSSocket[] = [];
        const server = createTlsServer(own, (socket) => void sockets.push(socket.on('error', () => {}).resume()));
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        t.teardown(() => server.close());
        const url = `https://127.0.0.1:${portOf(server.address())}`;
        const web = { url, tls: { ca: { file: join(folder, 'ca.pem') } }, roles: ROLES };
        const gateway = await startGateway(t, { web }, options);
        const client = raw(t, gateway.port, ask(line, 'web', gateway.issue('web').handle, more));
        if (line === 'POST /x') client.socket.write(Buffer.alloc(4_000_000));
        await waitUntil('the service is asked', () => (sockets[0]?.bytesRead ?? 0) > 0);
        client.socket.destroy();
        await waitUntil('it is left', () => sockets.length === 1 && sockets[0]?.closed === true);
        t.pass(line);
      }
    }
  },
);

t.test('TLS that cannot even begin fails what was asked for, and nothing else', async (t) => {
  const upstreamLimits = { connect: 100, response: 100 };
  const web = { url: 'https://127.0.0.1:1', roles: ROLES };
  const gateway = await startGateway(t, { web }, { upstreamLimits });
  const { handle } = gateway.issue('web');
  const get = () => raw(t, gateway.port, ask('GET /x', 'web', handle, 'Connection: close\r\n')).ended;
  const ciphers = tls.DEFAULT_CIPHERS;
  t.teardown(() => (tls.DEFAULT_CIPHERS = ciphers));
  tls.DEFAULT_CIPHERS = 'none that there is';
  t.match(await get(), /^HTTP\/1\.1 502 /);
  t.match(await raw(t, gateway.port, ask('GET /live', 'web', handle, UPGRADE)).ended, /^HTTP\/1\.1 502 /);
  // An opening whose time to connect went on had the whole gateway fail at its end.
  await new Promise((resolve) => setTimeout(resolve, 2 * upstreamLimits.connect));
  t.match(await get(), /^HTTP\/1\.1 502 /);
  const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
  t.strictSame(
    results.map(({ facts }) => facts.reason),
    Array(3).fill('upstream_unavailable'),
  );
});
