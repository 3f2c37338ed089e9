import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DaypassError } from '../errors.js';
import type { Identity } from './account.js';

/** A socket's path must fit into 108 bytes on Linux and 104 on macOS, its terminating zero included. */
const LONGEST_SOCKET_PATH = 100;

/** Where one cluster keeps its things. Only `data` and the socket folder belong to the server's user. */
export interface ClusterFiles {
  readonly base: string;
  readonly data: string;
  readonly socketDirectory: string;
  readonly accessRules: string;
  readonly log: string;
  readonly claim: string;
  readonly superuserPassword: string;
}

/**
 * Makes the folders of a cluster.
 * @throws DaypassError `embedded_unreachable` when the server's user cannot reach them
 */
export async function makeFolders(dataRoot: string, name: string, owner: Identity | undefined): Promise<ClusterFiles> {
  await mkdir(join(dataRoot, name), { recursive: true, mode: owner ? 0o711 : 0o700 });
  const root = await realpath(dataRoot);
  const base = join(root, name);
  if (owner) await openTheWay(root, base, owner);
  const socketDirectory = await makeSocketDirectory(base, owner);
  return {
    base,
    data: join(base, 'data'),
    socketDirectory,
    accessRules: join(base, 'pg_hba.conf'),
    log: join(base, 'postgres.log'),
    claim: join(base, 'gateway.json'),
    superuserPassword: join(base, 'superuser'),
  };
}

/** The data directory may have been made 0700 by others; the server's user must be able to pass (not to list). */
async function openTheWay(root: string, base: string, owner: Identity): Promise<void> {
  await Promise.all([root, base].map(async (folder) => chmod(folder, ((await stat(folder)).mode & 0o777) | 0o011)));
  for (let folder = dirname(root); folder !== dirname(folder); folder = dirname(folder)) {
    const { mode, uid } = await stat(folder);
    if ((mode & 0o001) === 0 && uid !== owner.uid) throw unreachable(folder);
  }
}

function unreachable(folder: string): DaypassError {
  return new DaypassError('embedded_unreachable', `${folder} is closed to the system user that PostgreSQL runs as`, {
    hint: 'Choose a data directory outside of it (DAYPASS_DATA), run as an ordinary user, or set DATABASE_URL.',
  });
}

/** Inside the data directory when the path is short enough, else under /tmp; 0700, so only the server's user and root pass. */
async function makeSocketDirectory(base: string, owner: Identity | undefined): Promise<string> {
  const inside = join(base, 'run');
  const short = join('/tmp', `daypass-${createHash('sha256').update(base).digest('hex').slice(0, 12)}`);
  const path = Buffer.byteLength(join(inside, '.s.PGSQL.65535')) <= LONGEST_SOCKET_PATH ? inside : short;
  await mkdir(path, { mode: 0o700 }).then(
    () => own(path, owner),
    (failure: NodeJS.ErrnoException) => {
      if (failure.code !== 'EEXIST') throw failure;
    },
  );
  const found = await lstat(path); // anyone may have put something there first when it is under /tmp
  const trusted = found.isDirectory() && found.uid === (owner?.uid ?? process.getuid?.()) && (found.mode & 0o077) === 0;
  if (trusted) return path;
  throw new DaypassError('embedded_socket', `${path} stands in the way of the database's socket`, {
    hint: "It must be a folder of the server's user with mode 0700. Remove it and start again.",
  });
}

/** Hands a file to the server's user. */
export async function own(path: string, owner: Identity | undefined): Promise<void> {
  if (owner) await chown(path, owner.uid, owner.gid);
}

/** Reads a secret kept in a 0600 file, making it (24 random bytes, base64url) the first time. */
export async function keptSecret(path: string): Promise<string> {
  const kept = await readFile(path, 'utf8').catch(() => '');
  if (kept !== '') return kept.trim();
  const secret = randomBytes(24).toString('base64url');
  await writeFile(`${path}.new`, `${secret}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
  return secret;
}
