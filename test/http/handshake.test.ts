import t from 'tap';
import { readResponseHead } from '../../src/http/service/response-head.js';
import { acceptFor, faultOf101, readWish } from '../../src/http/websocket/handshake.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const WISH = { key: KEY, protocols: ['chat'] };

t.test('A7: a 101 opens nothing unless it answers our key, once, with nothing that nobody offered', async (t) => {
  const fault = (...lines: string[]) => {
    const head = ['HTTP/1.1 101 X', 'Upgrade: websocket', 'Connection: Upgrade', ...lines].join('\r\n');
    return faultOf101(readResponseHead(head), KEY, WISH);
  };
  const accept = `Sec-WebSocket-Accept: ${acceptFor(KEY)}`;
  const [chat, other] = ['Sec-WebSocket-Protocol: chat', 'Sec-WebSocket-Protocol: other'];
  t.equal(fault(accept), null);
  t.equal(fault(accept, chat), null);
  for (const lines of [
    ...[[], [accept, accept], [`Sec-WebSocket-Accept: ${acceptFor(`x${KEY}`)}`], [accept, other], [accept, chat, chat]],
    ...[
      [accept, 'Sec-WebSocket-Extensions: permessage-deflate'],
      [accept, 'Upgrade: websocket'],
    ],
  ])
    t.not(fault(...lines), null, `${lines}`);
});

t.test('the opening of a WebSocket has nothing behind its head', async (t) => {
  const headers = [
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Key', KEY],
  ] as const;
  t.match(readWish({ method: 'GET', headers }, Buffer.alloc(0)), { ok: true });
  t.match(readWish({ method: 'GET', headers }, Buffer.from('x')), { ok: false });
  t.match(readWish({ method: 'GET', headers: [...headers, ['Content-Length', '1']] }, Buffer.alloc(0)), { ok: false });
});
