/* WebSockets that are opened and then say nothing. */
import WebSocket from 'ws';
import { type Message, serveBench } from '../child.js';

const open: WebSocket[] = [];

serveBench({}, async ({ port, handle, connections }: Message) => {
  const headers = { host: 'echo.localhost', authorization: `Bearer ${handle}` };
  const all = Array.from({ length: Number(connections) }, async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers, perMessageDeflate: false });
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    open.push(socket);
  });
  await Promise.all(all);
  return { open: open.length };
});
