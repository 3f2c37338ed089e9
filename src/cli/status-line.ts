import { neutral } from '../recording/neutral.js';

/** Standard error, with a line at its end that is rewritten in place; on what is no terminal there is none. */
export class StatusLine {
  readonly #out: NodeJS.WriteStream;
  readonly #shows: boolean;
  #line = '';

  constructor(out: NodeJS.WriteStream, shows = out.isTTY) {
    this.#out = out;
    this.#shows = shows;
  }

  /** Replaces the line at the end. */
  show(line: string): void {
    if (!this.#shows || line === this.#line) return;
    this.#line = neutral(line);
    this.#out.write(`\r\x1b[K${this.#line}`);
  }

  /** Says something for good. */
  say(text: string): void {
    const before = this.#line === '' ? '' : '\r\x1b[K';
    this.#out.write(`${before}daypass: ${neutral(text)}\n${this.#line}`);
  }

  /** Leaves room for what is typed, or for whoever comes next. */
  clear(): void {
    if (this.#line !== '') this.#out.write('\r\x1b[K');
    this.#line = '';
  }
}
