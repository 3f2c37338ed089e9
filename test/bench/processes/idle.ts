/* WebSockets that are opened and then say nothing, until they are asked whether they still work. */
import WebSocket from 'ws';
import { type Message, serveBench } from '../child.js';

const open: WebSocket[] = [];

serveBench({}, async ({ do: what, port, handle, connections }: Message) => {
  if (what === 'echo') return { alive: (await Promise.all(open.map(echoes))).filter(Boolean).length };
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

/** Milliseconds for all of them. */
const PATIENCE = 30_000;

function echoes(socket: WebSocket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), PATIENCE);
    const answered = (alive: boolean) => {
      clearTimeout(timer);
      resolve(alive);
    };
    socket.once('message', () => answered(true));
    socket.once('close', () => answered(false));
    if (socket.readyState === WebSocket.OPEN) socket.send('still here');
    else answered(false);
  });
}
