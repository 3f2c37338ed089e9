import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Test } from 'tap';
import { serverIdentity } from '../../../src/embedded/account.js';
import { freePort } from '../../support/ports.js';
import { endWithUs } from '../../support/watchdog.js';
import type { Upstream } from './twins.js';

const run = promisify(execFile);
const PASSWORD = 'the-superuser';
const DEBIAN = '/usr/lib/postgresql';

/**
 * Where the programs of an installed PostgreSQL are, the newest; null without. pg_dump refuses servers newer than itself,
 * as the embedded one may be.
 */
export function installedPrograms(): string | null {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...versions.map((version) => join(DEBIAN, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  const needed = ['initdb', 'postgres', 'pg_dump', 'pg_restore'];
  return folders.find((folder) => needed.every((program) => existsSync(join(folder, program)))) ?? null;
}

/** Starts the installed PostgreSQL with databases of these names, stopped when `t` ends. */
export async function startInstalled(t: Test, programs: string, databases: readonly string[]): Promise<Upstream> {
  const owner = await serverIdentity();
  const folder = await mkdtemp('/tmp/dp-debian-');
  await chmod(folder, 0o711);
  const [data, passwordFile] = [join(folder, 'data'), join(folder, 'password')];
  await mkdir(data, { mode: 0o700 });
  await writeFile(passwordFile, PASSWORD, { mode: 0o600 });
  if (owner) await Promise.all([data, passwordFile].map((path) => chown(path, owner.uid, owner.gid)));
  const how = { ...owner, cwd: '/', env: { LC_ALL: 'C', PATH: process.env.PATH ?? '' } };
  const options = ['--no-locale', '--encoding=UTF8', '--no-sync', '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
  await run(join(programs, 'initdb'), ['-D', data, '-U', 'postgres', ...options], how);
  const port = await freePort();
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${data}`, 'fsync=off'];
  const server = spawn(join(programs, 'postgres'), ['-D', data, ...settings.flatMap((one) => ['-c', one])], {
    ...how,
    stdio: 'ignore',
  });
  const ended = once(server, 'exit');
  const release = endWithUs(server.pid ?? 0, 'QUIT', folder);
  t.teardown(async () => {
    server.kill('SIGINT');
    await ended;
    release();
    await rm(folder, { recursive: true, force: true });
  });
  const config = { host: '127.0.0.1', port, user: 'postgres', password: PASSWORD };
  for (const name of databases) await onceUp(config, `create database ${name} template template0`);
  return config;
}

async function onceUp(config: pg.ClientConfig, sql: string): Promise<void> {
  for (let tries = 200; ; tries -= 1) {
    const client = new pg.Client({ ...config, database: 'postgres' });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query(sql);
      return;
    } catch (thrown) {
      const starting =
        thrown instanceof Error && 'code' in thrown && /^(?:ECONNREFUSED|57P03)$/.test(String(thrown.code));
      if (!starting || tries === 0) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await client.end().catch(() => {});
    }
  }
}
