import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Who runs, as far as the place of the data depends on it. */
export interface Account {
  readonly uid: number;
  readonly home: string;
}

/**
 * Where a checkout keeps what outlives a restart: the embedded databases, the operator's socket, the samples' passwords.
 * `DAYPASS_DATA` wins. Otherwise root's data is under `/var/lib/daypass`, since root's home is closed to the system user
 * that PostgreSQL must run as, and everyone else's is under `~/.local/share/daypass`. Each checkout has a folder of its
 * own, named by its real path, so that copies run side by side.
 *
 * @param env the process's environment
 * @param checkoutRoot the folder that holds `package.json` and `config/`
 * @returns an absolute path; nothing is created
 * @throws ENOENT when `checkoutRoot` does not exist
 */
export function dataDirectory(
  env: Readonly<Record<string, string | undefined>>,
  checkoutRoot: string,
  account?: Account,
): string {
  if (env.DAYPASS_DATA) return resolve(env.DAYPASS_DATA);
  // Asked only now: a container's user may have no entry in the system's list, and so no home.
  const { uid, home } = account ?? currentAccount();
  const name = createHash('sha256').update(realpathSync(checkoutRoot)).digest('hex').slice(0, 12);
  return uid === 0 ? join('/var/lib/daypass', name) : join(home, '.local/share/daypass', name);
}

function currentAccount(): Account {
  return { uid: process.getuid?.() ?? -1, home: homedir() };
}
