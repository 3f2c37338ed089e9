import type { Pool } from 'pg';
import type { PolicySource } from '../access/policy.js';
import { appendAudit } from '../audit/append.js';
import type { Clock } from '../clock.js';
import { MAILBOX, type NoticeSettings } from '../config/notices.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import type { Log } from '../log.js';
import { uuid7 } from '../recording/uuid7.js';
import type { Channel } from './channel.js';
import { AFTER_FAILURE, Courier } from './courier.js';
import { tellOfGrants } from './grant-notices.js';
import { type Backlog, backlogOf, type DeliveryFilter, type DeliveryView, listDeliveries } from './listing.js';
import { Nap } from './nap.js';
import type { Outbox } from './outbox.js';
import { checkConfigured, type Retried, type RetriedDeliveries, retryDeliveries, targetOf } from './retry.js';
import { Slack } from './slack.js';
import { Smtp } from './smtp.js';
import { type Routes, spread } from './spread.js';
import { tidy } from './tidy.js';
import { NoticeWebhook } from './webhook.js';

export interface NoticesParts {
  /** Connections of their own: no act waits for what is told of it. */
  readonly pool: Pool;
  readonly outbox: Outbox;
  readonly settings: NoticeSettings;
  readonly policies: Pick<PolicySource, 'get'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether the clock is that of the other gateways; always unless told. What comes about by time is told once. */
  readonly clockAgrees?: () => boolean;
  /** Whether it delivers, and tells of what comes about by time: of a gateway's workers one does. */
  readonly delivers: boolean;
}

const LOOK = 300;
const TICK = 10_000;
const COUNT = 5_000;

/** Tells people what happens: spreads what is in the outbox, carries it to the channels, until stopped. */
export class Notices {
  /** What waits, as it was counted last. */
  backlog: Backlog = { waiting: 0, failed: 0, oldest: null };
  readonly #parts: NoticesParts;
  readonly #stopping = new AbortController();
  readonly #fresh = new Nap();
  readonly #loops: readonly Promise<void>[];
  #settings: NoticeSettings;
  #couriers: readonly Courier[];
  /** Those whose settings were replaced, until what they had under way has come to its end. */
  readonly #retired = new Set<Courier>();

