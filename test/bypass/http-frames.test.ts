import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { type RawClient, raw, startGateway, type TestGateway } from '../http/gateway.js';
import { rawService } from '../http/raw-service.js';

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** An open WebSocket on a service that takes bytes. */
async function opened(t: Test): Promise<{ gateway: TestGateway; client: RawClient; service: Socket | undefined }> {
  const { url, sockets } = await rawService(t);
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['WS /live'] } } });
  const { handle } = gateway.issue('web');
  const opening = `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}`;
  const client = raw(t, gateway.port, opening);
  await client.sees(/\r\n\r\n/);
  return { gateway, client, service: sockets.at(-1) };
}

/** Pings with their number, masked with nothing. */
const pings = (many: number) =>
  Buffer.concat(
    Array.from({ length: many }, (_, number) => {
      const frame = Buffer.from([0x89, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]);
      frame.writeUInt32BE(number, 6);
      return frame;
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
