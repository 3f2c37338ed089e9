import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { overTls } from '../http/over-tls.js';
import { freePort } from '../support/ports.js';
import { waitUntil } from '../support/wait.js';

const NGINX = '/usr/sbin/nginx';

/** What services say of keeping an answer; nothing at all is kept by CDNs, too. */
const SAID: readonly Readonly<Record<string, string>>[] = [
  {},
  { 'cache-control': 'public, max-age=3600' },
  { 'cache-control': 's-maxage=3600' },
  { 'cache-control': 'max-age=3600, x="a, private, b"' },
  { 'cache-control': 'max-age=3600, private=x-mine' },
  { expires: new Date(Date.now() + 3_600_000).toUTCString() },
  { 'x-accel-expires': '3600' },
  { 'cache-control': 'private, max-age=60', 'x-accel-expires': '3600', 'cdn-cache-control': 'max-age=3600' },
];

async function started(t: Test) {
  const echo = await startEcho(t, (req, res) => {
    res.writeHead(200, SAID[Number(req.url?.slice(2))]).end('of alice alone');
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  return { gateway, handle: gateway.issue('web').handle };
}

const ask = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\n${more}\r\n`;

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('connect', () => socket.destroy()).on('error', () => resolve(false));
  });
}

/** A cache before the gateway that keeps all it may, and for a while what says nothing of it. */
async function startCache(t: Test, gateway: number): Promise<number> {
  const root = await mkdtemp('/tmp/dp-cache-');
  const port = await freePort();
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${root}/${name};`,
  );
  const places = `proxy_cache_path ${root}/kept keys_zone=kept:1m; ${folders.join(' ')}`;
  const passing = `proxy_pass http://127.0.0.1:${gateway}; proxy_set_header Host $host; proxy_cache kept; proxy_cache_valid 200 1h;`;
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    `${root}/nginx.conf`,
    `${user} daemon off; worker_processes 1; pid ${root}/pid; error_log ${root}/error.log; events {}
     http { access_log off; ${places} server { listen 127.0.0.1:${port}; location / { ${passing} } } }`,
  );
  const nginx = spawn(NGINX, ['-p', root, '-c', `${root}/nginx.conf`, '-e', `${root}/error.log`], { stdio: 'ignore' });
  const ended = once(nginx, 'exit');
  t.teardown(async () => {
    nginx.kill();
    await ended;
    await rm(root, { recursive: true, force: true });
  });
  await waitUntil('nginx listens', () => isListening(port));
  return port;
}

t.test('B16: an answer to somebody is for no cache that others share, whatever the service says', async (t) => {
  const { gateway, handle } = await started(t);
  for (const at of SAID.keys()) {
    const answer = await raw(t, gateway.port, ask(`/c${at}`, `Daypass-Handle: ${handle}\r\n`)).ended;
    t.match(answer, /^HTTP\/1\.1 200 [\s\S]*\r\ncache-control: private[,\r]/i, JSON.stringify(SAID[at]));
    t.notMatch(answer, /cdn-cache-control|x-accel-expires/i);
  }
  const last = await raw(t, gateway.port, ask(`/c${SAID.length - 1}`, `Daypass-Handle: ${handle}\r\n`)).ended;
  t.equal(last.match(/^cache-control:/gim)?.length, 1, 'what says it already is left as it is');
});

const skip = existsSync(NGINX) && !overTls.clients ? false : 'nginx is not installed, or speaks no TLS here';
t.test('B16: and a cache that stands before the gateway gives it to nobody else', { skip }, async (t) => {
  const { gateway, handle } = await started(t);
  const port = await startCache(t, gateway.port);
  for (const at of SAID.keys()) {
    const words = JSON.stringify(SAID[at]);
    t.match(await raw(t, port, ask(`/c${at}`, `Daypass-Handle: ${handle}\r\n`)).ended, /of alice alone/, words);
    const stranger = await raw(t, port, ask(`/c${at}`)).ended;
    t.match(stranger, /^HTTP\/1\.1 401 /, words);
  }
});
