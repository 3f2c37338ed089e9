import { Agent, request } from 'undici';
import { DaypassError } from '../errors.js';
import { limited } from '../limited.js';

/** So much of an answer is read; nothing in it matters. */
const LONGEST_ANSWER = 16_384;

/** Posts JSON to one receiver outside. A redirect is not followed: it is no 2xx, so what was posted counts as not taken. */
export class Post {
  readonly #url: string;
  readonly #within: number;
  readonly #agent: Agent;

  /** @param within - how long one post may take, milliseconds */
  constructor(url: string, within: number) {
    this.#url = url;
    this.#within = within;
    this.#agent = new Agent({ connections: 1, pipelining: 1, keepAliveTimeout: 4_000 });
  }

  /** @throws DaypassError `receiver_refused` when the answer is no 2xx, or what kept it from arriving */
  send(body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    return limited(signal, this.#within, (limit) => this.#send(body, headers, limit));
  }

  async #send(body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const answer = await request(this.#url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'daypass', ...headers },
      body,
      dispatcher: this.#agent,
      signal,
    });
    await answer.body.dump({ limit: LONGEST_ANSWER, signal });
    if (answer.statusCode >= 200 && answer.statusCode < 300) return;
    throw new DaypassError('receiver_refused', `The webhook answered ${answer.statusCode}.`);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}
