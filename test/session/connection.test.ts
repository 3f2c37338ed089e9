import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { carriedBy, endSurely, reset } from '../../src/session/connection.js';
import { unsent } from '../faults/unsent.js';
import { selfSigned } from '../support/certificate.js';
import { portOf } from '../support/ports.js';
import { closed } from '../support/wait.js';

/** A server's connection and the client at its other end, which reads nothing. */
async function pair(t: Test): Promise<{ near: Socket; far: Socket; port: number }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server.address());
  const far = connect(port, '127.0.0.1').on('error', () => {});
  const [near] = (await once(server, 'connection')) as [Socket];
  near.on('error', () => {});
  server.close();
  t.teardown(() => {
    near.destroy();
    far.destroy();
  });
  return { near, far, port };
}

/** What stands open in this process behind a connection that was destroyed. */
function openTo(near: Socket): unknown[] {
  const handles: unknown = Reflect.get(process, '_getActiveHandles')?.call(process);
  return Array.isArray(handles) ? handles.filter((handle) => handle === near) : [];
}

const MORE_THAN_FITS = Buffer.alloc(32 * 1024 * 1024);

t.test('a peer that does not take what it was sent gets nothing more of it once it was let go of', async (t) => {
  const { near, port } = await pair(t);
  near.write(MORE_THAN_FITS);
  endSurely(near);
  await once(near, 'close');
  t.same(unsent([port]), []);
});

t.test('so it is under TLS', async (t) => {
  const { near, far, port } = await pair(t);
  const { cert, key } = await selfSigned();
  const secured = new TLSSocket(near, { isServer: true, secureContext: createSecureContext({ cert, key }) });
  secured.on('error', () => {});
  carriedBy(secured, near);
  const client = connectTls({ socket: far, rejectUnauthorized: false }).on('error', () => {});
  await once(client, 'secureConnect');
  client.pause();
  far.pause();
  secured.write(MORE_THAN_FITS);
  endSurely(secured);
  await once(secured, 'close');
  t.same(unsent([port]), []);
});

t.test('a peer that reads gets all of it, and a plain end', async (t) => {
  const { near, far } = await pair(t);
  let bytes = 0;
  far.on('data', (chunk: Buffer) => (bytes += chunk.length));
  near.write(MORE_THAN_FITS.subarray(0, 1_000_000));
  endSurely(near);
  const [failed] = await once(far, 'close');
  t.equal(failed, false);
  t.equal(bytes, 1_000_000);
});

/** Begins to say its end on a connection, and resets it in the same turn. */
async function endedAndReset(near: Socket | TLSSocket): Promise<void> {
  const over = closed(near);
  near.end('last words');
  reset(near);
  await over;
}

t.test('a connection whose end is being said is reset and closed as any other', async (t) => {
  // Where it is not, this process does not end either: Node waits for such a connection without an end.
  for (const isLater of [false, true]) {
    const { near, far } = await pair(t);
    far.resume();
    if (isLater) await new Promise((resolve) => setImmediate(resolve));
    await endedAndReset(near);
    if (!far.closed) await once(far, 'close');
    t.same(openTo(near), []);
  }
});

t.test('of what the system holds nobody gets more then, also where it is ended in the same turn', async (t) => {
  const { near, port } = await pair(t);
  // As much as the system takes, none of which is read.
  const piece = Buffer.alloc(64 * 1024);
  for (let full = false; !full; ) full = !near.write(piece) || near.bytesWritten > 1024 * 1024;
  t.not(unsent([port]).length, 0);
  const over = closed(near);
  near.end();
  reset(near);
  endSurely(near);
  await over;
  t.same(unsent([port]), []);
});

t.test('and so it is under TLS, whether its peer reads or not', async (t) => {
  const { cert, key } = await selfSigned();
  for (const isRead of [true, false]) {
    const { near, far } = await pair(t);
    const secured = new TLSSocket(near, { isServer: true, secureContext: createSecureContext({ cert, key }) });
    secured.on('error', () => {});
    carriedBy(secured, near);
    const client = connectTls({ socket: far, rejectUnauthorized: false }).on('error', () => {});
    await once(client, 'secureConnect');
    if (isRead) client.resume();
    await Promise.all([endedAndReset(secured), closed(near)]);
    t.same(openTo(near), []);
  }
});
