import { chmod, chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serverIdentity } from '../../../src/embedded/account.js';
import { freePort } from '../../support/ports.js';
import { folder } from '../folder.js';
import type { Scope } from '../scope.js';
import { runProgram } from './program.js';

/** PgBouncer in session mode before one database, with one login. It refuses to run as root. */
export async function startPgbouncer(
  scope: Scope,
  upstream: { readonly port: number; readonly database: string; readonly user: string; readonly password: string },
): Promise<{ readonly port: number; readonly pid: number }> {
  const root = await folder(scope);
  const port = await freePort();
  const { user, password, database } = upstream;
  await writeFile(join(root, 'users.txt'), `"${user}" "${password}"\n`);
  await writeFile(
    join(root, 'pgbouncer.ini'),
    `[databases]
${database} = host=127.0.0.1 port=${upstream.port} dbname=${database} user=${user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = md5
auth_file = ${root}/users.txt
pool_mode = session
default_pool_size = 200
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
log_stats = 0
`,
  );
  const owner = await serverIdentity();
  for (const name of ['users.txt', 'pgbouncer.ini']) {
    await chmod(join(root, name), 0o600);
    if (owner) await chown(join(root, name), owner.uid, owner.gid);
  }
  if (owner) await chown(root, owner.uid, owner.gid);
  const pid = await runProgram(scope, 'pgbouncer', [join(root, 'pgbouncer.ini')], {
    port,
    ...(owner ? { uid: owner.uid, gid: owner.gid } : {}),
  });
  return { port, pid };
}
