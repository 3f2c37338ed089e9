import { Command } from 'commander';
import { serviceSql } from '../postgres/service-sql.js';
import {
  type Answer,
  type ConfigOptions,
  describeProblems,
  give,
  loadForCommand,
  type PolicyTools,
  withConfigOptions,
} from './check.js';

/** The SQL that makes the accounts of a database service; exit code 1 for a configuration that cannot be loaded, 2 usage. */
export async function sqlOf(name: string, options: ConfigOptions, tools: PolicyTools): Promise<Answer> {
  const loaded = loadForCommand(options, tools, await tools.loadProtocols());
  if (!loaded.ok) return { text: describeProblems(loaded.problems), exitCode: 1 };
  const service = loaded.services.get(name);
  if (service === undefined) {
    return {
      text: `no service is called "${name}"\n    there are: ${[...loaded.services.keys()].join(', ') || 'none'}`,
      exitCode: 2,
    };
  }
  if (service.protocol !== 'postgres') return { text: `${name} is no database: it needs no accounts`, exitCode: 2 };
  const text = serviceSql(service);
  return { text: options.json === true ? JSON.stringify({ service: name, sql: text }) : text.trimEnd(), exitCode: 0 };
}

/** `daypass service sql <service>`. */
export function serviceCommand(tools: PolicyTools): Command {
  const sql = new Command('sql')
    .description('print the SQL, for psql, that makes the least-privileged accounts the policy needs')
    .argument('<service>', 'the service');
  withConfigOptions(sql).action(async (service: string, options: ConfigOptions) =>
    give(await sqlOf(service, options, tools)),
  );
  return new Command('service').description('what a service needs of its upstream').addCommand(sql);
}
