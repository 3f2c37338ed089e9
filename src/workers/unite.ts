import type { GatewayStatus, Reloaded } from '../api/parts.js';

/** What the workers say of themselves as one; null stands for one that says nothing. Null when all say nothing. */
export function unitedStatus(answers: readonly (GatewayStatus | null)[]): GatewayStatus | null {
  const given = answers.filter((answer) => answer !== null);
  const [first] = given;
  if (first === undefined) return null;
  const liveSessions = given.reduce((sum, status) => sum + status.liveSessions, 0);
  const problems = [...new Set(given.flatMap((status) => status.problems))];
  return { ...first, workers: answers.length, liveSessions, problems };
}

/** One reload out of those of the workers: done when all have done it. A problem that not all have names its worker. */
export function unitedReload(answers: readonly (Reloaded | null)[]): Reloaded {
  const problems = answers.map(problemsOf);
  const [first = []] = problems;
  const common = first.filter((problem) => problems.every((others) => others.includes(problem)));
  const own = problems.flatMap((some, index) =>
    some.filter((problem) => !common.includes(problem)).map((problem) => `worker ${index} alone: ${problem}`),
  );
  const services = answers.find((answer) => answer !== null)?.services ?? [];
  return { ok: common.length + own.length === 0, services, problems: [...common, ...own] };
}

function problemsOf(answer: Reloaded | null): readonly string[] {
  if (answer === null) return ['it does not answer; it reads the configuration when it is started again'];
  return answer.ok ? [] : answer.problems;
}
