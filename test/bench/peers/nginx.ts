import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../support/ports.js';
import { folder } from '../folder.js';
import type { Scope } from '../scope.js';
import { runProgram } from './program.js';

const SMALL_BODY = JSON.stringify({ order: 7, customer: 'customer 7', status: 'open', items: ['a', 'b', 'c'] });

/** What the web service of the bench serves: a small document, one of 64 KiB and one of `large` bytes. */
export async function writeDocuments(root: string, large: number): Promise<void> {
  await writeFile(join(root, 'small.json'), SMALL_BODY);
  await writeFile(join(root, 'medium.bin'), Buffer.alloc(64 * 1024, 'x'));
  await writeFile(join(root, 'large.bin'), Buffer.alloc(large, 'x'));
}

/** The web service of the bench, over those documents. Uploads go to another one, which reads them to their end. */
export async function startWebService(scope: Scope, root: string): Promise<number> {
  const port = await freePort();
  await startNginx(
    scope,
    root,
    `server { listen 127.0.0.1:${port}; root ${root}; default_type application/json;
       open_file_cache max=10; location = /small { default_type application/json; return 200 '${SMALL_BODY}'; } }`,
    port,
  );
  return port;
}

/** Two ports of one nginx: a plain reverse proxy, and one that asks an auth server about each request. */
export async function startNginxProxies(
  scope: Scope,
  ports: { readonly web: number; readonly echo: number; readonly auth: number },
): Promise<{ readonly plain: number; readonly authorised: number }> {
  const root = await folder(scope);
  const [plain, authorised] = [await freePort(), await freePort()];
  const pass = 'proxy_http_version 1.1; proxy_set_header Host $host; client_max_body_size 0;';
  const kept = `${pass} proxy_set_header Connection "";`;
  const upgraded = `${pass} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;`;
  const asking = 'auth_request /auth;';
  const places = (auth: string) => `
    location / { ${auth} ${kept} proxy_pass http://web; }
    location = /upload { ${auth} ${kept} proxy_request_buffering off; proxy_pass http://echo; }
    location /live { ${auth} ${upgraded} proxy_pass http://echo; }`;
  await startNginx(
    scope,
    root,
    `upstream web { server 127.0.0.1:${ports.web}; keepalive 64; }
     upstream echo { server 127.0.0.1:${ports.echo}; keepalive 64; }
     upstream auth { server 127.0.0.1:${ports.auth}; keepalive 64; }
     server { listen 127.0.0.1:${plain}; ${places('')} }
     server { listen 127.0.0.1:${authorised}; ${places(asking)}
       location = /auth { internal; ${kept} proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://auth; } }`,
    plain,
  );
  return { plain, authorised };
}

/** One worker, as the gateway is one process; no access log, which is in nginx's favour. */
async function startNginx(scope: Scope, root: string, http: string, port: number): Promise<void> {
  const asRoot = process.getuid?.() === 0 ? 'user root;' : '';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const conf = `${asRoot} daemon off; worker_processes 1; pid ${root}/nginx.pid; error_log ${root}/error.log warn;
    events { worker_connections 8192; }
    http { access_log off; sendfile on; tcp_nodelay on; keepalive_timeout 300; keepalive_requests 100000000;
      ${temporary.map((name) => `${name}_temp_path ${root}/${name};`).join(' ')}
      ${http} }`;
  await writeFile(join(root, 'nginx.conf'), conf);
  await runProgram(scope, 'nginx', ['-p', root, '-c', join(root, 'nginx.conf'), '-e', join(root, 'error.log')], {
    port,
  });
}
