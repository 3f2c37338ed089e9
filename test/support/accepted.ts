import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { portOf } from './ports.js';

/** Both ends of an accepted connection. */
export async function acceptedEnds(t: Test): Promise<{ client: Socket; accepted: Socket }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect(portOf(server.address()), '127.0.0.1');
  const [accepted]: Socket[] = await once(server, 'connection');
  if (accepted === undefined) throw new Error('nobody came');
  t.teardown(() => {
    for (const socket of [client, accepted]) socket.destroy();
    server.close();
  });
  return { client, accepted };
}
