import { join } from 'node:path';
import { Command } from 'commander';
import { outdated } from '../config/certificates.js';
import { withEnvFile } from '../config/env-file.js';
import { type ConfigProblem, type LoadedConfig, loadConfig } from '../config/load.js';
import type { Protocol } from '../gate/protocol.js';
import type { AccountFinding } from '../postgres/upstream-check.js';

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

/** Options of `daypass check`. */
export interface CheckOptions extends ConfigOptions {
  /** Also ask the databases what the accounts may really do. */
  readonly connect?: boolean;
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
export async function check(options: CheckOptions, tools: PolicyTools): Promise<Answer> {
  const loaded = loadForCommand(options, tools, await tools.loadProtocols());
  const answer = report(loaded, options.json === true);
  if (!loaded.ok || options.connect !== true) return answer;
  const { checkUpstreams } = await import('../postgres/upstream-check.js');
  const accounts = await checkUpstreams(loaded.services.values());
  const asWanted = accounts.every((one) => one.ok && one.exceeds.length + one.lacks.length === 0);
  const exitCode = asWanted ? 0 : 1;
  if (options.json === true)
    return { text: JSON.stringify({ ...JSON.parse(answer.text), ok: asWanted, accounts }), exitCode };
  return { text: [answer.text, ...accounts.map(describeAccount)].join('\n'), exitCode };
}

/** One account of an upstream in words: a line, and one more for everything that is not as the policy wants it. */
function describeAccount(finding: AccountFinding): string {
  const who = `${finding.service}, account ${finding.user}`;
  if (!finding.ok) return `${who}: cannot be asked: ${finding.message}`;
  const { exceeds, lacks } = finding;
  if (exceeds.length + lacks.length === 0) return `${who}: may do what the policy says, and no more`;
  const more = exceeds.map((what) => `    more than the policy says: ${what}`);
  return [`${who}:`, ...more, ...lacks.map((what) => `    less than the policy says: ${what}`)].join('\n');
}

/** The answer of `daypass check` for a configuration. */
function report(loaded: LoadedConfig, json: boolean): Answer {
  const exitCode = loaded.ok ? 0 : 1;
  const services = loaded.ok ? [...loaded.services.keys()] : [];
  // They keep no gateway from starting.
  const warnings = loaded.ok ? outdated(loaded.gateway.tls, loaded.services.values(), Date.now()) : [];
  if (json) return { text: JSON.stringify({ ok: loaded.ok, services, problems: loaded.problems, warnings }), exitCode };
  if (!loaded.ok) return { text: describeProblems(loaded.problems), exitCode };
  const ok = `ok: ${services.length} ${services.length === 1 ? 'service' : 'services'}`;
  return { text: [ok, ...warnings.map((warning) => `warning: ${warning}`)].join('\n'), exitCode };
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
  const command = new Command('check')
    .description('validate the configuration and report every problem at once')
    .option('--connect', 'also ask the databases whether the accounts may do what the policy says, and no more');
  return withConfigOptions(command).action(async (options: CheckOptions) => give(await check(options, tools)));
}
