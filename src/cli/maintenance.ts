import { Command } from 'commander';
import { gatewayAddress } from '../api/connect.js';
import type { GatewayStatus, Reloaded } from '../api/parts.js';
import { type ActorOptions, type GatewayOptions, tell, withActor, withGateway, withGatewayOptions } from './run.js';
import { facts } from './words.js';

interface Rebuilt {
  readonly sessions: number;
  readonly rows: number;
  readonly unreadable: readonly string[];
}

/** `daypass index rebuild`. */
export function indexCommand(): Command {
  const rebuild = new Command('rebuild')
    .description('make what is searchable anew from the recordings')
    .argument('[session]');
  withActor(rebuild).action((session: string | undefined, options: ActorOptions) =>
    withGateway(options, async (gateway) => {
      const { body } = await gateway.ask<Rebuilt>('POST', '/v1/index/rebuild', { session, by: options.by });
      tell(options, body, ({ sessions, rows, unreadable }) =>
        [`${sessions} sessions, ${rows} rows`, ...unreadable.map((id) => `cannot be read: ${id}`)].join('\n'),
      );
      return body.unreadable.length === 0 ? 0 : 1;
    }),
  );
  return new Command('index').description('the search index').addCommand(rebuild);
}

/** `daypass status`: exit code 1 when something is missing. */
export function statusCommand(): Command {
  const command = new Command('status').description('the running gateway');
  return withGatewayOptions(command).action((options: GatewayOptions) =>
    withGateway(options, async (gateway) => {
      const { body } = await gateway.ask<GatewayStatus>('GET', '/v1/status');
      tell(options, body, statusWords);
      return body.notReady.length === 0 ? 0 : 1;
    }),
  );
}

function statusWords(status: GatewayStatus): string {
  const { listen, services, problems } = status;
  return facts([
    ['gateway', `${status.gatewayId}, version ${status.version}, process ${status.pid}`],
    ['workers', status.workers],
    ['since', status.startedAt],
    ['ready', status.notReady.length === 0 ? 'yes' : `no: ${status.notReady.join(', ')}`],
    [
      'policies',
      problems.length === 0 ? null : 'NOT those of the files: the last reload was refused, and changed nothing',
    ],
    ...problems.map((problem) => ['', problem] as const),
    ['http', listen.http === null ? null : `${listen.http}, as <service>.${status.domain}`],
    ['postgres', listen.postgres],
    ['reached at', gatewayAddress(status)],
    ['health', listen.health],
    ['live sessions', status.liveSessions],
    ...services.map(({ name, protocol, roles }) => ['service', `${name} (${protocol}): ${roles.join(', ')}`] as const),
  ]);
}

/** `daypass reload`: reads the policies again. Exit code 1 when they have problems; the old ones then stay in force. */
export function reloadCommand(): Command {
  const command = new Command('reload').description('read the configuration again; live sessions are judged by it');
  return withActor(command).action((options: ActorOptions) =>
    withGateway(options, async (gateway) => {
      const { body } = await gateway.ask<Reloaded>('POST', '/v1/reload', { by: options.by });
      tell(options, body, ({ ok, services, problems }) =>
        ok ? `reloaded: ${services.join(', ')}` : [...problems, 'nothing was changed'].join('\n'),
      );
      return body.ok ? 0 : 1;
    }),
  );
}
