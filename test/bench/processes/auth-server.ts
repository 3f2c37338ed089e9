/* The auth server of nginx's `auth_request`, `auth-server.js <redis url>`: is this bearer token in Redis? 204 or 401. */
import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import { portOf } from '../../support/ports.js';
import { serveBench } from '../child.js';

const redis = new Redis(process.argv[2] ?? '');
await redis.set('token:bench', 'alice');
const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  const known = token === undefined ? Promise.resolve(null) : redis.get(`token:${token}`);
  known.then(
    (principal) => response.writeHead(principal === null ? 401 : 204).end(),
    () => response.writeHead(503).end(),
  );
});
server.listen(0, '127.0.0.1', () => {
  serveBench({ port: portOf(server.address()) });
});
