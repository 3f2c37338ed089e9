import { once } from 'node:events';
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { join, resolve } from 'node:path';
import { answers } from '../api/socket.js';
import { DaypassError, messageOf } from '../errors.js';
import type { LocalService } from './settings.js';

/** Longer paths do not fit into `sockaddr_un` (108 bytes with the final NUL, unix(7)). */
const LONGEST_PATH = 107;

/** Where a service's socket is in a folder: PostgreSQL's clients look for this name when the folder is their host (libpq, `host`). */
export function socketIn(folder: string, { service, protocol, port }: Omit<LocalService, 'subject'>): string {
  return join(resolve(folder), protocol === 'postgres' ? `.s.PGSQL.${port}` : `${service}.sock`);
}

/**
 * Listens on a socket that its owner alone can open: 0600 from its first moment, in a folder that is 0700. What a dead `connect` left is
 * replaced.
 * @throws DaypassError `socket_unsafe`, `socket_in_use`
 */
export async function listenOnSocket(server: Server, folder: string, path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH) throw unusable(path, `it is longer than ${LONGEST_PATH} bytes`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    checkFolder(folder);
    if (await answers(path))
      throw new DaypassError('socket_in_use', `Somebody listens on ${path} already.`, {
        hint: 'Say another --socket or --port.',
      });
    removeSocket(path);
    await bind(server, path);
  } catch (cause) {
    throw cause instanceof DaypassError ? cause : unusable(path, messageOf(cause));
  }
}

async function bind(server: Server, path: string): Promise<void> {
  const listening = once(server, 'listening');
  // Binding happens within this call, so nobody else's file is made under this mask.
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  await listening;
}

/** Whoever can enter the folder could open the socket, and whoever can write there could put another in its place. */
function checkFolder(folder: string): void {
  const found = lstatSync(folder);
  if (!found.isDirectory()) throw unusable(folder, 'it is no folder');
  if ((found.mode & 0o077) === 0 && found.uid === (process.geteuid?.() ?? found.uid)) return;
  throw new DaypassError('socket_unsafe', `Others may use the folder ${folder}, or own it.`, {
    hint: 'Choose one of your own: chmod 700 it, or name one that is not there yet.',
  });
}

function removeSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isSocket()) throw unusable(path, 'it is there, and no socket');
  rmSync(path, { force: true });
}

function unusable(path: string, why: string): DaypassError {
  return new DaypassError('socket_unsafe', `${path} cannot be used as a socket: ${why}`);
}
