import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** Which of this machine's addresses the proxies of tests have. */
export const PROXY = '127.0.0.2';
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** A header of version 2 of the PROXY protocol, whatever it says. */
export function binaryHeader(block: Buffer, { command = 0x21, family = 0x11, length = block.length } = {}): Buffer {
  const head = Buffer.from([command, family, length >> 8, length & 255]);
  return Buffer.concat([SIGNATURE, head, block]);
}

/** Addresses and ports as version 2 has them: from the client to the gateway. */
export function addresses(client: readonly number[], port = 4711): Buffer {
  const ports = Buffer.from([port >> 8, port & 255, 0x1b, 0x9e]);
  return Buffer.concat([Buffer.from(client), Buffer.alloc(client.length), ports]);
}

/**
 * A TCP proxy that begins each connection with these bytes.
 * @param port - where it leads; a function when that is not known yet
 * @returns its port
 */
export async function startProxy(
  t: Test,
  port: number | (() => number),
  header: string | Buffer,
  localAddress = PROXY,
): Promise<number> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => sockets.add(socket.on('error', () => socket.destroy()));
  const server = createServer((client) => {
    const onward = connect({ port: typeof port === 'number' ? port : port(), host: '127.0.0.1', localAddress });
    keep(client);
    keep(onward);
    onward.write(header);
    client.pipe(onward).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
