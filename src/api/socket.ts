import { once } from 'node:events';
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { DaypassError } from '../errors.js';

/** Longer paths do not fit into `sockaddr_un` (108 bytes with the final NUL, unix(7)). */
const LONGEST_PATH = 107;

/**
 * Binds a server to a unix socket that only its owner can use: the socket is 0600 from its first moment, and a directory
 * made for it is 0700. What a dead gateway left behind is replaced.
 * @throws DaypassError `already_running`, `data_directory_unsafe`, `socket_path_too_long`
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw new DaypassError('socket_path_too_long', `The path of the operator's socket is too long: ${path}`, {
      hint: 'Choose a shorter data directory with --data or DAYPASS_DATA.',
    });
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  checkDirectory(dirname(path));
  if (await answers(path)) {
    throw new DaypassError('already_running', 'A gateway is already running with this data directory.', {
      hint: 'Stop it first, or give this one another directory with --data or DAYPASS_DATA.',
    });
  }
  rmSync(path, { force: true });
  const listening = once(server, 'listening');
  // Binding happens within this call, so nobody else's file is made under this mask.
  const mask = process.umask(0o177);
  try {
    // Exclusive: in a worker it is this process's, not one that the primary binds and shares, under its own mask.
    server.listen({ path, exclusive: true });
  } finally {
    process.umask(mask);
  }
  await listening;
}

/** Whoever can write in the directory could put another socket in the place of ours. */
function checkDirectory(directory: string): void {
  const { mode, uid } = lstatSync(directory);
  if ((mode & 0o022) === 0 && uid === (process.getuid?.() ?? uid)) return;
  throw new DaypassError('data_directory_unsafe', `Others can write in the data directory ${directory}, or own it.`, {
    hint: `chmod go-w ${directory}`,
  });
}

/** Whether somebody listens there. */
export async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
