import { createHmac } from 'node:crypto';
import { Agent, request } from 'undici';
import type { WebhookTarget } from '../config/audit.js';
import { DaypassError } from '../errors.js';
import type { AuditLine } from './entry.js';
import { factsOf } from './facts.js';
import { RECEIVER_WITHIN, type Receiver } from './receiver.js';

/** So much of an answer is read; nothing in it matters. */
const LONGEST_ANSWER = 16_384;

/**
 * Posts lines as JSON, signed the way of Standard Webhooks (https://www.standardwebhooks.com). A redirect is not followed: it
 * is no 2xx, so the lines count as not taken.
 */
export class Webhook implements Receiver {
  readonly name = 'webhook';
  readonly #target: WebhookTarget;
  readonly #within: number;
  readonly #agent: Agent;

  /** @param within - how long one post may take, milliseconds */
  constructor(target: WebhookTarget, within = RECEIVER_WITHIN) {
    this.#target = target;
    this.#within = within;
    this.#agent = new Agent({ connections: 1, pipelining: 1, keepAliveTimeout: 4_000 });
  }

  async send(lines: readonly AuditLine[], signal: AbortSignal): Promise<void> {
    const body = webhookBody(lines);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#within)]);
    const answer = await request(this.#target.url.href, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'daypass',
        ...webhookHeaders(this.#target.secret, webhookId(lines), Math.floor(Date.now() / 1_000), body),
      },
      body,
      dispatcher: this.#agent,
      signal: limit,
    });
    await answer.body.dump({ limit: LONGEST_ANSWER, signal: limit });
    if (answer.statusCode >= 200 && answer.statusCode < 300) return;
    throw new DaypassError('receiver_refused', `The webhook answered ${answer.statusCode}.`);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

/** The same lines have the same id whenever they are sent: receivers drop what they have. */
function webhookId(lines: readonly AuditLine[]): string {
  const last = lines.at(-1);
  return `audit_${lines[0]?.seq}_${last?.seq}_${last?.hashAfter.toString('hex').slice(0, 16)}`;
}

/** What is posted: `{ type, timestamp, data: { entries } }`. */
export function webhookBody(lines: readonly AuditLine[]): string {
  const entries = lines.map(({ seq, entry, hashBefore, hashAfter }) => ({
    ...(factsOf(entry) ?? { unreadable: entry }),
    seq,
    hash_before: hashBefore.toString('hex'),
    hash: hashAfter.toString('hex'),
  }));
  const last = lines.at(-1);
  const timestamp = last === undefined ? null : (factsOf(last.entry)?.at ?? null);
  return JSON.stringify({ type: 'audit.entries', timestamp, data: { entries } });
}

/**
 * The headers that prove who posts, and when: HMAC-SHA-256 over `<id>.<timestamp>.<body>`.
 * @param secret - `whsec_<base64>`
 * @param timestamp - seconds since the epoch
 */
export function webhookHeaders(secret: string, id: string, timestamp: number, body: string): Record<string, string> {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': `v1,${signature}` };
}
