import type { Test } from 'tap';
import { type GatewayOptions, raw, startGateway } from './gateway.js';
import { rawService } from './raw-service.js';

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** The frames in some bytes, as words: the first byte in hexadecimal and the payload, of a close frame its code. */
function framesOf(bytes: Buffer): string[] {
  const said: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [first = 0, second = 0] = bytes.subarray(at);
    const mask = (second & 0x80) === 0 ? null : bytes.subarray(at + 2, at + 6);
    const from = at + (mask === null ? 2 : 6);
    const data = bytes.subarray(from, from + (second & 0x7f)).map((byte, index) => byte ^ (mask?.[index & 3] ?? 0));
    const text =
      (first & 0x0f) === 8 && data.length > 1 ? `${data[0]! * 256 + data[1]!} ${data.subarray(2)}` : `${data}`;
    said.push(`${first.toString(16)} ${text}`.trim());
    at = from + (second & 0x7f);
  }
  return said;
}

/** An open WebSocket between a client and a service of bare sockets, and what each has received. */
export async function opened(t: Test, mode: 'strict' | 'buffered' = 'strict', options: GatewayOptions = {}) {
  const { url, sockets } = await rawService(t);
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['WS /live'] } } }, { mode, ...options });
  /** One more, of somebody. */
  const another = async (principal: string) => {
    const { handle, id } = gateway.issue('web', { principal });
    const opening = `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}`;
    const client = raw(t, gateway.port, opening);
    await client.sees(/\r\n\r\n/);
    const head = client.text().length;
    const service = sockets.at(-1)!;
    const heard: Buffer[] = [];
    service.on('data', (chunk: Buffer) => heard.push(chunk));
    const seen = () => framesOf(Buffer.from(client.text().slice(head), 'latin1'));
    const received = () => framesOf(Buffer.concat(heard));
    return { id, client: client.socket, service, seen, received };
  };
  return { gateway, url, another, ...(await another('alice')) };
}
