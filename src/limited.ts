/**
 * Does something under a signal of its own: aborted when `signal` is, or after so many milliseconds. `AbortSignal.any` would do
 * the same, but in Node 20 what it makes stays noted in each signal that it was made of for as long as that one lives: here, as
 * long as the gateway.
 * @param signal - one that lives long
 * @param within - milliseconds
 */
export async function limited<T>(
  signal: AbortSignal,
  within: number,
  work: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const stop = () => limit.abort(signal.reason);
  const late = new DOMException(`not within ${within} ms`, 'TimeoutError');
  const timer = setTimeout(() => limit.abort(late), within).unref();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}
