import { neutral } from '../recording/neutral.js';

/** Standard error, with a line at its end that is rewritten in place; on what is no terminal there is none. */
export class StatusLine {
  readonly #out: NodeJS.WriteStream;
  #line = '';
  #isQuestion = false;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  /** Replaces the line at the end, unless that is a question. */
  show(line: string): void {
    // Of a line that takes two rows only the last could be replaced.
    const next = neutral(line).slice(0, (this.#out.columns || 80) - 1);
    if (!this.#out.isTTY || this.#isQuestion || next === this.#line) return;
    // What is being typed behind a line of the same length stays to be seen: the cursor is put back there.
    this.#out.write(next.length === this.#line.length ? `\x1b7\r${next}\x1b8` : `\r\x1b[K${next}`);
    this.#line = next;
  }

  /** Asks something; the question stays at the end until `clear`. */
  ask(question: string): void {
    if (!this.#out.isTTY) return this.say(question);
    this.clear();
    this.#line = question;
    this.#isQuestion = true;
    this.#out.write(question);
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
    this.#isQuestion = false;
  }
}