  constructor(parts: NoticesParts) {
    this.#parts = parts;
    const { settings, pool, clock, clockAgrees = () => true, outbox, policies, delivers } = parts;
    this.#settings = settings;
    this.#couriers = this.#couriersOf(delivers ? channelsOf(settings) : []);
    if (!delivers) {
      this.#loops = [];
      return;
    }
    this.#loops = [
      this.#every(LOOK, 'what is to be told could not be read', () => this.#spread(), this.#fresh),
      this.#every(TICK, 'grants could not be looked through for notices', async () => {
        if (!clockAgrees()) return;
        await tellOfGrants({ pool, outbox, policies, clock });
        await tidy(pool, [...routesOf(this.#settings).keys()], clock);
      }),
      this.#every(COUNT, 'notices could not be counted', async () => {
        this.backlog = await backlogOf(pool);
      }),
    ];
  }

  /** What this process wrote into the outbox is committed: it does not wait for the next look. */
  readonly call = (): void => this.#fresh.call();

  list(filter: DeliveryFilter): Promise<{ readonly notices: readonly DeliveryView[]; readonly next: string | null }> {
    return listDeliveries(this.#parts.pool, filter);
  }

  /**
   * Sends a test by one channel now, outside of the outbox; with its line in the audit log.
   * @param to - an e-mail address, for smtp
   * @throws DaypassError `unknown_channel`, `invalid_request`, `channel_failed` with what the channel said
   */
  async test(actor: Actor, name: string, to = ''): Promise<void> {
    const { pool, clock } = this.#parts;
    const settings = this.#settings;
    const channel = channelsOf(settings, name)[0];
    const line = { actor: actor.subject, via: actor.via, act: 'notices.test', target: `channel:${name}`, reason: null };
    const append = (result: 'done' | 'refused' | 'failed', code?: string) =>
      appendAudit(pool, { ...line, result, detail: { to, ...(code === undefined ? {} : { code }) } });
    try {
      const at = clock.wall();
      const data = { channel: name, by: actor.subject, at: new Date(at).toISOString() };
      checkTest([...routesOf(settings).keys()], name, to);
      const message = { id: uuid7(at), kind: 'test', at, data, recipient: to, repeated: false };
      await channel?.send(message, this.#stopping.signal).catch(failed);
    } catch (thrown) {
      const code = thrown instanceof DaypassError ? thrown.code : 'internal';
      await append(code === 'channel_failed' ? 'failed' : 'refused', code);
      throw thrown;
    } finally {
      await channel?.close();
    }
    await append('done');
  }

  /** Puts what was given up back into the outbox; refused ones are audited too. @see retryDeliveries */
  async retry(actor: Actor, which: Retried): Promise<RetriedDeliveries> {
    const { pool, clock } = this.#parts;
    try {
      return await retryDeliveries(pool, [...routesOf(this.#settings).keys()], actor, which, clock);
    } catch (thrown) {
      if (!(thrown instanceof DaypassError) || thrown.code === 'audit_unavailable') throw thrown;
      const line = {
        actor: actor.subject,
        via: actor.via,
        act: 'notices.retry',
        target: targetOf(which),
        reason: null,
      };
      await appendAudit(pool, { ...line, result: 'refused', detail: { code: thrown.code } });
      throw thrown;
    }
  }

  /**
   * Makes ready other channels and words: they are in force from the moment that the answer is called, which cannot fail. What is
   * under way then is carried to its end by those it began with.
   * @throws whatever keeps a channel from being made; then nothing changes
   */
  prepare(settings: NoticeSettings): () => void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return () => {};
    const channels = channelsOf(settings);
    return () => this.#replace(settings, this.#parts.delivers ? channels : []);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const couriers = [...this.#couriers, ...this.#retired];
    await Promise.all([...this.#loops, ...couriers.map((courier) => courier.stop())]);
  }

  #couriersOf(channels: readonly Channel[]): readonly Courier[] {
    const { pool, clock, log } = this.#parts;
    return channels.map((channel) => new Courier({ pool, channel, clock, log }));
  }

  #replace(settings: NoticeSettings, channels: readonly Channel[]): void {
    if (this.#stopping.signal.aborted) return;
    const { log } = this.#parts;
    for (const courier of this.#couriers) {
      this.#retired.add(courier);
      void courier
        .retire()
        .catch((thrown: unknown) => log.warn({ err: messageOf(thrown) }, 'a channel of notices was not closed'))
        .finally(() => this.#retired.delete(courier));
    }
    this.#settings = settings;
    this.#couriers = this.#couriersOf(channels);
    log.info({ channels: [...routesOf(settings).keys()] }, 'the notices were reloaded');
  }

  async #spread(): Promise<void> {
    const { pool, clock } = this.#parts;
    if ((await spread(pool, routesOf(this.#settings), clock)) === 0) return;
    for (const courier of this.#couriers) courier.call();
  }

  async #every(time: number, failing: string, work: () => Promise<unknown>, nap = new Nap()): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const wait = await work().then(
        () => time,
        (thrown: unknown) => {
          this.#parts.log.warn({ err: messageOf(thrown) }, failing);
          return Math.max(time, AFTER_FAILURE);
        },
      );
      await nap.take(wait, signal);
    }
  }
}

/** The channels that the configuration names, or the one of them with this name. */
function channelsOf({ slack, webhook, smtp, templates }: NoticeSettings, name?: string): Channel[] {
  const is = (one: string) => name === undefined || name === one;
  return [
    ...(slack === undefined || !is('slack') ? [] : [new Slack(slack, templates)]),
    ...(webhook === undefined || !is('webhook') ? [] : [new NoticeWebhook(webhook, templates)]),
    ...(smtp === undefined || !is('smtp') ? [] : [new Smtp(smtp, templates)]),
  ];
}

function routesOf({ slack, webhook, smtp }: NoticeSettings): Routes {
  const targets = { slack, webhook, smtp };
  const names = ['slack', 'webhook', 'smtp'] as const;
  return new Map(
    names.flatMap((name) => {
      const kinds = targets[name]?.kinds;
      return kinds === undefined ? [] : [[name, kinds] as const];
    }),
  );
}

function checkTest(channels: readonly string[], name: string, to: string): void {
  checkConfigured(channels, name);
  if (name === 'smtp' && !MAILBOX.test(to))
    throw new DaypassError('invalid_request', 'A test by e-mail takes an address.', { hint: '--to ops@example.com' });
  if (name !== 'smtp' && to !== '')
    throw new DaypassError('invalid_request', `The channel ${name} has one receiver: leave the address out.`);
}

function failed(cause: unknown): never {
  throw new DaypassError('channel_failed', `It could not be sent: ${messageOf(cause)}`, { cause });
}
