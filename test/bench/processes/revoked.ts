/* One WebSocket, and the moment it is closed. */
import WebSocket from 'ws';
import { type Message, serveBench } from '../child.js';

let closed: Promise<number> = Promise.resolve(0);

serveBench({}, async (question: Message) => {
  if (question.do !== 'open') return { at: await closed };
  const headers = { host: 'echo.localhost', authorization: `Bearer ${question.handle}` };
  const socket = new WebSocket(`ws://127.0.0.1:${question.port}/live`, { headers, perMessageDeflate: false });
  closed = new Promise((resolve) => socket.once('close', () => resolve(Date.now())));
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  return {};
});
