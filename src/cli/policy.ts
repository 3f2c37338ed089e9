import { Command } from 'commander';
import { nearest } from '../config/nearest.js';
import type { ServicePolicy } from '../config/protocol.js';
import { DaypassError } from '../errors.js';
import { decideSafely } from '../gate/decide-safely.js';
import type { Considered, Protocol } from '../gate/protocol.js';
import type { Decision } from '../policy/decision.js';
import {
  type Answer,
  type ConfigOptions,
  describeProblems,
  give,
  loadForCommand,
  type PolicyTools,
  withConfigOptions,
} from './check.js';
import { policyReplayCommand } from './policy-replay.js';

/** Options of `daypass policy test`. */
export interface PolicyTestOptions extends ConfigOptions {
  /** The service's default role when it is not given. */
  readonly role?: string;
}

/** What is asked: may a holder of this role do this on this service? */
export interface Question {
  readonly service: string;
  readonly words: readonly string[];
}

/**
 * Answers through the code that serves: the compiled role and the protocol's own `decide`.
 * Exit code 0 allow, 1 deny (or a configuration that cannot be loaded), 2 usage.
 */
export async function testPolicy(asked: Question, options: PolicyTestOptions, tools: PolicyTools): Promise<Answer> {
  const protocols = await tools.loadProtocols();
  const loaded = loadForCommand(options, tools, protocols);
  if (!loaded.ok) return { text: describeProblems(loaded.problems), exitCode: 1 };
  const service = loaded.services.get(asked.service);
  if (service === undefined) return unknown('service', asked.service, [...loaded.services.keys()]);
  const role = options.role ?? service.defaultRole;
  if (!service.roles.has(role)) return unknown(`role of ${service.name}`, role, [...service.roles.keys()]);
  const protocol = protocols.find(({ name }) => name === service.protocol);
  if (protocol === undefined) return unknown('protocol', service.protocol, []);
  return decideOne(service, role, protocol, asked.words, options.json === true);
}

function decideOne(
  service: ServicePolicy,
  role: string,
  protocol: Protocol,
  words: readonly string[],
  json: boolean,
): Answer {
  const action = readWords(protocol, words);
  if (!action.ok) return { text: action.usage, exitCode: 2 };
  const compiled = service.roles.get(role);
  const decision = decideSafely(protocol, compiled, action.value);
  const considered = protocol.explain?.(compiled, action.value) ?? [];
  const text = json ? asJson(service, role, decision, considered) : asText(service, role, decision, considered);
  return { text, exitCode: decision.outcome === 'allow' ? 0 : 1 };
}

type ReadWords = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly usage: string };

function readWords(protocol: Protocol, words: readonly string[]): ReadWords {
  try {
    return { ok: true, value: protocol.actionFromWords(words) };
  } catch (error) {
    if (!(error instanceof DaypassError) || error.code !== 'usage') throw error;
    return { ok: false, usage: error.hint === undefined ? error.message : `${error.message}\n    ${error.hint}` };
  }
}

function asJson(
  { name, version }: ServicePolicy,
  role: string,
  decision: Decision,
  considered: readonly Considered[],
): string {
  const { outcome, rule, reason, message, hint } = decision;
  return JSON.stringify({ service: name, role, outcome, rule, reason, message, hint, considered, version });
}

function asText(
  { name }: ServicePolicy,
  role: string,
  { outcome, rule, reason, message, hint }: Decision,
  considered: readonly Considered[],
): string {
  const lines: readonly (readonly [string, string | null])[] = [
    ['rule', rule],
    ['reason', reason],
    ['message', message],
    ['hint', hint],
  ];
  const told = lines.flatMap(([label, value]) => (value ? [`  ${label.padEnd(8)} ${value}`] : []));
  const others = considered.filter(({ why }) => why !== null).map((one) => `    ${one.rule}: ${one.why}`);
  const why = others.length === 0 ? [] : ['  rules that do not allow it', ...others];
  return [`${outcome}  ${name} as ${role}`, ...told, ...why].join('\n');
}

function unknown(what: string, name: string, known: readonly string[]): Answer {
  const close = nearest(name, known);
  const hint = close === undefined ? `there are: ${known.join(', ') || 'none'}` : `did you mean "${close}"?`;
  return { text: `no ${what} is called "${name}"\n    ${hint}`, exitCode: 2 };
}

/** `daypass policy test <service> --role <role> <words…>`. */
export function policyCommand(tools: PolicyTools): Command {
  const test = new Command('test')
    .description('may a holder of this role do this? Answers through the code that serves')
    .argument('<service>', 'the service')
    .argument('<words...>', 'the action: POST /orders/7/retry, or one SQL text in quotes')
    .option('--role <role>', "the role; the service's first one when not given");
  withConfigOptions(test).action(async (service: string, words: string[], options: PolicyTestOptions) =>
    give(await testPolicy({ service, words }, options, tools)),
  );
  return new Command('policy').description('ask the policy').addCommand(test).addCommand(policyReplayCommand());
}
