import { Post } from '../audit/post.js';
import { RECEIVER_WITHIN } from '../audit/receiver.js';
import type { NoticeTemplates, SlackTarget } from '../config/notices.js';
import { type Channel, kindOf, type Message, REPEATED } from './channel.js';
import { harmlessMarkdown } from './markdown.js';
import { render, templateOf } from './template.js';

type Format = SlackTarget['format'];

/** Posts `{ "text" }` to an incoming webhook of Slack, or of Mattermost, which takes the same and reads it otherwise. */
export class Slack implements Channel {
  readonly name = 'slack';
  readonly #format: Format;
  readonly #templates: NoticeTemplates;
  readonly #post: Post;

  constructor(
    { url, format = 'slack' }: Pick<SlackTarget, 'url'> & Partial<Pick<SlackTarget, 'format'>>,
    templates: NoticeTemplates,
    within = RECEIVER_WITHIN,
  ) {
    this.#format = format;
    this.#templates = templates;
    this.#post = new Post(url, within);
  }

  send(message: Message, signal: AbortSignal): Promise<void> {
    return this.#post.send(JSON.stringify({ text: slackText(message, this.#templates, this.#format) }), {}, signal);
  }

  close(): Promise<void> {
    return this.#post.close();
  }
}

/** The operator's own words may hold control sequences; data may not. */
export function slackText(message: Message, templates: NoticeTemplates, format: Format = 'slack'): string {
  const [harmless, bold] = FORMATS[format];
  const { subject, text } = render(templateOf(kindOf(message), templates), message.data, harmless);
  return [`${bold}${subject}${bold}`, text, ...(message.repeated ? [REPEATED] : [])].join('\n');
}

const FORMATS: Readonly<Record<Format, readonly [harmless: (value: string, field: string) => string, bold: string]>> = {
  slack: [(value) => escaped(value), '*'],
  mattermost: [harmlessMarkdown, '**'],
};

/** "Escaping text" of Slack's reference: with these three no `<!channel>`, mention or disguised link comes about. */
function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
