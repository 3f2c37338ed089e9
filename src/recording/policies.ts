import { setTimeout as pause } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { ServicePolicy } from '../config/protocol.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { timed } from './timed.js';

/** How long the ledger may take to answer, milliseconds. */
const ANSWER_WITHIN = 3_000;
const TRY_AGAIN_AFTER = 1_000;

const KEEP = `
  insert into policies (version, service, text)
  select distinct on (version) * from unnest($1::text[], $2::text[], $3::text[]) as given(version, service, text)
  on conflict (version) do nothing`;

/**
 * Keeps the policy texts that records name by version, so that a record can be decided again. Secrets are references in
 * these texts, never values.
 * @throws what `pg` does; when there is no answer within some seconds too
 */
export async function rememberPolicies(pool: Pool, services: Iterable<ServicePolicy>): Promise<void> {
  const policies = [...services];
  if (policies.length === 0) return;
  const columns = [
    policies.map(({ version }) => version),
    policies.map(({ name }) => name),
    policies.map(({ text }) => text),
  ];
  await pool.query(timed(ANSWER_WITHIN, KEEP, columns));
}

/** Keeps the texts of policies that come while the gateway runs, trying until the ledger takes them. */
export class PolicyTexts {
  readonly #pool: Pool;
  readonly #log: Log;
  /** By version. */
  readonly #unkept = new Map<string, ServicePolicy>();
  #trying: Promise<void> | null = null;
  #stopped = false;

  constructor(pool: Pool, log: Log) {
    this.#pool = pool;
    this.#log = log;
  }

  /** Resolves when the ledger has these texts and all that were given before, or at the stop. Never rejects. */
  keep(services: Iterable<ServicePolicy>): Promise<void> {
    for (const policy of services) this.#unkept.set(policy.version, policy);
    this.#trying ??= this.#untilKept();
    return this.#trying;
  }

  /** Tries no more. */
  stop(): void {
    this.#stopped = true;
  }

  async #untilKept(): Promise<void> {
    let failing = false;
    while (this.#unkept.size > 0 && !this.#stopped) {
      const kept = await this.#keepAll(failing);
      if (!kept) await pause(TRY_AGAIN_AFTER, undefined, { ref: false });
      failing = !kept;
    }
    this.#trying = null;
  }

  async #keepAll(failing: boolean): Promise<boolean> {
    const policies = [...this.#unkept.values()];
    const versions = policies.map(({ version }) => version);
    try {
      await rememberPolicies(this.#pool, policies);
    } catch (thrown) {
      const problem = { versions, err: messageOf(thrown) };
      if (!failing) this.#log.error(problem, 'the ledger did not take the texts of the policies; it is tried again');
      return false;
    }
    for (const version of versions) this.#unkept.delete(version);
    if (failing) this.#log.info({ versions }, 'the ledger has the texts of the policies');
    return true;
  }
}
