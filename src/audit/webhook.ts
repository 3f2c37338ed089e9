import { createHmac } from 'node:crypto';
import type { WebhookTarget } from '../config/audit.js';
import type { AuditLine } from './entry.js';
import { factsOf } from './facts.js';
import { Post } from './post.js';
import { RECEIVER_WITHIN, type Receiver } from './receiver.js';

/** Posts lines as JSON, signed the way of Standard Webhooks (https://www.standardwebhooks.com). */
export class Webhook implements Receiver {
  readonly name = 'webhook';
  readonly #secret: string;
  readonly #post: Post;

  /** @param within - how long one post may take, milliseconds */
  constructor({ url, secret }: WebhookTarget, within = RECEIVER_WITHIN) {
    this.#secret = secret;
    this.#post = new Post(url.href, within);
  }

  send(lines: readonly AuditLine[], signal: AbortSignal): Promise<void> {
    const body = webhookBody(lines);
    const headers = webhookHeaders(this.#secret, webhookId(lines), Math.floor(Date.now() / 1_000), body);
    return this.#post.send(body, headers, signal);
  }

  close(): Promise<void> {
    return this.#post.close();
  }
}

/** The same lines have the same id whenever they are sent: receivers drop what they have. */
function webhookId(lines: readonly AuditLine[]): string {
  const last = lines.at(-1);
  return `audit_${lines[0]?.seq}_${last?.seq}_${last?.hashAfter.toString('hex').slice(0, 16)}`;
}

/** What is posted: `{ type, timestamp, data: { entries } }`. */
function webhookBody(lines: readonly AuditLine[]): string {
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
