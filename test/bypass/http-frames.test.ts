import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type GatewayOptions, type RawClient, raw, startGateway, type TestGateway } from '../http/gateway.js';
import { rawService } from '../http/raw-service.js';
import { closing, masked, unmasked } from '../http/ws-frames.js';
import { waitUntil } from '../support/wait.js';

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** An open WebSocket on a service that takes bytes. */
async function opened(
  t: Test,
  options: GatewayOptions = {},
): Promise<{ gateway: TestGateway; client: RawClient; service: Socket | undefined; id: string }> {
  const { url, sockets } = await rawService(t);
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['WS /live'] } } }, options);
  const { handle, id } = gateway.issue('web');
  const opening = `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}`;
  const client = raw(t, gateway.port, opening);
  await client.sees(/\r\n\r\n/);
  return { gateway, client, service: sockets.at(-1), id };
}

/** Pings with their number. */
const pings = (many: number) =>
  Buffer.concat(
    Array.from({ length: many }, (_, number) => {
      const payload = Buffer.alloc(4);
      payload.writeUInt32BE(number);
      return masked(0x89, payload);
    }),
  );

t.test('A24: of a flood of frames no more wait for their record than can be recorded at once', async (t) => {
  const { gateway, client, service } = await opened(t);
  await gateway.recorder.drain(2_000);
  let most = 0;
  let sampling = true;
  const sample = () => {
    most = Math.max(most, gateway.recorder.queuedBytes);
    if (sampling) setImmediate(sample);
  };
  setImmediate(sample);
  const many = 5_000;
  let arrived = 0;
  const all = new Promise<void>((resolve) => {
    service?.on('data', (chunk: Buffer) => {
      arrived += chunk.byteLength;
      if (arrived === many * 10) resolve();
    });
  });
  client.socket.write(pings(many));
  await all;
  sampling = false;
  t.ok(most < 256 * 1024, `${most} bytes`);
  const events = await gateway.events();
  t.equal(events.filter(({ facts }) => facts.frame === 'ping').length, many, 'all of them are recorded');
});

/** Resolves when the service has received so many bytes. */
const received = (service: Socket | undefined, bytes: number) =>
  new Promise<void>((resolve) => {
    let left = bytes;
    service?.on('data', (chunk: Buffer) => {
      left -= chunk.byteLength;
      if (left <= 0) resolve();
    });
  });

