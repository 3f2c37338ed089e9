import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Scope } from './scope.js';

/** What goes between a bench and its processes. */
export type Message = {
  readonly [name: string]: string | number | boolean | null | readonly number[] | readonly string[];
};

/** A process of the bench's own: a peer, a load, or the gateway. */
export class Child {
  readonly pid: number;
  /** What it said when it was ready. */
  readonly ready: Message;
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess, ready: Message) {
    this.#process = child;
    this.pid = child.pid ?? 0;
    this.ready = ready;
  }

  /**
   * Starts `processes/<name>.js` and waits until it is ready.
   * @param flags - for Node itself
   */
  static async start(
    scope: Scope,
    name: string,
    options: { args?: readonly string[]; flags?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
  ): Promise<Child> {
    const path = fileURLToPath(new URL(`processes/${name}.js`, import.meta.url));
    const child = fork(path, [...(options.args ?? [])], {
      execArgv: [...(options.flags ?? [])],
      env: { ...process.env, NODE_ENV: 'production', ...options.env },
      stdio: ['ignore', 'ignore', process.env.DAYPASS_BENCH_VERBOSE ? 'inherit' : 'ignore', 'ipc'],
    });
    const exited = once(child, 'exit');
    scope.teardown(async () => {
      if (child.connected) child.disconnect(); // its sign to end in good order
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      if (child.exitCode === null && child.signalCode === null) await exited;
      clearTimeout(timer);
    });
    return new Child(child, await answer(child, name));
  }

  /** Asks it something; one question at a time. */
  async ask(question: Message): Promise<Message> {
    this.#process.send(question);
    return answer(this.#process, String(question.do));
  }
}

function answer(child: ChildProcess, name: string): Promise<Message> {
  return new Promise((resolve, reject) => {
    const gone = (code: number | null) => reject(new Error(`${name} ended (${code}); see DAYPASS_BENCH_VERBOSE=1`));
    child.once('exit', gone);
    child.once('message', (message: Message) => {
      child.off('exit', gone);
      if (typeof message.error === 'string') reject(new Error(`${name}: ${message.error}`));
      else resolve(message);
    });
  });
}

/** The other side: says that it is ready, answers questions, and ends when the bench lets go of it. */
export function serveBench(
  ready: Message,
  answers: (question: Message) => Promise<Message> | Message = () => ({}),
  end: () => Promise<unknown> | unknown = () => {},
): void {
  process.on('message', (question: Message) => {
    Promise.resolve()
      .then(() => answers(question))
      .catch((thrown) => ({ error: thrown instanceof Error ? thrown.message : String(thrown) }))
      .then((message) => process.send?.(message));
  });
  process.on('disconnect', () => {
    void Promise.resolve(end()).finally(() => process.exit(0));
  });
  process.send?.(ready);
}
