import { Post } from '../audit/post.js';
import { RECEIVER_WITHIN } from '../audit/receiver.js';
import { webhookHeaders } from '../audit/webhook.js';
import type { WebhookTarget } from '../config/audit.js';
import type { NoticeTemplates } from '../config/notices.js';
import { type Channel, kindOf, type Message } from './channel.js';
import { render, templateOf } from './template.js';

/**
 * Posts `{ type, timestamp, data }`, signed the way of Standard Webhooks (https://www.standardwebhooks.com). `webhook-id` is the
 * same whenever a notice is sent again: receivers drop what they have.
 */
export class NoticeWebhook implements Channel {
  readonly name = 'webhook';
  readonly #secret: string;
  readonly #templates: NoticeTemplates;
  readonly #post: Post;

  constructor({ url, secret }: WebhookTarget, templates: NoticeTemplates, within = RECEIVER_WITHIN) {
    this.#secret = secret;
    this.#templates = templates;
    this.#post = new Post(url.href, within);
  }

  send(message: Message, signal: AbortSignal): Promise<void> {
    const { id, kind, at, data } = message;
    const words = render(templateOf(kindOf(message), this.#templates), data);
    const body = JSON.stringify({ type: kind, timestamp: new Date(at).toISOString(), data: { ...data, ...words } });
    const now = Math.floor(Date.now() / 1_000);
    return this.#post.send(body, webhookHeaders(this.#secret, `notice_${id}`, now, body), signal);
  }

  close(): Promise<void> {
    return this.#post.close();
  }
}
