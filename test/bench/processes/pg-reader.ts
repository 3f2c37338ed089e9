/* Reads the rows of one statement as fast as they come and drops them: a client that costs next to nothing. */
import { type Message, serveBench } from '../child.js';
import { bareSocketOf, connectedTo, message } from '../database.js';

serveBench({}, async ({ text, ...way }: Message) => {
  const socket = bareSocketOf(await connectedTo(way));
  let bytes = 0;
  const from = process.hrtime.bigint();
  // ReadyForQuery ends the stream.
  const ended = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (chunk.length >= 6 && chunk.subarray(-6, -1).equals(READY)) resolve();
    });
  });
  socket.write(message('Q', Buffer.from(`${text}\0`)));
  await ended;
  const ms = Number(process.hrtime.bigint() - from) / 1e6;
  socket.destroy();
  return { ms, bytes };
});

const READY = Buffer.from([0x5a, 0, 0, 0, 5]);
