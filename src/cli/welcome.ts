import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import type { GatewayStatus } from '../api/parts.js';
import { GatewayClient } from './client.js';
import { isDefaultPlace } from './place.js';

interface Fresh {
  readonly id: string;
  readonly expiresAt: string;
  readonly connect: readonly string[];
}

type Tries = Readonly<Record<'allowed' | 'refused', (line: string) => string>>;

/** What to try with each sample service: something the default role may do, and something it may not. */
const TRIES: ReadonlyMap<string, Tries> = new Map([
  ['orders-web', { allowed: (line) => `${line}orders/7`, refused: (line) => `${line}orders/7/retry -X POST` }],
  [
    'orders-db',
    {
      allowed: (line) => `${line} -c 'select * from orders limit 3'`,
      refused: (line) => `${line} -c 'delete from orders'`,
    },
  ],
]);

const HALF_AN_HOUR = 1_800;

/**
 * Prints what to paste next, with fresh grants for the sample services: asked over the operator's socket, as anyone would. Nobody
 * is let into a service of the operator's own by starting.
 */
export async function welcome(dataDirectory: string): Promise<void> {
  const gateway = new GatewayClient(dataDirectory);
  const { body: status } = await gateway.ask<GatewayStatus>('GET', '/v1/status');
  const blocks = ['\nDaypass is running; Ctrl-C ends it. Paste these in another terminal, in this folder.'];
  let last = '<grant>';
  for (const { name } of status.services) {
    const tries = TRIES.get(name);
    if (tries === undefined) continue;
    const { body: fresh } = await gateway.ask<Fresh>('POST', '/v1/grants', asked(name));
    last = fresh.id;
    blocks.push(serviceBlock(name, tries, fresh));
  }
  if (!onPath('psql'))
    blocks.push('psql is not installed here: apt-get install postgresql-client, or brew install libpq');
  blocks.push(operatorBlock(last, isDefaultPlace(dataDirectory) ? '' : ` --data ${quoted(dataDirectory)}`));
  process.stdout.write(`${blocks.join('\n\n')}\n\n`);
}

function asked(service: string) {
  const reason = 'trying Daypass out';
  return {
    principal: 'alice',
    service,
    durationSeconds: HALF_AN_HOUR,
    sponsor: 'dana',
    reason,
    by: userInfo().username,
  };
}

function serviceBlock(name: string, { allowed, refused }: Tries, { connect, expiresAt }: Fresh): string {
  // The last needs no login.
  const line = connect.at(-1);
  const lines = line === undefined ? [] : [`  allowed  ${allowed(line)}`, `  refused  ${refused(line)}`];
  return [`${name}: alice may read until ${expiresAt}`, ...lines].join('\n');
}

function operatorBlock(grant: string, data: string): string {
  return [
    'and as the operator:',
    `  npx daypass sessions list${data}`,
    `  npx daypass replay <session>${data}`,
    `  npx daypass verify${data}`,
    `  npx daypass grant revoke ${grant} --reason 'tried it out'${data}`,
  ].join('\n');
}

/** A path as a shell reads it back. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

function onPath(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, command)));
}
