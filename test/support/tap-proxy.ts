import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { portOf } from './ports.js';

/** A TCP relay in front of an upstream that counts and keeps what it is sent: what "the upstream has seen" means. */
export interface TapProxy {
  readonly port: number;
  /** Bytes the gateway has sent since the last `forget`, over all connections. */
  readonly seen: () => Buffer;
  /** Bytes the upstream has sent, over all connections. */
  readonly answered: () => Buffer;
  forget(): void;
  /** Live connections. */
  readonly open: ReadonlySet<Socket>;
}

export async function tapProxy(t: Test, host: string, port: number): Promise<TapProxy> {
  let seen: Buffer[] = [];
  const answered: Buffer[] = [];
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, host);
    open.add(client);
    client.on('data', (chunk: Buffer) => {
      seen.push(chunk);
      upstream.write(chunk);
    });
    upstream.on('data', (chunk: Buffer) => {
      answered.push(chunk);
      client.write(chunk);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
    client.on('close', () => open.delete(client));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return {
    port: portOf(server.address()),
    seen: () => Buffer.concat(seen),
    answered: () => Buffer.concat(answered),
    forget: () => {
      seen = [];
    },
    open,
  };
}
