import type { Pool, PoolClient } from 'pg';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { type Raise, raiseAlert } from '../recording/alerts.js';
import { inTransaction } from '../recording/transaction.js';
import { networkOf } from './network.js';

/** A use of a grant's handle. */
export interface Use {
  readonly session: string;
  readonly grant: string;
  readonly principal: string;
  readonly service: string;
  /** The client's address, without a port. */
  readonly address: string;
}

interface Seen extends Use {
  readonly network: string;
  readonly at: number;
}

export interface NetworksParts {
  /** Nobody's way to a service may wait for what this pool does. */
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Writes the alert, and tells whoever has to be told. */
  readonly raise?: Raise | undefined;
}

/** How many uses this gateway remembers, and how many may wait for the ledger. */
const MOST = 10_000;
const TRY_AGAIN_AFTER = 2_000;
/** Any number of its own: the uses of one grant are written one after the other. */
const LOCK = 0x6470_6e77;

/**
 * From which networks the handle of each grant is used. A second one raises an alert, once for each network: a handle is one
 * person's. Written behind the sessions; what the ledger does not take is tried again.
 */
export class Networks {
  readonly #parts: NetworksParts;
  /** What was noted; the first is the one of longest ago. */
  readonly #known = new Set<string>();
  readonly #waiting: Seen[] = [];
  #writing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(parts: NetworksParts) {
    this.#parts = parts;
  }

  /** Notes a use. Returns at once and never throws. */
  note(use: Use): void {
    const network = networkOf(use.address);
    if (network === null || this.#stopped || !this.#isNew(`${use.grant} ${network}`)) return;
    if (this.#waiting.length >= MOST)
      return void this.#parts.log.error({ grant: use.grant }, 'a network was not noted');
    this.#waiting.push({ ...use, network, at: this.#parts.clock.wall() });
    this.#begin();
  }

  /** Resolves when everything noted was tried to be written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Writes what it can, and no more from then on. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#begin();
    this.#stopped = true;
    await this.#writing;
    clearTimeout(this.#timer);
  }

  #isNew(key: string): boolean {
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    const oldest = this.#known.values().next();
    if (this.#known.size > MOST && !oldest.done) this.#known.delete(oldest.value);
    return true;
  }

  #begin(): void {
    if (this.#writing !== null || this.#waiting.length === 0) return;
    clearTimeout(this.#timer);
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
    });
  }

  async #write(): Promise<void> {
    try {
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
        await this.#keep(next);
        this.#waiting.shift();
      }
    } catch (thrown) {
      const problem = { waiting: this.#waiting.length, err: messageOf(thrown) };
      this.#parts.log.warn(problem, 'networks of grants wait for the ledger');
      if (!this.#stopped) this.#timer = setTimeout(() => this.#begin(), TRY_AGAIN_AFTER).unref();
    }
  }

  async #keep(seen: Seen): Promise<void> {
    const others = await inTransaction(this.#parts.pool, (client) => write(client, seen, this.#parts.raise));
    if (others.length === 0) return;
    const { grant, principal, service, session, network, address: client } = seen;
    this.#parts.metrics.alerted('second_network');
    this.#parts.log.warn(
      { alert: 'second_network', grant, principal, service, session, client, network, others },
      'a handle is used from a second network',
    );
  }
}

/** @returns the networks that were seen before, where this one is new and so an alert was raised */
async function write(client: PoolClient, seen: Seen, raise: Raise = raiseAlert): Promise<readonly string[]> {
  const { grant, principal, service, session, network, address, at } = seen;
  // Two gateways that see a first network each at the same time must see each other's.
  await client.query('select pg_advisory_xact_lock($1, hashtext($2))', [LOCK, grant]);
  const { rowCount } = await client.query(
    'insert into grant_networks (grant_id, network, first_seen) values ($1, $2, $3) on conflict do nothing',
    [grant, network, new Date(at)],
  );
  if (rowCount !== 1) return [];
  const { rows } = await client.query<{ network: string }>(
    'select network from grant_networks where grant_id = $1 and network <> $2 order by first_seen, network',
    [grant, network],
  );
  const others = rows.map((row) => row.network);
  if (others.length === 0) return others;
  const detail = { network, client: address, others };
  const subject = `grant:${grant} ${network}`;
  const about = { kind: 'second_network', subject, principal, service, grant, session } as const;
  return (await raise(client, { ...about, detail, at })) === null ? [] : others;
}
