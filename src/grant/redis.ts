import { Redis, type RedisOptions } from 'ioredis';
import { z } from 'zod';
import { DaypassError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { RedisFeed } from './redis-feed.js';
import { GET, PUT, REVOKE } from './scripts.js';
import type { FeedState, GrantStore, StoredGrant } from './store.js';

/** The channel every gateway hears. It carries ids and no authority. */
const CHANNEL = 'dp:feed';

const COMMAND_TIMEOUT_MS = 400;
/** `SET … PXAT`, on which every grant's end stands, is of this version. */
const OLDEST = [6, 2] as const;
/** What a server says that answers and does not let us in (redis.io, ACL). */
const REFUSAL = /^(?:NOAUTH|WRONGPASS|NOPERM)\b/;
/** After so many pings without an answer the connection is given up: a half-open one would never say so. */
const SILENT_PINGS = 3;

const answers = z.tuple([z.string().nullable(), z.union([z.literal(0), z.literal(1)]), z.coerce.number().positive()]);
const puts = z.enum(['stored', 'revoked', 'past']);

/** The live index on a Redis primary (6.2 or newer) that every gateway shares. */
export class RedisGrantStore implements GrantStore {
  readonly #client: Redis;
  readonly #feed: RedisFeed;
  readonly #log: Log;
  /** Set once the server said that it is a primary and evicts nothing; asked again after every reconnect. */
  #fit = false;
  #silentPings = 0;
  #lastError: Error | undefined;

  private constructor(client: Redis, feed: RedisFeed, log: Log) {
    this.#client = client;
    this.#feed = feed;
    this.#log = log;
    client.on('close', () => {
      this.#fit = false;
    });
    client.on('error', (error) => {
      this.#lastError = error;
      this.#log.debug({ error: messageOf(error) }, 'redis connection');
    });
  }

  /**
   * Connects and examines the server.
   * @throws DaypassError `store_unavailable`; `store_login_refused`; `store_too_old`, `store_evicts`, `store_not_primary`, `store_loading` or
   * `store_cluster` for an unfit server
   */
  static async open(url: string, log: Log): Promise<RedisGrantStore> {
    const client = new Redis(url, connectionOptions('daypass'));
    const feed = new RedisFeed(new Redis(url, connectionOptions('daypass-feed')), CHANNEL, log);
    const store = new RedisGrantStore(client, feed, log);
    try {
      await client.connect();
      await store.#examine();
      return store;
    } catch (error) {
      await store.close();
      // `connect` only says that the connection is closed; why, the client told before.
      throw unfit(error instanceof DaypassError ? error : (store.#lastError ?? error));
    }
  }

  async put(id: string, token: string, expiresAt: number): Promise<'stored' | 'revoked' | 'past'> {
    const reply = puts.safeParse(await this.#run(PUT, id, [token, expiresAt]));
    if (!reply.success) throw unavailable(reply.error);
    return reply.data;
  }

  async get(id: string): Promise<StoredGrant> {
    const reply = answers.safeParse(await this.#run(GET, id, []));
    if (!reply.success) throw unavailable(reply.error);
    const [token, revoked, now] = reply.data;
    return { token, revoked: revoked === 1, now };
  }

  async revoke(id: string, until: number): Promise<void> {
    await this.#run(REVOKE, id, [Math.ceil(until), CHANNEL, id]);
  }

  async announce(id: string): Promise<void> {
    await this.#ask(() => this.#client.publish(CHANNEL, id));
  }

  subscribe(heard: (id: string) => void, state?: FeedState): Promise<() => Promise<void>> {
    return this.#feed.subscribe(heard, state);
  }

  async ping(): Promise<number> {
    this.#feed.probe();
    try {
      await this.#examine();
      const [seconds, micros] = await this.#client.time();
      this.#silentPings = 0;
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    } catch (error) {
      this.#silentPings += 1;
      if (this.#silentPings % SILENT_PINGS === 0 && this.#client.status === 'ready') this.#client.disconnect(true);
      throw unavailable(error);
    }
  }

  async close(): Promise<void> {
    this.#client.disconnect();
    this.#feed.close();
  }

  /**
   * A replica may answer what is no longer true, a server that evicts forgets tombstones, and one that loads its data knows nothing yet,
   * though it answers INFO and TIME: none may be asked. All of it can change while the connection stands.
   */
  async #examine(): Promise<void> {
    const facts = await this.#client.info();
    this.#fit = false;
    const fact = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(facts)?.[1];
    if (isTooOld(fact('redis_version'))) {
      const found = fact('redis_version') ?? 'of an unknown version';
      throw new DaypassError('store_too_old', `Redis is ${found}; Daypass needs ${OLDEST.join('.')} or newer.`);
    }
    // Not every service that speaks as Redis says so; one that loads refuses scripts besides.
    if (fact('loading') === '1') {
      throw new DaypassError('store_loading', 'Redis is still loading its data.');
    }
    if (fact('role') !== 'master') {
      throw new DaypassError('store_not_primary', 'REDIS_URL is not a primary: it may answer what is no longer true.');
    }
    const policy = fact('maxmemory_policy');
    // Whether or not a limit is set today: it can be set tomorrow, without anyone asking us.
    if (policy !== 'noeviction') {
      throw new DaypassError('store_evicts', `Redis may evict keys (maxmemory-policy is ${policy ?? 'unknown'}).`, {
        hint: 'Set maxmemory-policy to noeviction: an evicted tombstone would bring a revoked grant back.',
      });
    }
    if (fact('cluster_enabled') === '1') {
      throw new DaypassError('store_cluster', 'REDIS_URL is a node of a cluster, which this version cannot follow.');
    }
    this.#fit = true;
  }

  #run(script: string, id: string, values: readonly (string | number)[]): Promise<unknown> {
    return this.#ask(() => this.#client.eval(script, 2, `dp:{${id}}:g`, `dp:{${id}}:x`, ...values));
  }

  async #ask<T>(command: () => Promise<T>): Promise<T> {
    try {
      if (!this.#fit) await this.#examine();
      return await command();
    } catch (error) {
      throw unavailable(error);
    }
  }
}

function connectionOptions(connectionName: string): RedisOptions {
  return {
    connectionName,
    lazyConnect: true,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: 2_000,
    keepAlive: 10_000,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 10), 1_000),
    // It says how long loading may still take; that is not waited for, since nobody is told of changes meanwhile.
    maxLoadingRetryTime: 1_000,
    // A demoted primary answers READONLY: only a new connection may find the new one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

/** A version that cannot be read is too old: what is not known is not relied on. */
function isTooOld(version = ''): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return !(major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]));
}

/** Why a server could not be opened: it did answer when it refused us, and the reader must look at another place. */
function unfit(error: unknown): DaypassError {
  if (error instanceof DaypassError || !REFUSAL.test(messageOf(error))) return unavailable(error);
  return new DaypassError('store_login_refused', `Redis refuses the login of the gateway: ${messageOf(error)}`, {
    cause: error,
    hint: 'Its user and password are in `redis` of daypass.yaml: REDIS_URL in the shipped one.',
  });
}

function unavailable(error: unknown): DaypassError {
  if (error instanceof DaypassError) return error;
  return new DaypassError('store_unavailable', `The grant store did not answer: ${messageOf(error)}`, { cause: error });
}
