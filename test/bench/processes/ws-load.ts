/* Echoes over WebSockets: each connection sends a message when the last one has come back. */
import WebSocket from 'ws';
import { type Message, serveBench } from '../child.js';

serveBench({}, async (question: Message) => {
  const { url, host, authorization, connections, milliseconds } = question;
  const headers = { host: String(host), authorization: String(authorization) };
  const open = Array.from({ length: Number(connections) }, () => connected(String(url), headers));
  const sockets = await Promise.all(open);
  let echoes = 0;
  // Each says something else: what was just recorded is not to be known again.
  const payload = () => `${echoes}`.padEnd(128, 'x');
  for (const socket of sockets) {
    socket.on('message', () => {
      echoes += 1;
      socket.send(payload());
    });
    socket.send(payload());
  }
  const from = process.hrtime.bigint();
  await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)));
  const seconds = Number(process.hrtime.bigint() - from) / 1e9;
  const perSecond = echoes / seconds;
  for (const socket of sockets) socket.terminate();
  return { perSecond };
});

function connected(url: string, headers: Record<string, string>): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers, perMessageDeflate: false });
    socket.once('open', () => resolve(socket));
    socket.once('error', reject);
  });
}
