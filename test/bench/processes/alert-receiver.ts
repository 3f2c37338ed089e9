/* A receiver of webhooks that notes when it was told of each alert first, and since when there was something to tell. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Message, serveBench } from '../child.js';

interface Told {
  readonly rule: string;
  readonly grant: string;
  /** Milliseconds since the epoch: what was found happened, the alert arrived. */
  readonly happened: number;
  readonly arrived: number;
}

const told = new Map<string, Told>();

const server = createServer(async (request, response) => {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += String(piece);
  const arrived = Date.now();
  response.writeHead(204).end();
  const { data } = JSON.parse(text);
  const { alert, rule, grant, at } = data;
  if (!told.has(alert)) told.set(alert, { rule, grant, happened: Date.parse(at), arrived });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

serveBench({ port: (server.address() as AddressInfo).port }, (question: Message) => {
  if (question.do === 'count') return { count: told.size };
  const all = [...told.values()].filter((one) => one.rule === question.rule);
  return {
    grants: all.map(({ grant }) => grant),
    happened: all.map(({ happened }) => happened),
    arrived: all.map(({ arrived }) => arrived),
  };
});
