import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { command } from './commands.js';

/**
 * A self-signed certificate for localhost and 127.0.0.1, and its key, as PEM. Made by `openssl`.
 * @param also - more host names
 */
export async function selfSigned(...also: readonly string[]): Promise<{ readonly cert: string; readonly key: string }> {
  const folder = await mkdtemp('/tmp/dp-cert-');
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const alternative = ['DNS:localhost', 'IP:127.0.0.1', ...also.map((name) => `DNS:${name}`)].join(',');
  const names = ['-subj', '/CN=localhost', '-addext', `subjectAltName=${alternative}`];
  try {
    const { code, stderr } = await command('openssl', ['req', ...kind, ...names, '-keyout', key, '-out', cert]);
    if (code !== 0) throw new Error(`openssl: ${stderr}`);
    return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
