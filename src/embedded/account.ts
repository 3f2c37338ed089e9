import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { DaypassError } from '../errors.js';

const run = promisify(execFile);

/** The system user that PostgreSQL runs as when the gateway is root: `postgres` refuses to run as root. */
const SYSTEM_USER = 'daypass';

/** Numeric ids to start a child process with. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whom a database server must run as.
 * @returns undefined for an ordinary user (the server runs as the same user); as root the `daypass` system user, which is
 *   made when missing. A bare uid would not do: PostgreSQL looks its user up in the passwd database.
 * @throws DaypassError `embedded_account` when the user cannot be made
 */
export async function serverIdentity(): Promise<Identity | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const known = await lookUp();
  if (known) return known;
  const failure = await makeUser();
  const made = await lookUp(); // looked up again even after a failure: another process may have made it meanwhile
  if (made) return made;
  throw new DaypassError('embedded_account', `the system user "${SYSTEM_USER}" could not be made`, {
    cause: failure,
    hint: `Make it by hand (useradd --system --user-group ${SYSTEM_USER}), run as an ordinary user, or set DATABASE_URL.`,
  });
}

async function makeUser(): Promise<unknown> {
  const options = ['--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent'];
  try {
    await run('useradd', [...options, '--shell', '/usr/sbin/nologin', SYSTEM_USER]);
    return undefined;
  } catch (failure) {
    return failure;
  }
}

async function lookUp(): Promise<Identity | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', SYSTEM_USER]), run('id', ['-g', SYSTEM_USER])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}
