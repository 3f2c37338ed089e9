/**
 * Answers with the work's own outcome, or rejects with `late()` after so many milliseconds. The work goes on alone; its
 * later failure is swallowed.
 */
export function within<T>(milliseconds: number, work: Promise<T>, late: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), milliseconds);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
