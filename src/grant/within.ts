/**
 * Answers with the work's own outcome, or rejects with `late()` after so many milliseconds. The work goes on alone; its
 * later failure is swallowed. What has come by then counts, though this process was too busy to read it: timers are served before
 * connections are, and whoever is late itself would blame who answered in time.
 */
export function within<T>(milliseconds: number, work: Promise<T>, late: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(late())), milliseconds);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
