/* http-proxy with keep-alive, `http-proxy.js <port> <port of the service that takes uploads and WebSockets>`. */
import { Agent, createServer } from 'node:http';
import proxy from 'http-proxy';
import { portOf } from '../../support/ports.js';
import { serveBench } from '../child.js';

const [port, wsPort] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const forward = proxy.createProxyServer({ target: `http://127.0.0.1:${port}`, agent });
const tunnel = proxy.createProxyServer({ target: `http://127.0.0.1:${wsPort}`, ws: true, agent });
forward.on('error', (_error, _request, response) => void response.end());
tunnel.on('error', (_error, _request, response) => void response.end());
const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) =>
  request.url === '/upload' ? tunnel.web(request, response) : forward.web(request, response),
);
server.on('upgrade', (request, socket, head) => tunnel.ws(request, socket, head));
server.listen(0, '127.0.0.1', () => {
  serveBench({ port: portOf(server.address()) });
});