t.test('A24: of frames that came together none goes on before it is recorded, and then all do', async (t) => {
  const { gateway, client, service } = await opened(t);
  await gateway.events();
  const all = received(service, 3 * 10);
  const before = service?.bytesRead;
  const locker = await gateway.database.client();
  await locker.query('begin; lock table daypass.blocks in access exclusive mode');
  client.socket.write(pings(3));
  const waits = `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%insert into blocks%'`;
  while ((await locker.query(waits)).rowCount === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(service?.bytesRead, before, 'nothing has reached the service');
  await locker.query('rollback');
  await all;
});

t.test('A24: what stands before a broken frame in the same bytes goes on, and nothing behind it', async (t) => {
  const { client, service } = await opened(t, { mode: 'buffered' });
  const before = service?.bytesRead ?? 0;
  const two = received(service, 2 * 10);
  client.socket.write(Buffer.concat([pings(2), unmasked(0x81, 'a'), pings(1)]));
  t.match(await client.ended, /\x88.\x03\xea/s, '1002');
  await two;
  t.equal(service?.bytesRead, before + 20);
});

for (const [how, ending] of [
  ['its service is gone', unmasked(0x88, closing(1000))],
  ['its own frame broke the WebSocket', null],
] as const) {
  t.test(`what a client has not taken by the end of its grant it does not get, also when ${how}`, async (t) => {
    const { gateway, client, service, id } = await opened(t, { mode: 'buffered' });
    let [taken, most] = [0, 0];
    client.socket.on('data', (chunk: Buffer) => {
      taken += chunk.byteLength;
      if (taken >= most) client.socket.pause();
    });
    client.socket.pause();
    const frame = unmasked(0x82, Buffer.alloc(65_536));
    // Until nothing on the way holds any more, and then as little is taken as lets the end through.
    for (let isTaken = true; isTaken; ) {
      const drained = new Promise<boolean>((resolve) => void service?.write(frame, () => resolve(true)));
      isTaken = await Promise.race([drained, pause(500, false)]);
    }
    if (ending === null) client.socket.write(masked(0x83));
    else service?.end(ending);
    const isOver = async () => (await gateway.events()).some(({ facts }) => facts.messages !== undefined);
    while (!(await isOver())) {
      most = taken + 64 * 1024;
      client.socket.resume();
      await pause(20);
    }
    client.socket.pause();
    gateway.revoke(id);
    await waitUntil('it is cut', async () => gateway.gate.live.registry.all().length === 0);
    most = Number.POSITIVE_INFINITY;
    client.socket.resume();
    await client.ended;
    const events = await gateway.events();
    const given = events.find(({ facts }) => facts.messages !== undefined)?.facts.bytesOut ?? 0;
    t.ok(taken < given, `${taken} of the ${given} bytes that had been given to its connection`);
    t.match(events.at(-1)?.facts, { reason: 'revoked' });
  });
}

/** A frame of a client that is not the last of its message. */
const fragment = (bytes: number, isFirst: boolean) => masked(isFirst ? 0x02 : 0x00, Buffer.alloc(bytes));
const LAST = masked(0x80);

t.test(
  'the large messages of all clients together take no more than there is for them, and give it back',
  async (t) => {
    const MiB = 1024 * 1024;
    const { url, sockets } = await rawService(t);
    const roles = { viewer: ['WS /live'] };
    const gateway = await startGateway(t, { web: { url, roles } }, { messageMemory: 4 * MiB, mode: 'buffered' });
    const dial = async () => {
      const { handle } = gateway.issue('web');
      const client = raw(
        t,
        gateway.port,
        `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}`,
      );
      await client.sees(/\r\n\r\n/);
      return client;
    };
    const [first, second, third] = [await dial(), await dial(), await dial()];
    const service = sockets[0];
    const before = service?.bytesRead ?? 0;
    first.socket.write(fragment(3 * MiB, true));
    await pause(300); // until it is held; sooner or later, the second finds no room
    second.socket.write(fragment(3 * MiB, true));
    t.match(await second.ended, /\x88.\x03\xf5/s, '1013');
    first.socket.write(LAST);
    await waitUntil('the first goes on whole', async () => (service?.bytesRead ?? 0) - before >= 3 * MiB);
    const later = sockets[2]?.bytesRead ?? 0;
    third.socket.write(Buffer.concat([fragment(2 * MiB, true), fragment(MiB, false), LAST]));
    await waitUntil('there is room again', async () => (sockets[2]?.bytesRead ?? 0) - later >= 3 * MiB);
    const fourth = await dial();
    fourth.socket.write(fragment(3 * MiB, true));
    await pause(300);
    fourth.socket.destroy();
    third.socket.write(Buffer.concat([fragment(3 * MiB, true), LAST]));
    await waitUntil('who leaves gives it back, too', async () => (sockets[2]?.bytesRead ?? 0) - later >= 6 * MiB);
  },
);

/** Opens WebSockets, each by a grant of its own. */
function dialling(t: Test, gateway: TestGateway) {
  return async (principal: string): Promise<RawClient> => {
    const { handle } = gateway.issue('web', { principal });
    const client = raw(
      t,
      gateway.port,
      `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}`,
    );
    await client.sees(/\r\n\r\n/);
    return client;
  };
}

/** A gateway that has so much memory for large messages, the service behind it, and who dials. */
async function withMessageMemory(t: Test, messageMemory: number) {
  const { url, sockets } = await rawService(t);
  const roles = { viewer: ['WS /live'] };
  const gateway = await startGateway(t, { web: { url, roles } }, { messageMemory, mode: 'buffered' });
  return { dial: dialling(t, gateway), gateway, sockets };
}

t.test('nobody takes the memory for large messages from everybody else, on however many sockets', async (t) => {
  const MiB = 1024 * 1024;
  const { dial, sockets } = await withMessageMemory(t, 8 * MiB);
  const hoarders = [];
  for (let left = 8; left > 0; left -= 1) hoarders.push(await dial('mallory'));
  const other = await dial('alice');
  for (const { socket } of hoarders) {
    socket.write(fragment(MiB, true));
    await pause(50);
  }
  const service = sockets[8];
  const before = service?.bytesRead ?? 0;
  other.socket.write(Buffer.concat([fragment(2 * MiB, true), LAST]));
  await waitUntil('the other one is heard', async () => (service?.bytesRead ?? 0) - before >= 2 * MiB);
  t.match(await hoarders[7]?.ended, /\x88.\x03\xf5/s, '1013');
});

t.test('several people together do not take the memory for large messages from another one, either', async (t) => {
  const MiB = 1024 * 1024;
  const { dial, gateway, sockets } = await withMessageMemory(t, 8 * MiB);
  const hoarders = [];
  for (const name of ['mallory', 'mike', 'moe', 'mara']) {
    const hoarder = await dial(name);
    hoarder.socket.write(masked(0x82, Buffer.alloc(2 * MiB)).subarray(0, -1));
    hoarders.push(hoarder);
  }
  await pause(300); // until all of it is held
  const other = await dial('alice');
  const service = sockets[4];
  const before = service?.bytesRead ?? 0;
  other.socket.write(masked(0x82, Buffer.alloc(MiB)));
  await waitUntil('the other one is heard', async () => (service?.bytesRead ?? 0) - before >= MiB);
  t.match(await Promise.race(hoarders.map(({ ended }) => ended)), /\x88.\x03\xf5/s, '1013');
  t.equal(hoarders.filter(({ socket }) => !socket.destroyed).length, 3, 'one of them, and no more');
  await waitUntil('it is recorded', async () => {
    const results = (await gateway.events()).filter(
      ({ kind, facts }) => kind === 'result' && facts.messages !== undefined,
    );
    return results.some(({ facts }) => facts.status === '1013' && facts.reason === 'too_many' && facts.messages === 0);
  });
});

for (const [how, leaves] of [
  ['', false],
  [', nor when its client has left', true],
] as const) {
  t.test(`what a service has not taken takes its part of the memory${how}: it is not filled with that`, async (t) => {
    const MiB = 1024 * 1024;
    const { url, sockets } = await rawService(t);
    const web = { url, roles: { viewer: { allow: ['WS /live'], websocket: { max_message: '64MiB' } } } };
    const gateway = await startGateway(t, { web }, { messageMemory: 64 * MiB, mode: 'buffered' });
    const dial = dialling(t, gateway);
    const held = [];
    for (const name of ['mallory', 'mike', 'moe']) {
      const hoarder = await dial(name);
      const service = sockets[held.length];
      service?.pause();
      held.push(hoarder);
      hoarder.socket.write(masked(0x82, Buffer.alloc(30 * MiB)));
      await pause(500); // until it is whole, and some of it with the system
      if (leaves) hoarder.socket.end();
    }
    await waitUntil('the third finds no room, or makes it', async () => {
      const told = gateway.lines.filter((line) => line.includes('"memory for large messages"'));
      return leaves ? sockets.slice(0, 3).some(({ destroyed }) => destroyed) || told.length > 0 : told.length > 0;
    });
    const small = await dial('alice');
    const service = sockets[3];
    const before = service?.bytesRead ?? 0;
    small.socket.write(masked(0x82, Buffer.alloc(10 * MiB)));
    await waitUntil('the other one is heard', async () => (service?.bytesRead ?? 0) - before >= 10 * MiB);
    t.pass();
  });
}

t.test('what comes behind the frame that ends a WebSocket takes no memory that nobody gives back', async (t) => {
  const { url, sockets } = await rawService(t);
  const web = (most: string) => ({ url, roles: { viewer: { allow: ['WS /live'], websocket: { max_message: most } } } });
  const gateway = await startGateway(t, { web: web('1MiB') }, { messageMemory: 256 * 1024, mode: 'buffered' });
  const dial = dialling(t, gateway);
  const piece = (opcode: number, bytes: number) =>
    Buffer.concat([Buffer.from([opcode, 0xfe, bytes >> 8, bytes & 0xff, 0, 0, 0, 0]), Buffer.alloc(bytes)]);
  const ping = Buffer.concat([Buffer.from([0x89, 0x8a, 0, 0, 0, 0]), Buffer.alloc(10)]);
  for (const name of ['alice', 'bob']) {
    gateway.reload('web', web('1MiB'));
    const client = await dial(name);
    client.socket.write(piece(2, 65_000)); // not yet a large one
    await pause(100);
    gateway.reload('web', web('8B'));
    client.socket.write(Buffer.concat([ping, piece(0, 60_000)]));
    t.match(await client.ended, /\x88.\x03\xf1/s, '1009');
  }
  gateway.reload('web', web('1MiB'));
  const last = await dial('carol');
  const before = sockets[2]?.bytesRead ?? 0;
  last.socket.write(Buffer.concat([fragment(100_000, true), LAST]));
  await pause(500);
  t.ok((sockets[2]?.bytesRead ?? 0) - before >= 100_000, 'there is room for a large one');
});
