import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Notices } from './alerts/notices.js';
import type { Reloaded } from './api/parts.js';
import type { Clock } from './clock.js';
import { outdated } from './config/certificates.js';
import { readEnvFile } from './config/env-file.js';
import type { TlsSettings } from './config/gateway.js';
import { type ConfigProblem, type LoadedConfig, loadConfig } from './config/load.js';
import type { NoticeSettings } from './config/notices.js';
import { DaypassError, messageOf } from './errors.js';
import type { Gate } from './gate/gate.js';
import type { Policies } from './gate/policies.js';
import type { Protocol } from './gate/protocol.js';
import type { Log } from './log.js';
import type { Metrics } from './metrics.js';
import { warnOfUpstreams } from './postgres/upstream-check.js';
import type { PolicyTexts } from './recording/policies.js';

/** Where a configuration is read from. */
export interface ConfigurationPlace {
  readonly configDirectory: string;
  readonly dataDirectory: string;
  /** The process's environment unless given. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads the configuration, with the samples' addresses and passwords where the environment has none.
 * @throws ConfigRefused with every problem
 */
export function loadPolicies(
  options: ConfigurationPlace,
  protocols: readonly Protocol[],
): Extract<LoadedConfig, { ok: true }> {
  const env = { ...readEnvFile(join(options.dataDirectory, 'samples.env')), ...(options.env ?? process.env) };
  const loaded = loadConfig(options.configDirectory, protocols, env);
  if (!loaded.ok) throw new ConfigRefused(loaded.problems);
  return loaded;
}

/** The configuration has problems: all of them, in order. */
export class ConfigRefused extends DaypassError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(
      'config_refused',
      `The configuration has ${problems.length} problem(s):\n${problems.map(problemLine).join('\n')}`,
      { hint: 'daypass check' },
    );
    this.problems = problems;
  }
}

/**
 * Puts changed policies in force, changed notices, and a changed certificate; wrong ones change nothing and are said loudly. Other
 * settings of `daypass.yaml` need a restart.
 * Reloads run one at a time.
 */
export function reloader(
  options: ConfigurationPlace,
  protocols: readonly Protocol[],
  live: Live,
): () => Promise<Reloaded> {
  return oneAtATime(() => reloadPolicies(options, protocols, live));
}

/** A reload that is asked for while one is under way begins after it: an older file never wins over a newer one. */
function oneAtATime<T>(work: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(work, work);
    last = next;
    return next;
  };
}

/** What a reload touches. */
export interface Live {
  readonly policies: Policies;
  readonly gate: Gate;
  readonly texts: PolicyTexts;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Shows the certificate to connections from here on. */
  readonly showCertificate: (tls: TlsSettings) => void;
  readonly notices: Pick<Notices, 'prepare'>;
}

async function reloadPolicies(
  options: ConfigurationPlace,
  protocols: readonly Protocol[],
  live: Live,
): Promise<Reloaded> {
  const { policies, gate, clock, log, metrics } = live;
  const problems = await replacePolicies(options, protocols, live);
  policies.problems = problems;
  const services = policies.all().map(({ name }) => name);
  metrics.reloaded(problems.length > 0 ? null : clock.wall());
  if (problems.length > 0) log.error({ problems }, 'the policies were NOT reloaded: the old ones stay in force');
  else {
    metrics.serves(policies.all(), clock.monotonic());
    gate.live.policiesChanged();
    log.info({ services }, 'the policies were reloaded');
    void warnOfUpstreams(policies.all(), log);
  }
  return { ok: problems.length === 0, services, problems };
}

/** Whether the files say something else than what is in force; also when they cannot be read, which a reload then says. */
export function hasChanged(
  options: ConfigurationPlace,
  protocols: readonly Protocol[],
  policies: Policies,
  notices: NoticeSettings,
): boolean {
  try {
    const { services, gateway } = loadPolicies(options, protocols);
    if (JSON.stringify(gateway.notices) !== JSON.stringify(notices)) return true;
    const versions = [...services.values()].map(({ name, version }) => `${name} ${version}`);
    const inForce = policies.all().map(({ name, version }) => `${name} ${version}`);
    return versions.sort().join() !== inForce.sort().join();
  } catch {
    return true;
  }
}

/** How long a new policy waits for the ledger to have its text, milliseconds. */
const REMEMBER_WITHIN = 1_000;

/**
 * The texts first, since records name what decided by its version, and a version without its text explains nothing. But not
 * at any price: what takes access away must not wait for a ledger that is silent, so after a second the policies are put in
 * force all the same, and their texts follow as soon as the ledger takes them. Little passes under a version that is
 * unknown there: strict sessions wait for the same ledger to take their record. Only a process that dies in between leaves
 * a version whose text stands in the configuration's files alone.
 */
async function replacePolicies(
  options: ConfigurationPlace,
  protocols: readonly Protocol[],
  { policies, texts, showCertificate, notices, clock, log }: Live,
): Promise<string[]> {
  try {
    const { services, gateway } = loadPolicies(options, protocols);
    await Promise.race([texts.keep(services.values()), pause(REMEMBER_WITHIN, undefined, { ref: false })]);
    // Before the policies: what cannot be shown, or told by, changes nothing.
    const announce = notices.prepare(gateway.notices);
    if (gateway.tls !== undefined) showCertificate(gateway.tls);
    announce();
    policies.replace(services);
    for (const warning of outdated(gateway.tls, services.values(), clock.wall())) log.warn(warning);
    return [];
  } catch (thrown) {
    return thrown instanceof ConfigRefused ? thrown.problems.map(problemLine) : [messageOf(thrown)];
  }
}

function problemLine({ file, line, column, message }: ConfigProblem): string {
  return `${file}:${line}:${column}  ${message}`;
}

/** Editors write a file in several steps: what changes within this time is one change, milliseconds. */
const SETTLE = 200;

/** Reloads on SIGHUP and when a file of the configuration changes. */
export function watchConfiguration(directory: string, reload: () => Promise<unknown>, log: Log): { stop(): void } {
  let timer: NodeJS.Timeout | null = null;
  const soon = () => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      // A refused policy is said by `reload` itself; the old one stays in force.
      void reload().catch(() => {});
    }, SETTLE);
  };
  const watchers = [directory, join(directory, 'services')].flatMap((path) => watched(path, soon, log));
  process.on('SIGHUP', soon);
  return {
    stop: () => {
      if (timer !== null) clearTimeout(timer);
      process.off('SIGHUP', soon);
      for (const watcher of watchers) watcher.close();
    },
  };
}

function watched(path: string, changed: () => void, log: Log): FSWatcher[] {
  try {
    const watcher = watch(path, { persistent: false }, changed);
    watcher.on('error', (thrown) =>
      log.warn({ path, err: messageOf(thrown) }, 'the configuration is no longer watched; use SIGHUP'),
    );
    return [watcher];
  } catch (thrown) {
    log.warn({ path, err: messageOf(thrown) }, 'the configuration cannot be watched; use SIGHUP');
    return [];
  }
}
