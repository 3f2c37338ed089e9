import { join } from 'node:path';
import { Command } from 'commander';
import { withEnvFile } from '../config/env-file.js';
import { type ConfigProblem, type LoadedConfig, loadConfig } from '../config/load.js';
import type { Protocol } from '../gate/protocol.js';

/** What commands that read the configuration are given by the command line's root. */
export interface PolicyTools {
  /** The protocols of this build, ready to judge. */
  loadProtocols(): Promise<readonly Protocol[]>;
  /** Where `samples.env` is looked for when `--data` is not given. */
  dataDirectory(): string;
}

/** Options of every command that reads the configuration. */
export interface ConfigOptions {
  readonly config: string;
  readonly data?: string;
  readonly json?: boolean;
}

/** What a command prints, and how it ends: 0 done, 1 refused or failed, 2 usage. */
export interface Answer {
  readonly text: string;
  readonly exitCode: 0 | 1 | 2;
}

/** Adds the options of `ConfigOptions` to a command. */
export function withConfigOptions(command: Command): Command {
  return command
    .option('--config <dir>', 'the configuration directory', 'config')
    .option('--data <dir>', 'the data directory, whose samples.env fills in what the environment lacks')
    .option('--json', 'answer in JSON');
}

/** Loads the configuration as the gateway would, with the samples' addresses and passwords where none are set. */
export function loadForCommand(
  options: ConfigOptions,
  tools: PolicyTools,
  protocols: readonly Protocol[],
): LoadedConfig {
  const samples = join(options.data ?? tools.dataDirectory(), 'samples.env');
  return loadConfig(options.config, protocols, withEnvFile(process.env, samples));
}

/** Every problem as `file:line:column  message` with its hint below, or how many services there are. */
export async function check(options: ConfigOptions, tools: PolicyTools): Promise<Answer> {
  return report(loadForCommand(options, tools, await tools.loadProtocols()), options.json === true);
}

/** The answer of `daypass check` for a configuration. */
export function report(loaded: LoadedConfig, json: boolean): Answer {
  const exitCode = loaded.ok ? 0 : 1;
  const services = loaded.ok ? [...loaded.services.keys()] : [];
  if (json) return { text: JSON.stringify({ ok: loaded.ok, services, problems: loaded.problems }), exitCode };
  if (!loaded.ok) return { text: describeProblems(loaded.problems), exitCode };
  return { text: `ok: ${services.length} ${services.length === 1 ? 'service' : 'services'}`, exitCode };
}

/** Problems for a person: a line each, its hint indented below. */
export function describeProblems(problems: readonly ConfigProblem[]): string {
  return problems
    .flatMap(({ file, line, column, message, hint }) => {
      const place = `${file}:${line}:${column}  ${message}`;
      return hint === undefined ? [place] : [place, `    ${hint.replaceAll('\n', '\n    ')}`];
    })
    .join('\n');
}

/** Prints an answer and remembers the exit code; a usage error goes to standard error. */
export function give({ text, exitCode }: Answer): void {
  (exitCode === 2 ? process.stderr : process.stdout).write(`${text}\n`);
  process.exitCode = exitCode;
}

/** `daypass check`: is everything in the configuration directory as it should be? */
export function checkCommand(tools: PolicyTools): Command {
  const command = new Command('check').description('validate the configuration and report every problem at once');
  return withConfigOptions(command).action(async (options: ConfigOptions) => give(await check(options, tools)));
}
