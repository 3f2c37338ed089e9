import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { publicKeySet } from '../../src/grant/assertion.js';
import { asOwner, KEYS } from '../audit/fixture.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { command, type Finished } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { startGateway } from '../support/gateway.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

t.test('a reviewer lists, exports and verifies the audit log from the command line', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const run = (...words: string[]): Promise<Finished> =>
    command(process.execPath, [MAIN, ...words], { env: { DAYPASS_DATA: gateway.dataDirectory } });
  const folder = await dataFolder(t);
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const keys = file('jwks.json', await publicKeySet(KEYS));
  await gateway.issue({ service: 'orders-db' });
  // Past every check of the API, as whoever owns the ledger may write.
  await gateway.ledger.query(`insert into daypass.grant_acts (grant_id, act, at, by, reason)
    values ('x', 'revoke', now(), E'ev\\u202eil', E'fine\\n9999  root  \\x1b[2J\\u009b')`);

  const listed = await run('audit', 'list');
  t.equal(listed.code, 0, listed.stderr);
  t.match(listed.stdout, /LINE +AT \(UTC\) +BY +VIA +ACT/);
  t.match(listed.stdout, /grant\.issue/);
  t.notMatch(listed.stdout, /[\x1b\u009b\u202e]/, 'no control character reaches the terminal');
  t.notMatch(listed.stdout, /^9999/m, 'a reason cannot pose as a line');
  t.notMatch((await run('audit', 'list', '--json')).stdout, /[\x1b\u009b\u202e]/);
  t.equal(JSON.parse((await run('audit', 'list', '--act', 'grant.issue', '--json')).stdout).entries.length, 1);
  t.equal((await run('audit', 'list', '--result', 'maybe')).code, 1);

  const head = file('head', (await run('audit', 'head')).stdout);
  const exported = await run('audit', 'export', '--by', 'rita');
  t.equal(exported.code, 0, exported.stderr);
  t.notMatch(exported.stdout, /[\x1b\u009b\u202e]/);
  const whole = file('export.jsonl', exported.stdout);
  const offline = (...more: string[]) => run('audit', 'verify', '--keys', keys, ...more);
  t.match(await offline('--file', whole, '--head', head), { code: 0, stdout: /the chain holds/ });
  t.match(await run('audit', 'verify', '--head', head), { code: 0, stdout: /the chain holds/ });
  const cut = file('cut.jsonl', exported.stdout.trimEnd().split('\n').slice(0, -1).join('\n'));
  t.match(await offline('--file', cut), { code: 1, stdout: /no_head/ });
  t.match(await run('audit', 'verify', '--file', whole), { code: 1, stderr: /--keys jwks\.json/ });
  t.match(await offline('--file', join(folder, 'none')), { code: 1, stderr: /ENOENT/ });
  t.match(await offline('--file', folder), { code: 1, stderr: /EISDIR/ });
  t.match(await run('audit', 'verify', '--file', whole, '--keys', whole), {
    code: 1,
    stderr: /no set of Ed25519 keys/,
  });

  await asOwner(gateway.ledger, 'delete from daypass.audit where seq >= 2');
  t.match(await run('audit', 'verify'), { code: 0 }, 'an end that is cut off cannot be told from the rest alone');
  t.match(await run('audit', 'verify', '--head', head), { code: 1, stdout: /2 +truncated/ });
});
