import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../errors.js';
import { readDocument, type SourceDocument } from './document.js';
import { deepFreeze } from './freeze.js';
import { type GatewayConfig, gatewayRules, gatewaySchema, toGatewayConfig } from './gateway.js';
import { type Finding, judge } from './issues.js';
import type { ProtocolConfig, ServicePolicy } from './protocol.js';
import { readService } from './service.js';
import { keyedMap, type Sources, valueSchemas } from './values.js';

/** Something wrong in a file; line and column count from 1. */
export interface ConfigProblem {
  /** As the directory was given: `config/services/orders-db.yaml`. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint?: string;
}

/** Everything the gateway serves by, or everything that keeps it from doing so. */
export type LoadedConfig =
  | {
      readonly ok: true;
      readonly gateway: GatewayConfig;
      readonly services: ReadonlyMap<string, ServicePolicy>;
      readonly problems: readonly [];
    }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** A megabyte: far above any policy written by hand. */
const LONGEST_FILE = 1_048_576;

/**
 * Reads `daypass.yaml` and `services/*.yaml` of a directory. One problem anywhere and nothing is loaded: a gateway that
 * served half of its policy would be wrong about the other half.
 * @returns the frozen configuration, or every problem of every file
 */
export function loadConfig(
  directory: string,
  protocols: readonly ProtocolConfig[],
  env: Readonly<Record<string, string | undefined>>,
): LoadedConfig {
  const sources = { env, directory };
  const gateway = loadGateway(join(directory, 'daypass.yaml'), sources);
  const { services, problems } = loadServices(join(directory, 'services'), protocols, sources);
  const all = inOrder([...gateway.problems, ...problems]);
  if (gateway.value === undefined || all.length > 0) return deepFreeze({ ok: false, problems: all });
  return deepFreeze({ ok: true, gateway: gateway.value, services, problems: [] });
}

interface Loaded<T> {
  readonly value?: T;
  readonly problems: readonly ConfigProblem[];
}

function loadGateway(path: string, sources: Sources): Loaded<GatewayConfig> {
  const file = readSource(path);
  if (file.value === undefined) return { problems: file.problems };
  const { document } = file.value;
  const part = { document, path: [], value: document.value };
  const schema = gatewaySchema(sources);
  const read = judge(schema, part);
  const broken = gatewayRules(schema).flatMap((rule) => {
    const held = judge(rule, part);
    return held.ok ? [] : held.findings;
  });
  const findings = [...(read.ok ? [] : read.findings), ...broken];
  const problems = [...file.problems, ...locate(path, document, findings)];
  return read.ok && problems.length === 0 ? { value: toGatewayConfig(read.value), problems } : { problems };
}

function loadServices(folder: string, protocols: readonly ProtocolConfig[], sources: Sources) {
  const services = new Map<string, ServicePolicy>();
  const names = listFiles(folder);
  const problems = [...names.problems];
  const claims = new Map<unknown, string>();
  for (const name of names.value ?? []) {
    const path = join(folder, name);
    const file = readSource(path);
    problems.push(...file.problems);
    if (file.value === undefined) continue;
    const { text, document } = file.value;
    problems.push(...claimedTwice(path, document, claims));
    const stem = name.slice(0, -'.yaml'.length);
    const service = readService({ stem, text, document }, protocols, valueSchemas(sources));
    if (service.ok) services.set(service.value.name, service.value);
    else problems.push(...locate(path, document, service.findings));
  }
  return { services, problems };
}

/** Two files that name the same service: neither may win by the order of their names. */
function claimedTwice(path: string, document: SourceDocument, claims: Map<unknown, string>): ConfigProblem[] {
  const name = keyedMap.safeParse(document.value).data?.service;
  const first = claims.get(name);
  if (typeof name === 'string' && first === undefined) claims.set(name, path);
  if (first === undefined) return [];
  const message = `duplicate service "${String(name)}"`;
  return locate(path, document, [{ path: ['service'], part: 'value', message, hint: `it also stands in ${first}` }]);
}

/** The policy files of a folder. A file that looks like one and would not be read is a problem, not a surprise. */
function listFiles(folder: string): Loaded<string[]> {
  try {
    const names = readdirSync(folder).toSorted();
    const misspelt = names.filter((name) => /\.(?:yml|YAML|YML|json)$/.test(name));
    const problems = misspelt.map((name) =>
      whole(join(folder, name), 'would not be read', 'policy files end in .yaml'),
    );
    return { value: names.filter((name) => name.endsWith('.yaml') && !name.startsWith('.')), problems };
  } catch (error) {
    return { problems: [whole(folder, `cannot be read: ${messageOf(error)}`, 'one file per service stands there')] };
  }
}

function readSource(path: string): Loaded<{ text: string; document: SourceDocument }> {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > LONGEST_FILE) return { problems: [whole(path, 'longer than a megabyte')] };
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const document = readDocument(text);
    const problems = document.problems.map((problem) => ({ file: path, ...problem }));
    return document.value === undefined ? { problems } : { value: { text, document }, problems };
  } catch (error) {
    return { problems: [whole(path, `cannot be read: ${messageOf(error)}`)] };
  }
}

function whole(file: string, message: string, hint?: string): ConfigProblem {
  return { file, line: 1, column: 1, message, ...(hint === undefined ? {} : { hint }) };
}

function locate(file: string, document: SourceDocument, findings: readonly Finding[]): ConfigProblem[] {
  return findings.map(({ path, part, message, hint }) => {
    const position = document.positionOf(path, part);
    return { file, ...position, message, ...(hint === undefined ? {} : { hint }) };
  });
}

/** File by file as they were read, each from top to bottom, nothing twice: two rules may find the same fault. */
function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const once = [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
  const files = [...new Set(once.map(({ file }) => file))];
  return once.toSorted(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column,
  );
}
