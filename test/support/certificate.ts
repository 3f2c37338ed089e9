import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command } from './commands.js';

/** A certificate and its key, as PEM. */
export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * A self-signed certificate for localhost and 127.0.0.1, and its key. Made by `openssl`.
 * @param also - more host names
 */
export function selfSigned(...also: readonly string[]): Promise<PemPair> {
  return selfSignedBy(['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'], also);
}

/** The same with another key. @param key - as `openssl req -newkey` takes it */
export function selfSignedBy(key: readonly string[], also: readonly string[] = []): Promise<PemPair> {
  const alternative = ['DNS:localhost', 'IP:127.0.0.1', ...also.map((name) => `DNS:${name}`)].join(',');
  const names = ['-subj', '/CN=localhost', '-addext', `subjectAltName=${alternative}`];
  return made((pair) => openssl('req', '-x509', '-newkey', ...key, '-nodes', '-days', '2', ...names, ...pair));
}

/** What `openssl ca` asks for. */
const AUTHORITY = `[ca]
default_ca = it
[it]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
`;

/** The same, valid between two instants. @param from - as `YYYYMMDDHHMMSSZ` */
export function validBetween(from: string, to: string): Promise<PemPair> {
  return made(async ([, key, , cert], folder) => {
    const at = (name: string) => join(folder, name);
    const settings = AUTHORITY.replace(/(index|serial|\.)$/gm, (name) => at(name));
    await Promise.all([writeFile(at('ca'), settings), writeFile(at('index'), ''), writeFile(at('serial'), '01')]);
    await openssl(
      'req',
      '-new',
      '-newkey',
      'ed25519',
      '-nodes',
      '-subj',
      '/CN=localhost',
      '-keyout',
      key,
      '-out',
      at('csr'),
    );
    const signed = ['-selfsign', '-keyfile', key, '-in', at('csr'), '-out', cert, '-startdate', from, '-enddate', to];
    await openssl('ca', '-batch', '-notext', '-config', at('ca'), ...signed);
  });
}

type Outputs = readonly ['-keyout', string, '-out', string];

async function made(make: (outputs: Outputs, folder: string) => Promise<void>): Promise<PemPair> {
  const folder = await mkdtemp('/tmp/dp-cert-');
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  try {
    await make(['-keyout', key, '-out', cert], folder);
    return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function openssl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await command('openssl', args);
  if (code !== 0) throw new Error(`openssl: ${stderr}`);
}
