/* The web service of the bench where nginx is not installed: `web.js <folder>`, whose files it serves from memory. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { portOf } from '../../support/ports.js';
import { serveBench } from '../child.js';

const folder = process.argv[2] ?? '';
const files = new Map(
  [
    ['/small', 'small.json'],
    ['/medium.bin', 'medium.bin'],
    ['/large.bin', 'large.bin'],
  ].map(([path = '', name = '']) => [path, readFileSync(join(folder, name))]),
);
const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const body = files.get(request.url ?? '');
  if (body === undefined) response.writeHead(404).end();
  else response.writeHead(200, { 'content-length': body.byteLength, 'content-type': 'application/json' }).end(body);
});
server.listen(0, '127.0.0.1', () => {
  serveBench({ port: portOf(server.address()) });
});
