import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

/** What a receiver answers to a post; `posts` counts it too. */
export type PostAnswer = (response: ServerResponse, posts: number) => void;

const noContent: PostAnswer = (response) => void response.writeHead(204).end();

/**
 * A real HTTP server that keeps what is posted, until `t` ends.
 * @param path - where `url` leads; every other one is taken too
 * @param read - what is kept of a post
 * @param answer - 204 unless given
 */
export async function postReceiver<Kept>(
  t: Test,
  path: string,
  read: (text: string, headers: IncomingHttpHeaders) => Kept,
  answer: PostAnswer = noContent,
) {
  const posts: Kept[] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const piece of request.setEncoding('utf8')) text += String(piece);
    posts.push(read(text, request.headers));
    answer(response, posts.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { posts, url: { href: `${origin}${path}`, origin, basePath: path } };
}
