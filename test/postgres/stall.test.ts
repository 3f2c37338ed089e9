import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import pg from 'pg';
import t, { type Test } from 'tap';
import { makeScramVerifier } from '../../src/grant/scram.js';
import { selfSigned } from '../support/certificate.js';
import { portOf } from '../support/ports.js';
import { fields } from '../support/wire.js';
import { facing, honest, knock } from './hostile.js';

/** How long the gateway is told to wait, and how much later it may be seen to end on a busy machine, milliseconds. */
const LIMIT = 1_000;
const LATE = 10_000;
/** Connections at once: under the number that the gateway takes. */
const AT_ONCE = 60;

/** Passes the first `most` bytes of a client on, and everything back: a real client that stalls wherever it is told to. */
async function stalling(t: Test, port: number, most: number) {
  let passed = 0;
  let gateway: Socket | undefined;
  const began = Date.now();
  const server = createServer((client) => {
    const towards = connect({ port, host: '127.0.0.1' });
    gateway = towards;
    client.on('data', (chunk: Buffer) => {
      const part = chunk.subarray(0, most - passed);
      passed += part.length;
      if (part.length > 0) towards.write(part);
    });
    towards.on('data', (chunk) => client.write(chunk));
    client.on('error', () => {});
    towards.on('error', () => {});
    towards.on('close', () => client.destroy());
    client.on('close', () => towards.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return {
    port: portOf(server.address()),
    passed: () => passed,
    /** How long the gateway kept the connection, milliseconds. */
    kept: () => Date.now() - began,
    close: () => {
      gateway?.destroy();
      server.close();
    },
  };
}

/** Logs in with a real client; true when it was let in. `isIn` is called before it says anything more. */
async function logIn(port: number, config: pg.ClientConfig, isIn = () => {}): Promise<boolean> {
  const client = new pg.Client({ host: '127.0.0.1', port, database: 'orders-db', ...config });
  client.on('error', () => {});
  const over = new Promise<false>((resolve) => setTimeout(() => resolve(false), LIMIT + LATE).unref());
  const connected = client.connect().then(
    () => {
      isIn();
      return true;
    },
    () => false,
  );
  const answer = await Promise.race([connected, over]);
  if (answer) await client.end();
  return answer;
}

/** Stalls a login after each `step`-th of its bytes, the first of them included. */
async function stallEverywhere(t: Test, port: number, config: pg.ClientConfig, step: number) {
  const whole = await stalling(t, port, Number.POSITIVE_INFINITY);
  let bytes = 0;
  const measure = () => {
    bytes = whole.passed();
  };
  t.ok(await logIn(whole.port, config, measure), 'let in when it does not stall');
  const places = Array.from({ length: Math.ceil(bytes / step) }, (_, i) => i * step);
  const kept: number[] = [];
  while (places.length > 0) {
    const stalled = places.splice(0, AT_ONCE).map(async (most) => {
      const proxy = await stalling(t, port, most);
      if (await logIn(proxy.port, config)) t.fail(`let in with ${most} bytes`);
      kept.push(proxy.kept());
      proxy.close();
    });
    await Promise.all(stalled);
  }
  t.ok(Math.min(...kept) >= LIMIT - 20, `not ended early: ${Math.min(...kept)} ms`);
  t.ok(Math.max(...kept) < LIMIT + LATE, `ended: ${Math.max(...kept)} ms`);
}

const answering = honest((server) => void server.socket.end());

async function door(t: Test, tls?: { cert: string; key: string }) {
  const parts = await facing(t, answering, LIMIT, 'master', {}, { handshakeLimit: LIMIT, tls });
  const { grant, handle } = parts.grants.add({ service: 'orders-db', role: 'master' });
  parts.grants.held.set(grant.id, { ok: true, grant: { ...grant, scram: await makeScramVerifier(handle) } });
  return { ...parts, handle, id: grant.id };
}

t.test('C18: a client that stalls after any byte of its start-up packet or its password is let go of', async (t) => {
  const { gatewayPort, handle, gate } = await door(t);
  await stallEverywhere(t, gatewayPort, { user: 'alice', password: handle }, 1);
  t.same(gate.live.registry.all(), []);
});

t.test('C18: a client that stalls after any byte of a SCRAM exchange is let go of', async (t) => {
  const { gatewayPort, handle, id, gate } = await door(t);
  await stallEverywhere(t, gatewayPort, { user: `alice+${id}`, password: handle }, 1);
  t.same(gate.live.registry.all(), []);
});

t.test('C18: a client that stalls in its SSLRequest, its TLS handshake or behind it is let go of', async (t) => {
  const tls = await selfSigned();
  const { gatewayPort, handle, gate } = await door(t, tls);
  const ssl = { ca: tls.cert, servername: 'localhost' };
  await stallEverywhere(t, gatewayPort, { user: 'alice', password: handle, ssl }, 5);
  t.same(gate.live.registry.all(), []);
});

t.test('C18: an upstream that says nothing, or stops in its TLS, is given up on within the limit', async (t) => {
  for (const over of [{}, { tls: { mode: 'require' as const } }]) {
    for (const role of ['master', 'reader'] as const) {
      const { gatewayPort, handle, gate } = await facing(
        t,
        (server) => void (over.tls !== undefined && server.send(Buffer.from('S'))),
        LIMIT,
        role,
        over,
      );
      const began = Date.now();
      const [error] = await knock(t, gatewayPort, handle);
      const after = Date.now() - began;
      t.match(error && fields(error), { S: 'FATAL', C: '08006' });
      t.ok(after >= LIMIT - 20 && after < LIMIT + LATE, `${after} ms`);
      t.same(gate.live.registry.all(), []);
    }
  }
});
