import type { ChildProcess } from 'node:child_process';

interface Handle {
  close(): void;
}

/**
 * Node passes a connection on to a worker and lets go of it here once the worker says that it has it. Of one that dies before
 * that nothing would be heard: the connection would stay open in this process, without an answer, for ever. Those are closed with
 * the worker. (`RoundRobinHandle.handoff` of Node's lib/internal/cluster: messages with `seq`, answered by `ack`.)
 */
export function closeUntaken(worker: ChildProcess): void {
  const passed = new Map<unknown, Handle>();
  const { send } = worker;
  Object.assign(worker, {
    send: (...given: readonly unknown[]): boolean => {
      const [message, handle] = given;
      if (isHandle(handle)) passed.set(numberOf(message, 'seq'), handle);
      return Reflect.apply(send, worker, given);
    },
  });
  worker.on('internalMessage', (message: unknown) => void passed.delete(numberOf(message, 'ack')));
  // A turn later: what the worker said last is read by then. (Its channel may not tell of its end while one of these is on it.)
  worker.once('exit', () =>
    setImmediate(() => {
      for (const handle of passed.values()) handle.close();
      passed.clear();
    }),
  );
}

function isHandle(value: unknown): value is Handle {
  return typeof value === 'object' && value !== null && 'close' in value && typeof value.close === 'function';
}

function numberOf(message: unknown, name: 'seq' | 'ack'): unknown {
  return typeof message === 'object' && message !== null ? Reflect.get(message, name) : undefined;
}
