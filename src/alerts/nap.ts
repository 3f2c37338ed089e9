/** The pauses of a loop. A call ends the one under way; one that comes while the loop is at work leaves out the next. */
export class Nap {
  #called = false;
  #end: () => void = () => {};

  /** There is something to do. */
  call(): void {
    this.#called = true;
    this.#end();
  }

  /** Resolves after so many milliseconds, when it is called, or when the signal says stop. Keeps no process alive. */
  async take(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (!this.#called && !signal.aborted) await this.#pause(milliseconds, signal);
    this.#called = false;
  }

  #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds).unref();
      signal.addEventListener('abort', end, { once: true });
      this.#end = end;
    });
  }
}
