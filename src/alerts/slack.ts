import { Post } from '../audit/post.js';
import { RECEIVER_WITHIN } from '../audit/receiver.js';
import type { NoticeTemplates, SlackTarget } from '../config/notices.js';
import { type Channel, kindOf, type Message, REPEATED } from './channel.js';
import { render, templateOf } from './template.js';

/** Posts `{ "text" }` to an incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat). */
export class Slack implements Channel {
  readonly name = 'slack';
  readonly #templates: NoticeTemplates;
  readonly #post: Post;

  constructor({ url }: Pick<SlackTarget, 'url'>, templates: NoticeTemplates, within = RECEIVER_WITHIN) {
    this.#templates = templates;
    this.#post = new Post(url, within);
  }

  send(message: Message, signal: AbortSignal): Promise<void> {
    return this.#post.send(JSON.stringify({ text: slackText(message, this.#templates) }), {}, signal);
  }

  close(): Promise<void> {
    return this.#post.close();
  }
}

/** The operator's own words may hold control sequences; data may not. */
export function slackText(message: Message, templates: NoticeTemplates): string {
  const { subject, text } = render(templateOf(kindOf(message), templates), message.data, escaped);
  return [`*${subject}*`, text, ...(message.repeated ? [REPEATED] : [])].join('\n');
}

/** "Escaping text" of Slack's reference: with these three no `<!channel>`, mention or disguised link comes about. */
function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
