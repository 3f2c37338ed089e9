import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { DaypassError } from '../errors.js';
import type { Identity } from './account.js';
import type { Binaries } from './binaries.js';
import { type ClusterFiles, own } from './files.js';

const run = promisify(execFile);

export const SUPERUSER = 'postgres';

/** The environment of the server's programs: nothing of the gateway's own, which may hold secrets. */
export const serverEnvironment = { PATH: '/usr/bin:/bin', TZ: 'UTC', LC_ALL: 'C' };

/**
 * Runs `initdb` the first time: UTF-8 with PostgreSQL's own C.UTF-8 (the same order on every machine), passwords by SCRAM.
 * It works beside the final place and renames, so that an interrupted first start begins again.
 *
 * @param durable false only where the data may be lost (tests): skips the final sync
 * @throws DaypassError `embedded_init` with the program's words
 */
export async function initialise(
  binaries: Binaries,
  files: ClusterFiles,
  password: string,
  owner: Identity | undefined,
  durable = true,
): Promise<void> {
  if (existsSync(files.data)) return;
  const draft = `${files.data}.new`;
  const passwordFile = `${files.base}/initdb-password`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  await rm(passwordFile, { force: true });
  await writeFile(passwordFile, password, { mode: 0o600, flag: 'wx' });
  await Promise.all([own(draft, owner), own(passwordFile, owner)]);
  try {
    await run(binaries.initdb, initdbArguments(draft, passwordFile, durable), {
      ...owner,
      cwd: files.base,
      env: serverEnvironment,
    });
  } catch (cause) {
    throw new DaypassError('embedded_init', `initdb failed: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(draft, files.data);
}

function initdbArguments(data: string, passwordFile: string, durable: boolean): string[] {
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const access = [`--username=${SUPERUSER}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
  return ['-D', data, ...locale, ...access, ...(durable ? [] : ['--no-sync', '--wal-segsize=1'])];
}

/** Who may come over TCP: a line of `pg_hba.conf` each. The superuser only comes over the socket. */
export interface TcpClient {
  readonly database: string;
  readonly user: string;
}

/** Writes the access rules anew at every start, so that they are never older than the program. */
export async function writeAccessRules(files: ClusterFiles, clients: readonly TcpClient[]): Promise<void> {
  const tcp = clients.flatMap(({ database, user }) =>
    ['127.0.0.0/8', '::1/128'].map((peers) => `host ${database} ${user} ${peers} scram-sha-256`),
  );
  await writeFile(files.accessRules, ['local all all scram-sha-256', ...tcp, ''].join('\n'));
  await chmod(files.accessRules, 0o644);
}
